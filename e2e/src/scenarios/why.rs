//! `flotilla why` tells a person what happened to their object, without reading any log.

use serde_json::{Value, json};

use super::common::{
    BINDING, DEPLOYMENT, Holds, POLICY, Played, arrives, deployment, shared, weighted,
};
use crate::scenario::{Scenario, Stage, expect, policy};

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
        Ok(())
    })
}
