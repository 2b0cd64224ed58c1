//! What scenarios share: kinds, small objects, and the few questions they ask of members.
//!
//! Decides nothing about the product; what must be true stands in the scenarios.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::real::{NotYet, eventually};
use crate::scenario::{Needs, Scenario, Stage, clusters, expect, policy};
use crate::world::{Kind, Name, WorldError};

/// A new kind is served at once, or something is wrong.
const SERVED_MAX: Duration = Duration::from_secs(30);

pub(super) const BINDING: Kind<'static> = ("work.karmada.io/v1alpha2", "ResourceBinding");
pub(super) const CLUSTER_BINDING: Kind<'static> =
    ("work.karmada.io/v1alpha2", "ClusterResourceBinding");
pub(super) const CLUSTER: Kind<'static> = ("cluster.karmada.io/v1alpha1", "Cluster");
pub(super) const POLICY: Kind<'static> = ("policy.karmada.io/v1alpha1", "PropagationPolicy");
pub(super) const CONFIG_MAP: Kind<'static> = ("v1", "ConfigMap");
pub(super) const DEPLOYMENT: Kind<'static> = ("apps/v1", "Deployment");
pub(super) const NAMESPACE: Kind<'static> = ("v1", "Namespace");

/// The members of the world that everybody knows.
pub(super) const MEMBERS: [&str; 3] = ["edge", "private", "public"];

/// What a scenario returns.
pub(super) type Played<'a> = BoxFuture<'a, Result<(), WorldError>>;

type Run = for<'a> fn(&'a Stage<'a>) -> Played<'a>;

/// Whether an object is as it should be.
pub(super) type Holds<'a> = &'a (dyn Fn(&Value) -> bool + Sync);
/// What an object should be, in words and as code.
pub(super) type Test<'a> = (&'a str, Holds<'a>);

/// Every object that is there passes.
pub(super) const IS_THERE: Test<'static> = ("is there", &|_| true);

/// A scenario of the shared world, beside others.
pub(super) const fn shared(name: &'static str, run: Run) -> Scenario {
    Scenario {
        name,
        needs: Needs::Shared,
        run,
    }
}

/// A scenario that has the shared world for itself.
pub(super) const fn alone(name: &'static str, run: Run) -> Scenario {
    Scenario {
        name,
        needs: Needs::Alone,
        run,
    }
}

/// A ConfigMap that holds one value under `key`.
pub(super) fn config_map(ns: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": ns}, "data": {"key": value}})
}

/// Whether the ConfigMap holds the value.
pub(super) fn holds(value: &'static str) -> impl Fn(&Value) -> bool {
    move |o| o["data"]["key"] == value
}

/// A Deployment of one small container named `main`, its Pods labelled `app=<name>`.
pub(super) fn deployment(ns: &str, name: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": name, "namespace": ns},
    "spec": {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/library/nginx:1.25"}]}},
    }})
}

/// A PropagationPolicy with selectors written out.
pub(super) fn policy_of(ns: &str, name: &str, selectors: Value, placement: Value) -> Value {
    json!({"apiVersion": POLICY.0, "kind": POLICY.1,
        "metadata": {"name": name, "namespace": ns},
        "spec": {"resourceSelectors": selectors, "placement": placement}})
}

/// A ClusterPropagationPolicy with selectors written out.
pub(super) fn cluster_policy(name: &str, selectors: Value, placement: Value) -> Value {
    json!({"apiVersion": POLICY.0, "kind": "ClusterPropagationPolicy",
        "metadata": {"name": name},
        "spec": {"resourceSelectors": selectors, "placement": placement}})
}

/// A placement in these clusters, divided by these weights.
pub(super) fn weighted(weights: &[(&str, u32)]) -> Value {
    let names: Vec<_> = weights.iter().map(|(name, _)| *name).collect();
    let list: Vec<_> = weights
        .iter()
        .map(|(name, weight)| json!({"targetCluster": {"clusterNames": [name]}, "weight": weight}))
        .collect();
    json!({
        "clusterAffinity": {"clusterNames": names},
        "replicaScheduling": {
            "replicaSchedulingType": "Divided",
            "replicaDivisionPreference": "Weighted",
            "weightPreference": {"staticWeightList": list},
        },
    })
}

/// Puts a ConfigMap under a policy of the same name.
pub(super) async fn place_config_map(
    stage: &Stage<'_>,
    name: &str,
    value: &str,
    members: &[&str],
) -> Result<(), WorldError> {
    let selectors = [(CONFIG_MAP.0, CONFIG_MAP.1, name)];
    let ns = stage.ns.as_str();
    stage
        .door
        .apply(policy(ns, name, &selectors, clusters(members)))
        .await?;
    stage.door.apply(config_map(ns, name, value)).await?;
    Ok(())
}

/// Waits until the object is in each of the members and satisfies `holds` there.
pub(super) async fn arrives(
    stage: &Stage<'_>,
    members: &[&str],
    kind: Kind<'_>,
    name: Name<'_>,
    (what, holds): Test<'_>,
) -> Result<(), WorldError> {
    for member in members {
        let objects = stage.member(member).await?;
        objects.eventually(kind, name, what, holds).await?;
    }
    Ok(())
}

