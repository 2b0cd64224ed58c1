//! Where things go: affinities, labels, weights, taints, what does not fit, and edits of policies.

use serde_json::{Value, json};

use super::common::{
    BINDING, CLUSTER, CONFIG_MAP, DEPLOYMENT, IS_THERE, POLICY, Played, alone, apply_when_served,
    arrives, config_map, crd, custom, deployment, goes, holds, label_cluster, only_in,
    place_config_map, placed, policy_of, scheduled, shared, weighted,
};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::{Kind, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("place-affinities", affinities),
    shared("place-retarget-by-label", retarget),
    shared("place-weights", weights),
    shared("place-policy-edit", policy_edit),
    shared("place-fallback", fallback),
    shared("place-no-fit", no_fit),
    shared("place-unsupported", unsupported),
    shared("place-api-not-served", api_not_served),
    alone("place-taint", taint),
];

const ANYWHERE: &str = "";

/// Affinities by name, exclusion, label, expression and field choose the clusters they describe.
fn affinities<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let tier = |operator: &str, values: &[&str]| {
            json!({"labelSelector": {"matchExpressions": [
                {"key": "tier", "operator": operator, "values": values}]}})
        };
        let field = |key: &str, operator: &str, value: &str| {
            json!({"fieldSelector": {"matchExpressions": [
                {"key": key, "operator": operator, "values": [value]}]}})
        };
        let excluded = json!({"clusterNames": ["edge", "public"], "exclude": ["public"]});
        let labelled = json!({"labelSelector": {"matchLabels": {"tier": "private"}}});
        let rows: [(&str, Value, &[&str]); 7] = [
            ("everywhere", json!({}), &["edge", "private", "public"]),
            ("excluded", excluded, &["edge"]),
            ("labelled", labelled, &["private"]),
            ("in", tier("In", &["edge", "public"]), &["edge", "public"]),
            ("not-in", tier("NotIn", &["edge", "public"]), &["private"]),
            ("provider", field("provider", "In", "aliyun"), &["public"]),
            (
                "region",
                field("region", "NotIn", "cn-beijing"),
                &["edge", "private"],
            ),
        ];
        for (name, affinity, _) in &rows {
            let selectors = [(CONFIG_MAP.0, CONFIG_MAP.1, *name)];
            let placement = json!({"clusterAffinity": affinity});
            door.apply(policy(ns, name, &selectors, placement)).await?;
            door.apply(config_map(ns, name, "one")).await?;
        }
        for (name, _, members) in &rows {
            let expected: Vec<_> = members.iter().map(|m| (*m, 0)).collect();
            placed(stage, &format!("{name}-configmap"), &expected).await?;
            arrives(stage, members, CONFIG_MAP, (ns, name), IS_THERE).await?;
        }
        Ok(())
    })
}

/// When the label a policy selects by moves to another cluster, the object moves with it.
fn retarget<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        label_cluster(stage, "edge", json!({"retarget": "here"})).await?;
        let here =
            json!({"clusterAffinity": {"labelSelector": {"matchLabels": {"retarget": "here"}}}});
        let selectors = [("v1", "ConfigMap", "app")];
        door.apply(policy(ns, "app", &selectors, here)).await?;
        door.apply(config_map(ns, "app", "one")).await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await?;

        label_cluster(stage, "private", json!({"retarget": "here"})).await?;
        arrives(stage, &["private"], CONFIG_MAP, name, IS_THERE).await?;
        label_cluster(stage, "edge", json!({"retarget": null})).await?;
        goes(stage, &["edge"], CONFIG_MAP, name).await?;
        only_in(stage, &["private"], CONFIG_MAP, name).await?;
        label_cluster(stage, "private", json!({"retarget": null})).await
    })
}

