//! Edits of templates and policies that people make every day, and what of it must reach members.

use serde_json::{Value, json};

use super::common::{
    CONFIG_MAP, DEPLOYMENT, IS_THERE, POLICY, Played, arrives, cluster_policy, config_map,
    deployment, goes, holds, kubectl, only_in, place_config_map, placed, read, settle, shared,
    weighted,
};
use crate::real::Workdir;
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::Kind;

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("template-fields-removed", fields_removed),
    shared("template-edit-storm", edit_storm),
    shared("template-scale-to-zero", scale_to_zero),
    shared("template-retain-replicas", retain_replicas),
    shared("template-odd-names", odd_names),
    shared("template-kubectl", by_kubectl),
    shared("policy-precedence", precedence),
];

const CLUSTER_ROLE: Kind<'static> = ("rbac.authorization.k8s.io/v1", "ClusterRole");

/// What a template drops goes from the members; what a member added stays.
fn fields_removed<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        let object = |extra: bool| {
            let mut object = config_map(ns, "app", "one");
            if extra {
                object["data"]["extra"] = json!("two");
                object["metadata"]["labels"] = json!({"extra": "yes"});
                object["metadata"]["annotations"] = json!({"extra": "yes"});
            }
            object
        };
        place_config_map(stage, "app", "one", &["edge"]).await?;
        door.apply(object(true)).await?;
        let is_extra = |o: &Value| {
            o["data"]["extra"] == "two"
                && o["metadata"]["labels"]["extra"] == "yes"
                && o["metadata"]["annotations"]["extra"] == "yes"
        };
        arrives(stage, &["edge"], CONFIG_MAP, name, ("has more", &is_extra)).await?;
        let own =
            json!({"metadata": {"labels": {"member": "own"}, "annotations": {"member": "own"}}});
        let edge = stage.member("edge").await?;
        edge.merge(CONFIG_MAP, name, own).await?;

        door.apply(object(false)).await?;
        let is_less = |o: &Value| {
            let (labels, notes) = (&o["metadata"]["labels"], &o["metadata"]["annotations"]);
            o["data"]["extra"].is_null() && labels["extra"].is_null() && notes["extra"].is_null()
        };
        arrives(stage, &["edge"], CONFIG_MAP, name, ("has less", &is_less)).await?;
        let left = read(stage, "edge", CONFIG_MAP, name).await?;
        let kept = left["metadata"]["labels"]["member"] == "own"
            && left["metadata"]["annotations"]["member"] == "own";
        expect(kept, format!("what the member added went: {left}"))
    })
}

/// Of many quick edits the last one arrives, whatever becomes of the others.
fn edit_storm<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        place_config_map(stage, "app", "first", &["edge", "public"]).await?;
        for n in 0..100 {
            stage
                .door
                .apply(config_map(ns, "app", &format!("edit {n}")))
                .await?;
        }
        stage.door.apply(config_map(ns, "app", "last")).await?;
        let (both, name) = (["edge", "public"], (ns, "app"));
        arrives(
            stage,
            &both,
            CONFIG_MAP,
            name,
            ("has the last edit", &holds("last")),
        )
        .await?;
        settle(stage).await?;
        arrives(
            stage,
            &both,
            CONFIG_MAP,
            name,
            ("keeps the last edit", &holds("last")),
        )
        .await
    })
}

/// A cluster whose share falls to nothing loses the object, and gets it back.
fn scale_to_zero<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "web");
        let selectors = [(DEPLOYMENT.0, DEPLOYMENT.1, "web")];
        let placement = weighted(&[("edge", 9), ("public", 1)]);
        door.apply(policy(ns, "web", &selectors, placement)).await?;
        door.apply(deployment(ns, "web", 10)).await?;
        placed(stage, "web-deployment", &[("edge", 9), ("public", 1)]).await?;
        arrives(stage, &["edge", "public"], DEPLOYMENT, name, IS_THERE).await?;
        let scale = |replicas: u32| {
            let patch = json!({"spec": {"replicas": replicas}});
            door.merge(DEPLOYMENT, name, patch)
        };
        scale(1).await?;
        placed(stage, "web-deployment", &[("edge", 1)]).await?;
        goes(stage, &["public"], DEPLOYMENT, name).await?;
        scale(10).await?;
        arrives(
            stage,
            &["public"],
            DEPLOYMENT,
            name,
            ("has one replica", &|o| o["spec"]["replicas"] == 1),
        )
        .await
    })
}

