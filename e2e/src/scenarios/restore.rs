//! A member that is restored from an older backup of its own: it comes back to what the hub says, and
//! nothing that should live is deleted.

use serde_json::Value;

use super::common::{
    CONFIG_MAP, IS_THERE, Played, alone, arrives, config_map, goes, holds, place_config_map, read,
    settle,
};
use crate::scenario::{Scenario, Stage, expect};

pub(super) static SCENARIOS: &[Scenario] = &[alone("restore-member", member)];

const EDGE: [&str; 1] = ["edge"];

fn member<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        for name in ["kept", "edited", "deleted"] {
            place_config_map(stage, name, "one", &EDGE).await?;
            arrives(stage, &EDGE, CONFIG_MAP, (ns, name), IS_THERE).await?;
        }
        settle(stage).await?;
        let kept = read(stage, "edge", CONFIG_MAP, (ns, "kept")).await?;
        let plane = stage.world.member("edge").plane();
        let backup = stage.world.directory().join("edge-backup");
        plane.snapshot_etcd(&backup).await?;

        stage.door.apply(config_map(ns, "edited", "two")).await?;
        stage.door.delete(CONFIG_MAP, (ns, "deleted")).await?;
        place_config_map(stage, "new", "one", &EDGE).await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "new"), IS_THERE).await?;
        goes(stage, &EDGE, CONFIG_MAP, (ns, "deleted")).await?;

        plane.restore_etcd(&backup).await?;
        let two = ("holds two", &holds("two") as super::common::Holds<'_>);
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "edited"), two).await?;
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "new"), IS_THERE).await?;
        let same = |o: &Value| o["metadata"]["uid"] == kept["metadata"]["uid"];
        let never_gone = ("is the one it was", &same as super::common::Holds<'_>);
        arrives(stage, &EDGE, CONFIG_MAP, (ns, "kept"), never_gone).await?;
        settle(stage).await?;
        // Its removal was acknowledged and is forgotten: now it is a work that nobody decided.
        let orphan = stage.member("edge").await?;
        let orphan = orphan.get(CONFIG_MAP, (ns, "deleted")).await?;
        expect(
            orphan.is_some(),
            "an object was deleted for which there was no word",
        )?;
        stage.world.cluster_ready("edge").await
    })
}
