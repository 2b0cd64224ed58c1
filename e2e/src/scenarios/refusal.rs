//! A member that refuses one object: that one is reported with the member's words, the others go on, and
//! it is applied once the member lets it, without anybody touching the template.

use std::time::Duration;

use serde_json::{Value, json};

use super::common::{
    BINDING, CONFIG_MAP, DEPLOYMENT, IS_THERE, Played, arrives, config_map, deployment,
    place_config_map, shared,
};
use super::drift::applied;
use crate::real::{NotYet, eventually};
use crate::scenario::{Scenario, Stage, clusters, policy};
use crate::world::{Kind, Objects, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("member-refuses-one", refuses),
    shared("member-webhook-is-away", webhook),
    shared("member-quota-is-full", quota),
];

const ADMISSION: &str = "admissionregistration.k8s.io/v1";
const WEBHOOKS: Kind<'static> = (ADMISSION, "ValidatingWebhookConfiguration");
const QUOTA: Kind<'static> = ("v1", "ResourceQuota");
const EDGE: [&str; 1] = ["edge"];
/// The API server takes up what guards it within seconds.
const IN_FORCE_MAX: Duration = Duration::from_secs(30);

/// An admission policy of the member says no to one ConfigMap.
fn refuses<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let edge = begin(stage).await?;
        edge.apply(json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": ns},
            "spec": {
                "matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                        "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}]},
                "validations": [{"expression": "object.metadata.name != 'poison'",
                    "message": "no poison here"}],
            }}))
        .await?;
        edge.apply(
            json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": ns}, "spec": {"policyName": ns, "validationActions": ["Deny"]}}),
        )
        .await?;
        in_force(&edge, config_map(ns, "poison", "canary")).await?;
        poison_and_good(stage, "no poison here").await?;

        edge.delete((ADMISSION, "ValidatingAdmissionPolicyBinding"), ("", ns))
            .await?;
        edge.delete((ADMISSION, "ValidatingAdmissionPolicy"), ("", ns))
            .await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "poison"), IS_THERE).await?;
        applied(stage, "poison-configmap", "edge").await
    })
}

/// A webhook that one ConfigMap has to pass does not answer.
fn webhook<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let edge = begin(stage).await?;
        edge.apply(json!({"apiVersion": WEBHOOKS.0, "kind": WEBHOOKS.1,
            "metadata": {"name": ns},
            "webhooks": [{
                "name": "away.example.org", "sideEffects": "None", "failurePolicy": "Fail",
                "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
                // The discard port: nobody listens.
                "clientConfig": {"url": "https://127.0.0.1:9/"},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
                "matchConditions": [{"name": "poison", "expression": "object.metadata.name == 'poison'"}],
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"],
                    "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}],
            }]}))
        .await?;
        in_force(&edge, config_map(ns, "poison", "canary")).await?;
        poison_and_good(stage, "away.example.org").await?;

        edge.delete(WEBHOOKS, ("", ns)).await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "poison"), IS_THERE).await?;
        applied(stage, "poison-configmap", "edge").await
    })
}

/// A quota of the member has room for no Deployment, then for one, and for two when it is raised.
fn quota<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let edge = begin(stage).await?;
        let hard = |n: &str| json!({"spec": {"hard": {"count/deployments.apps": n}}});
        let mut object = json!({"apiVersion": QUOTA.0, "kind": QUOTA.1,
            "metadata": {"name": "few", "namespace": ns}});
        object["spec"] = hard("0")["spec"].clone();
        edge.apply(object).await?;
        in_force(&edge, deployment(ns, "canary", 0)).await?;

        let selectors = [
            (DEPLOYMENT.0, DEPLOYMENT.1, "fits"),
            (DEPLOYMENT.0, DEPLOYMENT.1, "over"),
            (CONFIG_MAP.0, CONFIG_MAP.1, "good"),
        ];
        let rest = policy(ns, "rest", &selectors, clusters(&EDGE));
        stage.door.apply(rest).await?;
        // The first takes the only room, so it is the second that is refused.
        edge.merge(QUOTA, (ns, "few"), hard("1")).await?;
        stage.door.apply(deployment(ns, "fits", 1)).await?;
        arrives(stage, &EDGE, DEPLOYMENT, (ns, "fits"), IS_THERE).await?;
        stage.door.apply(deployment(ns, "over", 1)).await?;
        stage.door.apply(config_map(ns, "good", "one")).await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "good"), IS_THERE).await?;
        told(stage, "over-deployment", "exceeded quota").await?;

        edge.merge(QUOTA, (ns, "few"), hard("2")).await?;
        arrives(stage, &EDGE, DEPLOYMENT, (ns, "over"), IS_THERE).await?;
        applied(stage, "over-deployment", "edge").await
    })
}

/// The member has the namespace and a first object in it.
async fn begin(stage: &Stage<'_>) -> Result<Objects, WorldError> {
    place_config_map(stage, "first", "one", &EDGE).await?;
    let name = (stage.ns.as_str(), "first");
    arrives(stage, &EDGE, CONFIG_MAP, name, IS_THERE).await?;
    stage.member("edge").await
}

/// What guards a member takes a moment to be in force; the canary tells.
async fn in_force(edge: &Objects, canary: Value) -> Result<(), WorldError> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let (api, kind) = (text(&canary["apiVersion"]), text(&canary["kind"]));
    let (ns, name) = (
        text(&canary["metadata"]["namespace"]),
        text(&canary["metadata"]["name"]),
    );
    let what = format!("{kind} {name} is refused in edge");
    eventually(what, IN_FORCE_MAX, async || {
        match edge.create(canary.clone()).await {
            Err(_) => Ok(()),
            Ok(_) => {
                let gone = edge.delete((&api, &kind), (&ns, &name)).await;
                gone.map_err(NotYet::again)?;
                Err(NotYet::again("it was let in"))
            }
        }
    })
    .await
    .map_err(WorldError::from)
}

/// Of two objects under one policy one is refused; the other arrives.
async fn poison_and_good(stage: &Stage<'_>, words: &str) -> Result<(), WorldError> {
    let ns = stage.ns.as_str();
    let selectors = [("v1", "ConfigMap", "poison"), ("v1", "ConfigMap", "good")];
    let rest = policy(ns, "rest", &selectors, clusters(&EDGE));
    stage.door.apply(rest).await?;
    stage.door.apply(config_map(ns, "poison", "one")).await?;
    stage.door.apply(config_map(ns, "good", "one")).await?;
    arrives(stage, &EDGE, CONFIG_MAP, (ns, "good"), IS_THERE).await?;
    told(stage, "poison-configmap", words).await
}

/// The binding carries the member's words.
async fn told(stage: &Stage<'_>, binding: &str, words: &str) -> Result<(), WorldError> {
    let carries = |binding: &Value| {
        let item = &binding["status"]["aggregatedStatus"][0];
        let text = item["appliedMessage"].as_str().unwrap_or("");
        item["applied"] != true && text.contains(words)
    };
    let name = (stage.ns.as_str(), binding);
    let what = format!("says {words:?} of edge");
    let told = stage.door.eventually(BINDING, name, &what, carries).await;
    told.map(drop)
}