/// A template that says so leaves its replicas to whatever scales it in the member.
fn retain_replicas<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "web");
        let selectors = [(DEPLOYMENT.0, DEPLOYMENT.1, "web")];
        door.apply(policy(ns, "web", &selectors, clusters(&["edge"])))
            .await?;
        let mut object = deployment(ns, "web", 1);
        object["metadata"]["labels"] =
            json!({"resourcetemplate.karmada.io/retain-replicas": "true"});
        door.apply(object.clone()).await?;
        arrives(
            stage,
            &["edge"],
            DEPLOYMENT,
            name,
            ("has one replica", &|o| o["spec"]["replicas"] == 1),
        )
        .await?;
        let edge = stage.member("edge").await?;
        edge.merge(DEPLOYMENT, name, json!({"spec": {"replicas": 3}}))
            .await?;
        object["spec"]["minReadySeconds"] = json!(1);
        door.apply(object).await?;
        let is_edited = |o: &Value| o["spec"]["minReadySeconds"] == 1;
        arrives(
            stage,
            &["edge"],
            DEPLOYMENT,
            name,
            ("is edited", &is_edited),
        )
        .await?;
        settle(stage).await?;
        let replicas = read(stage, "edge", DEPLOYMENT, name).await?["spec"]["replicas"].take();
        expect(
            replicas == 3,
            format!("the member's 3 replicas became {replicas}"),
        )
    })
}

/// Names that are no names of bindings, and one name in several kinds.
fn odd_names<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let door = &stage.door;
        let name = ("", "template-odd-names:Upper:viewer");
        let role = json!({"apiVersion": CLUSTER_ROLE.0, "kind": CLUSTER_ROLE.1,
            "metadata": {"name": name.1},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
        let selectors =
            json!([{"apiVersion": CLUSTER_ROLE.0, "kind": CLUSTER_ROLE.1, "name": name.1}]);
        door.apply(cluster_policy(
            "template-odd-names",
            selectors,
            clusters(&["edge"]),
        ))
        .await?;
        door.apply(role).await?;
        only_in(stage, &["edge"], CLUSTER_ROLE, name).await?;
        door.delete(CLUSTER_ROLE, name).await?;
        goes(stage, &["edge"], CLUSTER_ROLE, name).await
    })
}

/// What kubectl applies, edits and deletes goes the same way as what other clients do.
fn by_kubectl<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let name = (ns, "app");
        let workdir = Workdir::create(ns).map_err(crate::world::WorldError::from)?;
        let selectors = [(CONFIG_MAP.0, CONFIG_MAP.1, "app")];
        let placement = policy(ns, "app", &selectors, clusters(&["edge"]));
        let mut files = Vec::new();
        for (file, object) in [("policy", placement), ("app", config_map(ns, "app", "one"))] {
            let path = workdir.write(file, &object.to_string())?;
            files.push(path.display().to_string());
        }
        let both = ["-f", &files[0], "-f", &files[1]];
        let (done, text) = kubectl(stage, &[&["apply"], &both[..]].concat()).await?;
        expect(done, text)?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            name,
            ("has one", &holds("one")),
        )
        .await?;
        let patch = [
            "-n",
            ns,
            "patch",
            "configmap",
            "app",
            "-p",
            "{\"data\":{\"key\":\"two\"}}",
        ];
        let (done, text) = kubectl(stage, &patch).await?;
        expect(done, text)?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            name,
            ("has two", &holds("two")),
        )
        .await?;
        // The short names and columns that people know.
        let (done, text) = kubectl(stage, &["-n", ns, "get", "rb,pp", "-o", "wide"]).await?;
        expect(done && text.contains("app-configmap"), text)?;
        let delete = ["delete", "--wait", "--timeout=30s"];
        let (done, text) = kubectl(stage, &[&delete, &both[..]].concat()).await?;
        expect(done, text)?;
        goes(stage, &["edge"], CONFIG_MAP, name).await
    })
}

/// A namespace's own policy comes before the cluster's, higher priority before lower, and a
/// template stays with the policy that holds it.
fn precedence<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        let selectors = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "app",
            "namespace": ns}]);
        let everywhere = cluster_policy("policy-precedence", selectors, clusters(&["public"]));
        door.apply(everywhere).await?;
        let with = |name: &str, priority: i32, member: &str| {
            let selectors = [(CONFIG_MAP.0, CONFIG_MAP.1, "app")];
            let mut policy = policy(ns, name, &selectors, clusters(&[member]));
            policy["spec"]["priority"] = json!(priority);
            policy
        };
        door.apply(with("low", 1, "private")).await?;
        door.apply(with("high", 2, "edge")).await?;
        door.apply(config_map(ns, "app", "one")).await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await?;
        door.apply(with("highest", 9, "private")).await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await?;
        door.delete(POLICY, (ns, "high")).await?;
        placed(stage, "app-configmap", &[("private", 0)]).await?;
        goes(stage, &["edge"], CONFIG_MAP, name).await?;
        only_in(stage, &["private"], CONFIG_MAP, name).await
    })
}