/// Replicas are divided 3:2:1, again after scaling, and again after an edit of the weights.
fn weights<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let selectors = [("apps/v1", "Deployment", "web")];
        let of = |edge: u32, private: u32, public: u32| {
            weighted(&[("edge", edge), ("private", private), ("public", public)])
        };
        door.apply(policy(ns, "web", &selectors, of(3, 2, 1)))
            .await?;
        door.apply(deployment(ns, "web", 6)).await?;
        divided(stage, [3, 2, 1]).await?;
        door.merge(DEPLOYMENT, (ns, "web"), json!({"spec": {"replicas": 12}}))
            .await?;
        divided(stage, [6, 4, 2]).await?;
        door.apply(policy(ns, "web", &selectors, of(1, 1, 2)))
            .await?;
        divided(stage, [3, 3, 6]).await
    })
}

async fn divided(stage: &Stage<'_>, replicas: [i64; 3]) -> Result<(), WorldError> {
    let members = ["edge", "private", "public"];
    let expected: Vec<_> = members.into_iter().zip(replicas).collect();
    placed(stage, "web-deployment", &expected).await?;
    for (member, replicas) in expected {
        let what = format!("has {replicas} replicas");
        let has = |o: &Value| o["spec"]["replicas"] == replicas;
        let name = (stage.ns.as_str(), "web");
        arrives(stage, &[member], DEPLOYMENT, name, (&what, &has)).await?;
    }
    Ok(())
}

/// A policy that names other clusters moves the object; one that is deleted takes nothing away.
fn policy_edit<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        place_config_map(stage, "app", "one", &["edge", "private"]).await?;
        only_in(stage, &["edge", "private"], CONFIG_MAP, name).await?;
        place_config_map(stage, "app", "one", &["private", "public"]).await?;
        goes(stage, &["edge"], CONFIG_MAP, name).await?;
        only_in(stage, &["private", "public"], CONFIG_MAP, name).await?;

        door.delete(POLICY, name).await?;
        door.eventually(CONFIG_MAP, name, "is claimed by nobody", |o| {
            o["metadata"]["annotations"]["propagationpolicy.karmada.io/name"].is_null()
        })
        .await?;
        only_in(stage, &["private", "public"], CONFIG_MAP, name).await
    })
}

/// Affinity terms are tried in order, and when the term in force stops fitting, the next ones are.
fn fallback<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        let term = |name: &str| {
            json!({"affinityName": name,
                "labelSelector": {"matchLabels": {"fallback": name}}})
        };
        let last = json!({"affinityName": "last", "clusterNames": ["private"]});
        let terms = json!({"clusterAffinities": [term("first"), term("second"), last]});
        label_cluster(stage, "edge", json!({"fallback": "second"})).await?;
        let selectors = [("v1", "ConfigMap", "app")];
        door.apply(policy(ns, "app", &selectors, terms)).await?;
        door.apply(config_map(ns, "app", "one")).await?;
        in_term(stage, "second").await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await?;

        // An earlier term that fits now moves nothing.
        label_cluster(stage, "public", json!({"fallback": "first"})).await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await?;

        label_cluster(stage, "edge", json!({"fallback": null})).await?;
        in_term(stage, "last").await?;
        only_in_after_move(stage, "edge", "private").await?;
        label_cluster(stage, "public", json!({"fallback": null})).await
    })
}

async fn in_term(stage: &Stage<'_>, term: &str) -> Result<(), WorldError> {
    let what = format!("observes the term {term}");
    let observes = |o: &Value| o["status"]["schedulerObservingAffinityName"] == term;
    let name = (stage.ns.as_str(), "app-configmap");
    stage
        .door
        .eventually(BINDING, name, &what, observes)
        .await?;
    Ok(())
}

async fn only_in_after_move(stage: &Stage<'_>, from: &str, to: &str) -> Result<(), WorldError> {
    let name = (stage.ns.as_str(), "app");
    goes(stage, &[from], CONFIG_MAP, name).await?;
    only_in(stage, &[to], CONFIG_MAP, name).await
}

/// Where nothing fits, the binding says why, and a policy that fits puts it right.
fn no_fit<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let name = (stage.ns.as_str(), "app");
        place_config_map(stage, "app", "one", &["nowhere"]).await?;
        let text = "0/3 clusters are available: 3 cluster(s) did not match the placement cluster \
                    affinity constraint";
        scheduled(stage, "app-configmap", ("NoClusterFit", text)).await?;
        only_in(stage, &[], CONFIG_MAP, name).await?;
        place_config_map(stage, "app", "one", &["edge"]).await?;
        scheduled(stage, "app-configmap", ("Success", ANYWHERE)).await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await
    })
}

