//! Namespaces go where their objects go, and members keep them.

use serde_json::{Value, json};

use super::common::{
    CONFIG_MAP, IS_THERE, NAMESPACE, Played, arrives, goes, place_config_map, read, settle, shared,
};
use crate::scenario::{Scenario, Stage, expect};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("namespace-follows", follows),
    shared("namespace-deleted", deleted),
    shared("namespace-adopted", adopted),
];

/// Everything said so far has arrived; says nothing in the scenario's own namespace.
async fn settle_elsewhere(stage: &Stage<'_>) -> Result<(), WorldError> {
    let elsewhere = Stage {
        world: stage.world,
        ns: "default".to_owned(),
        door: stage.door.clone(),
    };
    settle(&elsewhere).await
}

/// A namespace is made where objects need it, with the front door's labels, and outlives them.
fn follows<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let label = async |value: &str| {
            let labels = json!({"metadata": {"labels": {"team": value}}});
            stage.door.merge(NAMESPACE, ("", ns), labels).await
        };
        label("one").await?;
        place_config_map(stage, "app", "one", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "app"), IS_THERE).await?;
        let team = |value: &'static str| move |o: &Value| o["metadata"]["labels"]["team"] == value;
        arrives(
            stage,
            &["edge"],
            NAMESPACE,
            ("", ns),
            ("has the label", &team("one")),
        )
        .await?;
        label("two").await?;
        arrives(
            stage,
            &["edge"],
            NAMESPACE,
            ("", ns),
            ("has the edit", &team("two")),
        )
        .await?;
        let uid = read(stage, "edge", NAMESPACE, ("", ns)).await?["metadata"]["uid"].take();

        stage.door.delete(CONFIG_MAP, (ns, "app")).await?;
        goes(stage, &["edge"], CONFIG_MAP, (ns, "app")).await?;
        settle_elsewhere(stage).await?;
        let left = read(stage, "edge", NAMESPACE, ("", ns)).await?;
        let is_same =
            left["metadata"]["uid"] == uid && left["metadata"]["deletionTimestamp"].is_null();
        expect(
            is_same,
            format!("the namespace went with its last object: {left}"),
        )?;
        let elsewhere = stage
            .member("private")
            .await?
            .get(NAMESPACE, ("", ns))
            .await?;
        expect(
            elsewhere.is_none(),
            "the namespace is where none of its objects is",
        )
    })
}

/// Deleting a namespace at the front door takes its objects off the members, not their namespace.
fn deleted<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let names = ["first", "second"];
        for name in names {
            place_config_map(stage, name, "one", &["edge", "public"]).await?;
        }
        let edge = stage.member("edge").await?;
        let foreign = super::common::config_map(ns, "foreign", "one");
        for name in names {
            arrives(stage, &["edge", "public"], CONFIG_MAP, (ns, name), IS_THERE).await?;
        }
        edge.apply(foreign).await?;
        stage.door.delete(NAMESPACE, ("", ns)).await?;
        stage.door.eventually_gone(NAMESPACE, ("", ns)).await?;
        for name in names {
            goes(stage, &["edge", "public"], CONFIG_MAP, (ns, name)).await?;
        }
        settle_elsewhere(stage).await?;
        let foreign = read(stage, "edge", CONFIG_MAP, (ns, "foreign")).await?;
        expect(
            foreign["metadata"]["deletionTimestamp"].is_null(),
            "what a member has of its own went with the front door's namespace",
        )?;

        // Made anew, it works as before.
        let again = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}});
        stage.door.apply(again).await?;
        place_config_map(stage, "first", "two", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "first"), IS_THERE).await
    })
}

/// A namespace that a member has already is used as it is: its own labels and objects stay.
fn adopted<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let edge = stage.member("edge").await?;
        edge.apply(json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": ns, "labels": {"member": "own"}}}))
            .await?;
        edge.apply(super::common::config_map(ns, "own", "one"))
            .await?;
        let uid = read(stage, "edge", NAMESPACE, ("", ns)).await?["metadata"]["uid"].take();
        place_config_map(stage, "app", "one", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "app"), IS_THERE).await?;
        stage.door.delete(NAMESPACE, ("", ns)).await?;
        goes(stage, &["edge"], CONFIG_MAP, (ns, "app")).await?;
        stage.door.eventually_gone(NAMESPACE, ("", ns)).await?;
        settle_elsewhere(stage).await?;
        let left = read(stage, "edge", NAMESPACE, ("", ns)).await?;
        let is_same = left["metadata"]["uid"] == uid
            && left["metadata"]["labels"]["member"] == "own"
            && left["metadata"]["deletionTimestamp"].is_null();
        expect(
            is_same,
            format!("the member's namespace is not as it was: {left}"),
        )?;
        let own = read(stage, "edge", CONFIG_MAP, (ns, "own")).await?;
        expect(
            own["data"]["key"] == "one",
            format!("its own object changed: {own}"),
        )
    })
}
