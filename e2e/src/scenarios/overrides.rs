//! What differs per cluster: every kind of override, their order, and how little an edit moves.

use serde_json::{Value, json};

use super::common::{
    BINDING, CONFIG_MAP, DEPLOYMENT, Holds, Played, arrives, condition, config_map, deployment,
    holds, place_config_map, policy_of, read, settle, shared,
};
use crate::scenario::{Scenario, Stage, clusters, expect};
use crate::world::{Kind, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("override-kinds", kinds),
    shared("override-order", order),
    shared("override-edit", edit),
    shared("override-error", error),
];

const OVERRIDE: Kind<'static> = ("policy.karmada.io/v1alpha1", "OverridePolicy");
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// One kind of override, where it shows, and what stands there in `edge` and elsewhere.
struct Row {
    name: &'static str,
    overriders: Value,
    shows_at: &'static str,
    in_edge: Value,
    elsewhere: Value,
}

fn row(name: &'static str, overriders: Value, at: &'static str, values: [Value; 2]) -> Row {
    let [in_edge, elsewhere] = values;
    Row {
        name,
        overriders,
        shows_at: at,
        in_edge,
        elsewhere,
    }
}

fn image(component: &str, value: &str, changed: &str) -> (Value, Value) {
    let overrider = json!({"component": component, "operator": "replace", "value": value});
    (json!({"imageOverrider": [overrider]}), json!(changed))
}

fn table() -> Vec<Row> {
    let base = json!("registry.example/library/nginx:1.25");
    let (registry, registry_set) = image(
        "Registry",
        "reg.example.com",
        "reg.example.com/library/nginx:1.25",
    );
    let (repository, repository_set) = image(
        "Repository",
        "mirror/nginx",
        "registry.example/mirror/nginx:1.25",
    );
    let (tag, tag_set) = image("Tag", "1.26", "registry.example/library/nginx:1.26");
    let init = "/spec/template/spec/initContainers/0/image";
    let predicate = json!({"imageOverrider": [{"predicate": {"path": init},
        "component": "Tag", "operator": "replace", "value": "2"}]});
    let of_main = |operator: &str, value: &str| json!({"containerName": "main", "operator": operator, "value": [value]});
    let arguments = json!({"argsOverrider": [of_main("remove", "--quiet"), of_main("add", "-v")]});
    vec![
        row("registry", registry, IMAGE, [registry_set, base.clone()]),
        row(
            "repository",
            repository,
            IMAGE,
            [repository_set, base.clone()],
        ),
        row("tag", tag, IMAGE, [tag_set, base.clone()]),
        row(
            "predicate",
            predicate.clone(),
            init,
            [json!("setup:2"), json!("setup:1")],
        ),
        row("predicate-only", predicate, IMAGE, [base.clone(), base]),
        row(
            "command",
            json!({"commandOverrider": [of_main("add", "--edge")]}),
            "/spec/template/spec/containers/0/command",
            [json!(["run", "--edge"]), json!(["run"])],
        ),
        row(
            "arguments",
            arguments,
            "/spec/template/spec/containers/0/args",
            [json!(["serve", "-v"]), json!(["serve", "--quiet"])],
        ),
        row(
            "labels",
            json!({"labelsOverrider": [{"operator": "add", "value": {"where": "edge"}}]}),
            "/metadata/labels/where",
            [json!("edge"), Value::Null],
        ),
        row(
            "annotations",
            json!({"annotationsOverrider": [{"operator": "replace", "value": {"note": "edge"}}]}),
            "/metadata/annotations/note",
            [json!("edge"), json!("base")],
        ),
        row(
            "plaintext",
            json!({"plaintext": [{"path": "/spec/minReadySeconds", "operator": "add", "value": 7}]}),
            "/spec/minReadySeconds",
            [json!(7), Value::Null],
        ),
    ]
}

fn rule(members: &[&str], overriders: Value) -> Value {
    json!({"targetCluster": {"clusterNames": members}, "overriders": overriders})
}

fn override_policy(ns: &str, name: &str, (kind, of): (Kind<'_>, &str), rules: Value) -> Value {
    json!({"apiVersion": OVERRIDE.0, "kind": OVERRIDE.1,
        "metadata": {"name": name, "namespace": ns},
        "spec": {"overrideRules": rules,
            "resourceSelectors": [{"apiVersion": kind.0, "kind": kind.1, "name": of}]}})
}

/// Each kind of override changes what it says in one cluster and nothing in another.
fn kinds<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let all = json!([{"apiVersion": "apps/v1", "kind": "Deployment"}]);
        door.apply(policy_of(ns, "all", all, clusters(&["edge", "public"])))
            .await?;
        let rows = table();
        for row in &rows {
            let rules = json!([rule(&["edge"], row.overriders.clone())]);
            door.apply(override_policy(ns, row.name, (DEPLOYMENT, row.name), rules))
                .await?;
            door.apply(overridden(ns, row.name)).await?;
        }
        for row in &rows {
            for (member, value) in [("edge", &row.in_edge), ("public", &row.elsewhere)] {
                let what = format!("has {value} at {}", row.shows_at);
                let has = |o: &Value| o.pointer(row.shows_at).unwrap_or(&Value::Null) == value;
                let name = (ns, row.name);
                arrives(stage, &[member], DEPLOYMENT, name, (&what, &has)).await?;
            }
        }
        Ok(())
    })
}