/// Waits until the object is in none of the members.
pub(super) async fn goes(
    stage: &Stage<'_>,
    members: &[&str],
    kind: Kind<'_>,
    name: Name<'_>,
) -> Result<(), WorldError> {
    for member in members {
        let objects = stage.member(member).await?;
        objects.eventually_gone(kind, name).await?;
    }
    Ok(())
}

/// The object as it is in the member now.
pub(super) async fn read(
    stage: &Stage<'_>,
    member: &str,
    kind: Kind<'_>,
    name: Name<'_>,
) -> Result<Value, WorldError> {
    let found = stage.member(member).await?.get(kind, name).await?;
    found.ok_or_else(|| WorldError::Expected(format!("{} {} is not in {member}", kind.1, name.1)))
}

/// The object is in these members and, once everything said so far has arrived, in no other.
pub(super) async fn only_in(
    stage: &Stage<'_>,
    members: &[&str],
    kind: Kind<'_>,
    name: Name<'_>,
) -> Result<(), WorldError> {
    arrives(stage, members, kind, name, IS_THERE).await?;
    settle(stage).await?;
    for member in MEMBERS.iter().filter(|m| !members.contains(m)) {
        let found = stage.member(member).await?.get(kind, name).await?;
        let what = format!(
            "{} {} is in {member}, where it does not belong",
            kind.1, name.1
        );
        expect(found.is_none(), what)?;
    }
    Ok(())
}

/// Waits until a ConfigMap made now has arrived in every member: what was said before it has too.
///
/// This is how a scenario shows that something does *not* happen without waiting for a time.
pub(super) async fn settle(stage: &Stage<'_>) -> Result<(), WorldError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("settle-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    place_config_map(stage, &name, "now", &MEMBERS).await?;
    let name = (stage.ns.as_str(), name.as_str());
    arrives(stage, &MEMBERS, CONFIG_MAP, name, IS_THERE).await
}

/// The condition of that type.
pub(super) fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

/// Waits until the binding's condition Scheduled has that reason and a message with that text.
pub(super) async fn scheduled(
    stage: &Stage<'_>,
    binding: &str,
    (reason, text): (&str, &str),
) -> Result<Value, WorldError> {
    let says = |binding: &Value| {
        condition(binding, "Scheduled").is_some_and(|c| {
            c["reason"] == reason && c["message"].as_str().is_some_and(|m| m.contains(text))
        })
    };
    let what = format!("says {reason} with {text:?}");
    stage
        .door
        .eventually(BINDING, (&stage.ns, binding), &what, says)
        .await
}

/// Clusters of a binding with their replicas, by name.
pub(super) fn targets(binding: &Value) -> Vec<(String, i64)> {
    let clusters = binding["spec"]["clusters"].as_array();
    let mut targets: Vec<_> = clusters
        .into_iter()
        .flatten()
        .map(|c| {
            let name = c["name"].as_str().unwrap_or("");
            (name.to_owned(), c["replicas"].as_i64().unwrap_or(0))
        })
        .collect();
    targets.sort();
    targets
}

/// Waits until the binding names exactly these clusters with these replicas.
pub(super) async fn placed(
    stage: &Stage<'_>,
    binding: &str,
    expected: &[(&str, i64)],
) -> Result<(), WorldError> {
    let mut wanted: Vec<_> = expected
        .iter()
        .map(|(name, replicas)| ((*name).to_owned(), *replicas))
        .collect();
    wanted.sort();
    let what = format!("goes to {expected:?}");
    let holds = |binding: &Value| targets(binding) == wanted;
    let name = (stage.ns.as_str(), binding);
    stage.door.eventually(BINDING, name, &what, holds).await?;
    Ok(())
}

/// Sets labels of a member's Cluster; null takes one off.
pub(super) async fn label_cluster(
    stage: &Stage<'_>,
    member: &str,
    labels: Value,
) -> Result<(), WorldError> {
    let patch = json!({"metadata": {"labels": labels}});
    stage.door.merge(CLUSTER, ("", member), patch).await?;
    Ok(())
}

/// Runs kubectl at the front door: whether it ended well, and what it printed on either stream.
pub(super) async fn kubectl(
    stage: &Stage<'_>,
    args: &[&str],
) -> Result<(bool, String), WorldError> {
    let output = stage.world.door().kubectl(args).await?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), text))
}

/// A CustomResourceDefinition of a namespaced kind whose objects may hold anything.
pub(super) fn crd((api_version, kind): Kind<'_>) -> Value {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": format!("{plural}.{group}")},
    "spec": {
        "group": group, "scope": "Namespaced",
        "names": {"kind": kind, "singular": singular, "plural": plural},
        "versions": [{"name": version, "served": true, "storage": true,
            "schema": {"openAPIV3Schema": anything}}],
    }})
}

/// A custom object that holds one text.
pub(super) fn custom((api_version, kind): Kind<'_>, (ns, name): Name<'_>, text: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": ns}, "spec": {"text": text}})
}

/// Applies an object at the front door as soon as its kind is served there.
pub(super) async fn apply_when_served(
    stage: &Stage<'_>,
    object: Value,
) -> Result<Value, WorldError> {
    let what = format!("{} is served at the front door", object["kind"]);
    let applied = eventually(what, SERVED_MAX, async || {
        let applied = stage.door.apply(object.clone()).await;
        applied.map_err(|error| NotYet::again(format!("{error:?}")))
    });
    applied.await.map_err(WorldError::from)
}
