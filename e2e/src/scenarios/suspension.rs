//! Holding back and leaving behind: suspended dispatch, and what stays when a template goes.

use serde_json::{Value, json};

use super::common::{
    CONFIG_MAP, Played, arrives, config_map, goes, holds, only_in, read, settle, shared,
};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("suspend-everywhere", everywhere),
    shared("suspend-one-cluster", one_cluster),
    shared("preserve-on-deletion", preserve),
];

const BOTH: [&str; 2] = ["edge", "public"];

/// Applies the policy of `app` for both clusters, with more fields of its spec.
async fn place(stage: &Stage<'_>, more: Value) -> Result<(), WorldError> {
    let selectors = [("v1", "ConfigMap", "app")];
    let mut policy = policy(&stage.ns, "app", &selectors, clusters(&BOTH));
    for (key, value) in more.as_object().into_iter().flatten() {
        policy["spec"][key] = value.clone();
    }
    stage.door.apply(policy).await.map(drop)
}

async fn set(stage: &Stage<'_>, value: &str) -> Result<(), WorldError> {
    let object = config_map(&stage.ns, "app", value);
    stage.door.apply(object).await.map(drop)
}

async fn has(stage: &Stage<'_>, members: &[&str], value: &'static str) -> Result<(), WorldError> {
    let name = (stage.ns.as_str(), "app");
    let what = format!("has {value}");
    arrives(stage, members, CONFIG_MAP, name, (&what, &holds(value))).await
}

async fn has_still(stage: &Stage<'_>, member: &str, value: &str) -> Result<(), WorldError> {
    let object = read(stage, member, CONFIG_MAP, (&stage.ns, "app")).await?;
    let found = &object["data"]["key"];
    expect(
        *found == value,
        format!("{member} has {found} while it is suspended at {value}"),
    )
}

/// While dispatching is suspended no edit arrives; taking the object away still works.
fn everywhere<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        place(stage, json!({})).await?;
        set(stage, "one").await?;
        has(stage, &BOTH, "one").await?;
        place(stage, json!({"suspension": {"dispatching": true}})).await?;
        settle(stage).await?;
        set(stage, "two").await?;
        settle(stage).await?;
        for member in BOTH {
            has_still(stage, member, "one").await?;
        }
        place(stage, json!({})).await?;
        has(stage, &BOTH, "two").await?;

        place(stage, json!({"suspension": {"dispatching": true}})).await?;
        settle(stage).await?;
        stage.door.delete(CONFIG_MAP, (&stage.ns, "app")).await?;
        goes(stage, &BOTH, CONFIG_MAP, (&stage.ns, "app")).await
    })
}

/// Suspended for one cluster, edits arrive in the others, and there too once it is lifted.
fn one_cluster<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        place(stage, json!({})).await?;
        set(stage, "one").await?;
        has(stage, &BOTH, "one").await?;
        let edge = json!({"dispatchingOnClusters": {"clusterNames": ["edge"]}});
        place(stage, json!({"suspension": edge})).await?;
        settle(stage).await?;
        set(stage, "two").await?;
        has(stage, &["public"], "two").await?;
        settle(stage).await?;
        has_still(stage, "edge", "one").await?;
        place(stage, json!({})).await?;
        has(stage, &BOTH, "two").await
    })
}

/// Asked to preserve, the deletion of a template leaves the members' objects, no longer marked ours.
fn preserve<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        place(stage, json!({"preserveResourcesOnDeletion": true})).await?;
        set(stage, "one").await?;
        let name = (stage.ns.as_str(), "app");
        only_in(stage, &BOTH, CONFIG_MAP, name).await?;
        stage.door.delete(CONFIG_MAP, name).await?;
        let unmarked = |o: &Value| {
            let labels = &o["metadata"]["labels"];
            labels["fleet.flotilla.dev/owner"].is_null() && labels["karmada.io/managed"].is_null()
        };
        arrives(
            stage,
            &BOTH,
            CONFIG_MAP,
            name,
            ("carries no mark of ours", &unmarked),
        )
        .await?;
        only_in(stage, &BOTH, CONFIG_MAP, name).await
    })
}