/// What is not built is refused by a condition that names the field; what was decided stands.
fn unsupported<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        place_config_map(stage, "app", "one", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, name, IS_THERE).await?;
        let spread = json!({"clusterAffinity": {"clusterNames": ["public", "private"]},
            "spreadConstraints": [{"spreadByField": "cluster", "minGroups": 1, "maxGroups": 1}]});
        let selectors = [("v1", "ConfigMap", "app")];
        door.apply(policy(ns, "app", &selectors, spread)).await?;
        let refused = ("Unsupported", "spec.placement.spreadConstraints");
        scheduled(stage, "app-configmap", refused).await?;
        placed(stage, "app-configmap", &[("edge", 0)]).await?;
        only_in(stage, &["edge"], CONFIG_MAP, name).await
    })
}

/// A kind that a member does not serve is not sent there, and the reason is said.
fn api_not_served<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        const SERVED: Kind<'static> = ("served.example.com/v1", "Served");
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let kind = crd(SERVED);
        stage.member("public").await?.apply(kind.clone()).await?;
        door.apply(kind).await?;
        for (name, members) in [("both", &["edge", "public"][..]), ("none", &["edge"])] {
            let selectors = [(SERVED.0, SERVED.1, name)];
            door.apply(policy(ns, name, &selectors, clusters(members)))
                .await?;
            apply_when_served(stage, custom(SERVED, (ns, name), "one")).await?;
        }
        let why = "1 cluster(s) did not have the API resource";
        scheduled(stage, "none-served", ("NoClusterFit", why)).await?;
        placed(stage, "both-served", &[("public", 0)]).await?;
        arrives(stage, &["public"], SERVED, (ns, "both"), IS_THERE).await
    })
}

/// A taint keeps new work away, unless it is tolerated, and leaves what is there.
fn taint<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let place = async |name: &str, value: &str| {
            place_config_map(stage, name, value, &["edge", "private"]).await
        };
        place("before", "one").await?;
        let before = (stage.ns.as_str(), "before");
        arrives(stage, &["edge"], CONFIG_MAP, before, IS_THERE).await?;
        let taints = |taints: Value| {
            let patch = json!({"spec": {"taints": taints}});
            stage.door.merge(CLUSTER, ("", "edge"), patch)
        };
        taints(json!([{"key": "maintenance", "value": "on", "effect": "NoSchedule"}])).await?;
        let played = under_taint(stage).await;
        taints(Value::Null).await?;
        played?;
        let after = (stage.ns.as_str(), "after");
        arrives(stage, &["edge"], CONFIG_MAP, after, IS_THERE).await
    })
}

async fn under_taint(stage: &Stage<'_>) -> Result<(), WorldError> {
    let (door, ns) = (&stage.door, stage.ns.as_str());
    place_config_map(stage, "after", "one", &["edge", "private"]).await?;
    placed(stage, "after-configmap", &[("private", 0)]).await?;
    arrives(stage, &["private"], CONFIG_MAP, (ns, "after"), IS_THERE).await?;
    let tolerated = json!({"clusterAffinity": {"clusterNames": ["edge", "private"]},
        "clusterTolerations": [{"key": "maintenance", "operator": "Exists"}]});
    let selectors = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "tolerant"}]);
    door.apply(policy_of(ns, "tolerant", selectors, tolerated))
        .await?;
    door.apply(config_map(ns, "tolerant", "one")).await?;
    let both = ["edge", "private"];
    arrives(stage, &both, CONFIG_MAP, (ns, "tolerant"), IS_THERE).await?;
    let edge = stage.member("edge").await?;
    expect(
        edge.get(CONFIG_MAP, (ns, "after")).await?.is_none(),
        "a taint that nothing tolerates kept nothing away",
    )?;
    // What was there before the taint stays, and still gets its edits.
    place_config_map(stage, "before", "two", &both).await?;
    arrives(
        stage,
        &both,
        CONFIG_MAP,
        (ns, "before"),
        ("has the edit", &holds("two")),
    )
    .await
}
