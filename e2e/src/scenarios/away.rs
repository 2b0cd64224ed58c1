//! Parts that are away for a while: members keep running, agents keep repairing, and whoever comes back
//! catches up.

use serde_json::{Value, json};

use super::common::{
    CONFIG_MAP, IS_THERE, Played, alone, arrives, config_map, goes, holds, place_config_map, read,
};
use crate::real::{NotYet, eventually};
use crate::scenario::{Scenario, Stage, expect};
use crate::world::{Objects, WorldError};

pub(super) static SCENARIOS: &[Scenario] =
    &[alone("away-member-api", member_api), alone("away-hub", hub)];

/// Bodies follow the last change by a few seconds.
const KEPT_MAX: std::time::Duration = std::time::Duration::from_secs(60);
const EDGE: [&str; 1] = ["edge"];

/// What changed while a member's API was away arrives when it is back.
fn member_api<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let plane = stage.world.member("edge").plane();
        place_config_map(stage, "app", "one", &["edge", "public"]).await?;
        arrives(
            stage,
            &["edge", "public"],
            CONFIG_MAP,
            (ns, "app"),
            IS_THERE,
        )
        .await?;
        plane.stop_api().await?;
        stage.door.apply(config_map(ns, "app", "two")).await?;
        place_config_map(stage, "new", "one", &EDGE).await?;
        let two = ("holds two", &holds("two") as super::common::Holds<'_>);
        arrives(stage, &["public"], CONFIG_MAP, (ns, "app"), two).await?;
        plane.start_api().await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "app"), two).await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "new"), IS_THERE).await
    })
}

/// While the hub is away drift is repaired, also by an agent that was killed and lost its node's disk;
/// what was deleted meanwhile goes when the hub is back, and not before.
fn hub<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        for name in ["stays", "goes"] {
            place_config_map(stage, name, "one", &EDGE).await?;
            arrives(
                stage,
                &EDGE,
                CONFIG_MAP,
                (ns, name),
                ("holds one", &holds("one")),
            )
            .await?;
        }
        bodies_are_kept(stage).await?;
        let hub = stage.world.hub().process();
        hub.kill().await?;
        stage.door.delete(CONFIG_MAP, (ns, "goes")).await?;
        let edge = stage.member("edge").await?;
        let by_hand = json!({"data": {"key": "drifted"}});
        edge.merge(CONFIG_MAP, (ns, "goes"), by_hand).await?;
        arrives(
            stage,
            &EDGE,
            CONFIG_MAP,
            (ns, "goes"),
            ("is repaired", &holds("one")),
        )
        .await?;

        let member = stage.world.member("edge");
        member.agent().kill().await?;
        member.forget_node()?;
        let before = read(stage, "edge", CONFIG_MAP, (ns, "stays")).await?;
        edge.delete(CONFIG_MAP, (ns, "stays")).await?;
        member.agent().start()?;
        let again = |o: &Value| o["metadata"]["uid"] != before["metadata"]["uid"];
        arrives(
            stage,
            &EDGE,
            CONFIG_MAP,
            (ns, "stays"),
            ("is made again", &again),
        )
        .await?;
        let kept = read(stage, "edge", CONFIG_MAP, (ns, "goes")).await?;
        expect(
            kept["data"]["key"] == "one",
            "an object went without a word from the hub",
        )?;

        hub.start()?;
        stage.world.hub().ready().await?;
        goes(stage, &EDGE, CONFIG_MAP, (ns, "goes")).await?;
        stage.door.apply(config_map(ns, "stays", "two")).await?;
        arrives(
            stage,
            &EDGE,
            CONFIG_MAP,
            (ns, "stays"),
            ("holds two", &holds("two")),
        )
        .await?;
        stage.world.cluster_ready("edge").await
    })
}

/// Waits until the agent has put the bodies into the member, where no node's disk matters.
async fn bodies_are_kept(stage: &Stage<'_>) -> Result<(), WorldError> {
    let edge = stage.member("edge").await?;
    let before = packs(&edge).await?;
    // One more body is written after those before it, in whichever pack has room.
    place_config_map(stage, "marker", "one", &EDGE).await?;
    eventually("the member holds the bodies", KEPT_MAX, async || {
        let now = packs(&edge).await.map_err(NotYet::again)?;
        if now == before {
            Err(NotYet::again("no pack was written"))
        } else {
            Ok(())
        }
    })
    .await
    .map_err(WorldError::from)
}

/// Names and versions of the Secrets that hold bodies.
async fn packs(edge: &Objects) -> Result<Vec<(Value, Value)>, WorldError> {
    let secrets = edge.list(("v1", "Secret"), "flotilla-system").await?;
    let metadata = secrets.iter().map(|s| &s["metadata"]);
    let packs = metadata.filter(|m| {
        m["name"]
            .as_str()
            .is_some_and(|n| n.starts_with("flotilla-bodies"))
    });
    Ok(packs
        .map(|m| (m["name"].clone(), m["resourceVersion"].clone()))
        .collect())
}
