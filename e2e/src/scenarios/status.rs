//! What members say comes back: statuses and health in the binding, their sum in the template.

use serde_json::Value;

use super::common::{BINDING, DEPLOYMENT, Played, deployment, kubectl, shared};
use crate::real::{PodBehaviour, PodSelector};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("status-rollout", rollout),
    shared("status-not-ready", not_ready),
];

async fn place(stage: &Stage<'_>) -> Result<(), WorldError> {
    let ns = stage.ns.as_str();
    let selectors = [("apps/v1", "Deployment", "web")];
    let placement = clusters(&["edge", "public"]);
    stage
        .door
        .apply(policy(ns, "web", &selectors, placement))
        .await?;
    stage.door.apply(deployment(ns, "web", 2)).await.map(drop)
}

/// Waits until the template's status has these numbers of replicas in all, and ready.
async fn counts(stage: &Stage<'_>, all: i64, ready: i64) -> Result<(), WorldError> {
    let what = format!("counts {ready} ready of {all}");
    let counted = |o: &Value| {
        let status = &o["status"];
        status["replicas"] == all
            && status["readyReplicas"].as_i64().unwrap_or(0) == ready
            && status["observedGeneration"] == o["metadata"]["generation"]
    };
    let name = (stage.ns.as_str(), "web");
    stage
        .door
        .eventually(DEPLOYMENT, name, &what, counted)
        .await?;
    Ok(())
}

async fn health(stage: &Stage<'_>, member: &str, health: &str) -> Result<(), WorldError> {
    let what = format!("says that {member} is {health}");
    let says = |binding: &Value| {
        let items = binding["status"]["aggregatedStatus"].as_array();
        let mut items = items.into_iter().flatten();
        items.any(|i| i["clusterName"] == member && i["applied"] == true && i["health"] == health)
    };
    let name = (stage.ns.as_str(), "web-deployment");
    stage.door.eventually(BINDING, name, &what, says).await?;
    Ok(())
}

async fn rolled_out(stage: &Stage<'_>) -> Result<(), WorldError> {
    let args = [
        "-n",
        &stage.ns,
        "rollout",
        "status",
        "deployment/web",
        "--timeout=60s",
    ];
    let (is_done, text) = kubectl(stage, &args).await?;
    expect(is_done && text.contains("successfully rolled out"), text)
}

/// A rollout at the front door is done when it is done in every member, also after an edit.
fn rollout<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        place(stage).await?;
        rolled_out(stage).await?;
        counts(stage, 4, 4).await?;
        for member in ["edge", "public"] {
            health(stage, member, "Healthy").await?;
        }
        let patch = serde_json::json!({"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}});
        stage
            .door
            .merge(DEPLOYMENT, (&stage.ns, "web"), patch)
            .await?;
        rolled_out(stage).await?;
        let edge = stage.member("edge").await?;
        let here = edge
            .get(DEPLOYMENT, (&stage.ns, "web"))
            .await?
            .unwrap_or_default();
        let is_new = here["spec"]["template"]["metadata"]["labels"]["v"] == "2"
            && here["status"]["updatedReplicas"] == 2;
        expect(is_new, format!("rolled out before edge was: {here}"))
    })
}

/// Pods that do not get ready in one member keep the rollout waiting and that member unhealthy.
fn not_ready<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let kubelet = stage.world.member("edge").kubelet();
        let pods = PodSelector::namespace(&stage.ns);
        kubelet
            .set_behaviour(pods.clone(), PodBehaviour::NeverReady)
            .await?;
        place(stage).await?;
        health(stage, "public", "Healthy").await?;
        health(stage, "edge", "Unhealthy").await?;
        counts(stage, 4, 2).await?;
        let args = [
            "-n",
            &stage.ns,
            "rollout",
            "status",
            "deployment/web",
            "--watch=false",
        ];
        let (_, text) = kubectl(stage, &args).await?;
        expect(text.contains("Waiting for deployment"), text)?;

        kubelet.set_behaviour(pods, PodBehaviour::Ready).await?;
        rolled_out(stage).await?;
        health(stage, "edge", "Healthy").await?;
        counts(stage, 4, 4).await
    })
}
