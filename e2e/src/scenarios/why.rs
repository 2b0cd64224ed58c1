//! `flotilla why` tells a person what happened to their object, without reading any log.

use serde_json::{Value, json};

use super::common::{
    BINDING, DEPLOYMENT, Holds, POLICY, Played, arrives, deployment, shared, weighted,
};
use crate::scenario::{Scenario, Stage, expect, policy};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[shared("why-tells-all", why)];

/// Policy, rejected clusters with reasons, the arithmetic of replicas, and what overrides changed.
fn why<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let override_policy = json!({"apiVersion": POLICY.0, "kind": "OverridePolicy",
            "metadata": {"name": "edge-label", "namespace": ns},
            "spec": {
                "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}],
                "overrideRules": [{"targetCluster": {"clusterNames": ["edge"]},
                    "overriders": {"labelsOverrider": [{"operator": "add", "value": {"at": "edge"}}]}}]}});
        door.apply(override_policy).await?;
        let placement = weighted(&[("edge", 2), ("public", 1)]);
        let selectors = [("apps/v1", "Deployment", "web")];
        door.apply(policy(ns, "web", &selectors, placement)).await?;
        door.apply(deployment(ns, "web", 6)).await?;
        let overridden = |o: &Value| o["metadata"]["labels"]["at"] == "edge";
        let what = ("has the override", &overridden as Holds<'_>);
        arrives(stage, &["edge"], DEPLOYMENT, (ns, "web"), what).await?;
        door.eventually(
            BINDING,
            (ns, "web-deployment"),
            "is healthy everywhere",
            |b| {
                let items = b["status"]["aggregatedStatus"].as_array();
                items.is_some_and(|i| i.len() == 2 && i.iter().all(|i| i["health"] == "Healthy"))
            },
        )
        .await?;

        let told = stage
            .world
            .flotilla(&["why", "deploy/web", "-n", ns])
            .await?;
        let claimed = format!("claimed by PropagationPolicy {ns}/web");
        let changed = format!("edge: OverridePolicy/{ns}/edge-label rule 0: /metadata/labels");
        for text in [
            claimed.as_str(),
            "scheduled: True (Success)",
            "did not match the placement cluster affinity constraint",
            "edge weight 2 -> 4",
            "public weight 1 -> 2",
            changed.as_str(),
            "Healthy",
        ] {
            expect(told.contains(text), format!("{text:?} is not in\n{told}"))?;
        }
        for_programs(stage).await
    })
}

/// The same answer for programs: JSON and YAML parse, say the same, and hold what the table tells.
async fn for_programs(stage: &Stage<'_>) -> Result<(), WorldError> {
    let ns = stage.ns.as_str();
    let ask = |format: &'static str| ["why", "deploy/web", "-n", ns, "-o", format];
    let bad = |e: String, text: &str| WorldError::Expected(format!("{e} in\n{text}"));
    let text = stage.world.flotilla(&ask("json")).await?;
    let json: Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string(), &text))?;
    let text = stage.world.flotilla(&ask("yaml")).await?;
    let yaml: Value = serde_yaml::from_str(&text).map_err(|e| bad(e.to_string(), &text))?;
    expect(json == yaml, format!("JSON {json:#}\nis not YAML {yaml:#}"))?;
    let targets = json["binding"]["targets"].as_array();
    let replicas: Vec<_> = targets
        .into_iter()
        .flatten()
        .map(|t| (t["cluster"].as_str(), t["replicas"].as_i64()))
        .collect();
    let change = &json["binding"]["targets"][0]["changes"][0];
    for (what, holds) in [
        ("the policy", json["claim"]["Policy"]["name"] == "web"),
        ("the binding", json["binding"]["name"] == "web-deployment"),
        (
            "replicas by cluster",
            replicas == [(Some("edge"), Some(4)), (Some("public"), Some(2))],
        ),
        (
            "what an override changed",
            change["path"] == "/metadata/labels/at",
        ),
        (
            "what the member says",
            json["binding"]["targets"][0]["member"]["health"] == "Healthy",
        ),
    ] {
        expect(holds, format!("{what} is not in\n{json:#}"))?;
    }
    Ok(())
}