/// A Deployment with something to change for every kind of override; it runs no Pods.
fn overridden(ns: &str, name: &str) -> Value {
    let mut object = deployment(ns, name, 0);
    object["metadata"]["annotations"] = json!({"note": "base"});
    let pod = &mut object["spec"]["template"]["spec"];
    pod["initContainers"] = json!([{"name": "init", "image": "setup:1"}]);
    pod["containers"][0]["command"] = json!(["run"]);
    pod["containers"][0]["args"] = json!(["serve", "--quiet"]);
    object
}

/// Cluster override policies come before those of the namespace, and these in order of their names.
fn order<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let set = |operator: &str, value: Value| json!([{"overriders": {"labelsOverrider": [{"operator": operator, "value": value}]}}]);
        let of = (CONFIG_MAP, "app");
        let mut first = override_policy(
            ns,
            "override-order",
            of,
            set("add", json!({"scope": "1", "name": "1"})),
        );
        first["kind"] = json!("ClusterOverridePolicy");
        first["metadata"] = json!({"name": "override-order"});
        first["spec"]["resourceSelectors"][0]["namespace"] = json!(ns);
        door.apply(first).await?;
        // Replaces only what is there already: so it must come after the cluster's policy.
        let scope = set("replace", json!({"scope": "2"}));
        door.apply(override_policy(
            ns,
            "b-later",
            of,
            set("add", json!({"name": "3"})),
        ))
        .await?;
        door.apply(override_policy(
            ns,
            "a-earlier",
            of,
            set("add", json!({"name": "2"})),
        ))
        .await?;
        door.apply(override_policy(ns, "scope", of, scope)).await?;
        place_config_map(stage, "app", "one", &["edge"]).await?;
        let ordered = |o: &Value| {
            let labels = &o["metadata"]["labels"];
            labels["scope"] == "2" && labels["name"] == "3"
        };
        let what = ("has the labels set last", &ordered as Holds<'_>);
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "app"), what).await
    })
}

/// An edit of an override reaches the clusters it is for; the object elsewhere is not written.
fn edit<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        let set = |value: &str| {
            let change = json!({"plaintext": [
                {"path": "/data/key", "operator": "replace", "value": value}]});
            let rules = json!([rule(&["edge"], change)]);
            override_policy(ns, "app", (CONFIG_MAP, "app"), rules)
        };
        door.apply(set("first")).await?;
        let elsewhere = ["private", "public"];
        place_config_map(stage, "app", "base", &["edge", "private", "public"]).await?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            name,
            ("has the override", &holds("first")),
        )
        .await?;
        arrives(
            stage,
            &elsewhere,
            CONFIG_MAP,
            name,
            ("has the base", &holds("base")),
        )
        .await?;
        settle(stage).await?;
        let before = versions(stage, &elsewhere).await?;

        door.apply(set("second")).await?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            name,
            ("has the edit", &holds("second")),
        )
        .await?;
        settle(stage).await?;
        let after = versions(stage, &elsewhere).await?;
        let same = format!("an override for edge wrote elsewhere: {before:?} became {after:?}");
        expect(before == after, same)?;

        door.delete(OVERRIDE, name).await?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            name,
            ("has the base again", &holds("base")),
        )
        .await
    })
}

async fn versions(stage: &Stage<'_>, members: &[&str]) -> Result<Vec<Value>, WorldError> {
    let mut versions = Vec::new();
    for member in members {
        let object = read(stage, member, CONFIG_MAP, (&stage.ns, "app")).await?;
        versions.push(object["metadata"]["resourceVersion"].clone());
    }
    Ok(versions)
}

/// An override that cannot be applied is said of its cluster, holds up no other, and takes nothing
/// away that is there.
fn error<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        let set = |path: &str| {
            let change = json!({"plaintext": [
                {"path": path, "operator": "replace", "value": "edge"}]});
            let rules = json!([rule(&["edge"], change)]);
            override_policy(ns, "app", (CONFIG_MAP, "app"), rules)
        };
        door.apply(set("/data/key")).await?;
        place_config_map(stage, "app", "one", &["edge", "public"]).await?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            name,
            ("has the override", &holds("edge")),
        )
        .await?;
        door.apply(set("/data/absent")).await?;
        let says = |binding: &Value| {
            let items = binding["status"]["aggregatedStatus"].as_array();
            items.into_iter().flatten().any(|i| {
                i["clusterName"] == "edge"
                    && i["applied"] != true
                    && i["appliedMessage"]
                        .as_str()
                        .is_some_and(|m| m.contains("/data/absent"))
            })
        };
        let whose = (ns, "app-configmap");
        door.eventually(BINDING, whose, "says what is wrong in edge", says)
            .await?;
        door.apply(config_map(ns, "app", "two")).await?;
        arrives(
            stage,
            &["public"],
            CONFIG_MAP,
            name,
            ("has the edit", &holds("two")),
        )
        .await?;
        let left = read(stage, "edge", CONFIG_MAP, name).await?;
        expect(
            left["data"]["key"] == "edge",
            format!("edge lost what it had: {left}"),
        )?;
        door.apply(set("/data/key")).await?;
        door.eventually(BINDING, whose, "is applied everywhere", |b| {
            condition(b, "FullyApplied").is_some_and(|c| c["status"] == "True")
        })
        .await?;
        Ok(())
    })
}
