//! Who owns what in a member: drift is repaired, what others put there stays, and what was there before
//! is touched only when the policy says so.

use serde_json::{Value, json};

use super::common::{
    BINDING, CONFIG_MAP, Played, arrives, config_map, holds, place_config_map, read, settle, shared,
};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("drift-repaired", repaired),
    shared("foreign-abort-then-overwrite", foreign),
];

const EDGE: [&str; 1] = ["edge"];

/// A changed field and a deleted object come back; a field that nobody here owns stays.
fn repaired<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let name = (stage.ns.as_str(), "app");
        place_config_map(stage, "app", "one", &EDGE).await?;
        arrives(stage, &EDGE, CONFIG_MAP, name, ("holds one", &holds("one"))).await?;
        let edge = stage.member("edge").await?;

        let by_hand = json!({"data": {"key": "drifted", "extra": "by hand"}});
        edge.merge(CONFIG_MAP, name, by_hand).await?;
        let both = |o: &Value| o["data"]["key"] == "one" && o["data"]["extra"] == "by hand";
        arrives(
            stage,
            &EDGE,
            CONFIG_MAP,
            name,
            ("is repaired and keeps extra", &both),
        )
        .await?;

        let before = read(stage, "edge", CONFIG_MAP, name).await?;
        edge.delete(CONFIG_MAP, name).await?;
        let again = |o: &Value| {
            o["metadata"]["uid"] != before["metadata"]["uid"] && o["data"]["key"] == "one"
        };
        arrives(stage, &EDGE, CONFIG_MAP, name, ("is there again", &again)).await
    })
}

/// An object that was there first is left alone, and the binding says what to do; with Overwrite it is
/// adopted wholly, so that what leaves the template leaves it too.
fn foreign<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let name = (ns, "app");
        let edge = stage.member("edge").await?;
        edge.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}))
            .await?;
        let mut theirs = config_map(ns, "app", "theirs");
        theirs["data"]["shared"] = json!("same");
        edge.create(theirs).await?;

        let mut ours = config_map(ns, "app", "ours");
        ours["data"]["shared"] = json!("same");
        let selectors = [(CONFIG_MAP.0, CONFIG_MAP.1, "app")];
        let mut placed = policy(ns, "app", &selectors, clusters(&EDGE));
        stage.door.apply(placed.clone()).await?;
        stage.door.apply(ours.clone()).await?;
        let refused = |binding: &Value| {
            let item = &binding["status"]["aggregatedStatus"][0];
            let text = item["appliedMessage"].as_str().unwrap_or("");
            item["applied"] != true && text.contains("Overwrite")
        };
        let binding = (ns, "app-configmap");
        stage
            .door
            .eventually(BINDING, binding, "says what to do", refused)
            .await?;
        settle(stage).await?;
        let kept = read(stage, "edge", CONFIG_MAP, name).await?;
        expect(
            kept["data"]["key"] == "theirs",
            "a foreign object was changed under Abort",
        )?;

        placed["spec"]["conflictResolution"] = json!("Overwrite");
        stage.door.apply(placed).await?;
        arrives(stage, &EDGE, CONFIG_MAP, name, ("is ours", &holds("ours"))).await?;
        let patch = json!({"data": {"shared": null}});
        stage.door.merge(CONFIG_MAP, name, patch).await?;
        let gone = |o: &Value| o["data"].get("shared").is_none() && o["data"]["key"] == "ours";
        arrives(
            stage,
            &EDGE,
            CONFIG_MAP,
            name,
            ("has lost what left the template", &gone),
        )
        .await
    })
}

/// Whether the binding says that the work is in the cluster.
pub(super) async fn applied(
    stage: &Stage<'_>,
    binding: &str,
    cluster: &str,
) -> Result<(), WorldError> {
    let says = |binding: &Value| {
        let items = binding["status"]["aggregatedStatus"].as_array();
        items
            .into_iter()
            .flatten()
            .any(|i| i["clusterName"] == cluster && i["applied"] == true)
    };
    let name = (stage.ns.as_str(), binding);
    stage
        .door
        .eventually(BINDING, name, "says applied", says)
        .await
        .map(drop)
}
