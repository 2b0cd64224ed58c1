//! Leaving: detached clusters keep their workloads, drained ones give them back, and both may come again.

use super::common::{
    CLUSTER, CONFIG_MAP, IS_THERE, Played, arrives, config_map, goes, holds, place_config_map, read,
};
use crate::scenario::{Needs, Scenario, Stage, expect};

pub(super) static SCENARIOS: &[Scenario] = &[Scenario {
    name: "leave-and-come-again",
    needs: Needs::Own,
    run: leave,
}];

fn leave<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let name = (ns, "app");
        place_config_map(stage, "app", "one", &["edge", "public"]).await?;
        arrives(stage, &["edge", "public"], CONFIG_MAP, name, IS_THERE).await?;

        let said = stage
            .world
            .flotilla(&["unjoin", "edge", "--timeout=60"])
            .await?;
        expect(said.contains("workloads stay"), said)?;
        read(stage, "edge", CONFIG_MAP, name).await?;
        stage.world.rejoin("edge").await?;
        stage.door.apply(config_map(ns, "app", "two")).await?;
        let two = ("holds two", &holds("two") as super::common::Holds<'_>);
        arrives(stage, &["edge", "public"], CONFIG_MAP, name, two).await?;

        let said = stage
            .world
            .flotilla(&["unjoin", "edge", "--drain", "--timeout=120"])
            .await?;
        expect(said.contains("drained"), said)?;
        goes(stage, &["edge"], CONFIG_MAP, name).await?;
        read(stage, "public", CONFIG_MAP, name).await?;
        stage.world.rejoin("edge").await?;
        arrives(stage, &["edge"], CONFIG_MAP, name, two).await?;

        stage.door.delete(CLUSTER, ("", "public")).await?;
        stage.door.eventually_gone(CLUSTER, ("", "public")).await?;
        read(stage, "public", CONFIG_MAP, name).await.map(drop)
    })
}
