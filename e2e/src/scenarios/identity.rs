//! Who may speak for a cluster: a revoked agent is cut off on its live stream, and its workloads stay.
//!
//! The matrix of tokens, certificates and messages is proven at the services, in the hub's own tests.

use std::time::Duration;

use serde_json::json;

use super::common::{
    CONFIG_MAP, IS_THERE, Played, alone, arrives, config_map, holds, place_config_map, read,
};
use crate::real::{NotYet, eventually};
use crate::scenario::{Scenario, Stage, expect};

pub(super) static SCENARIOS: &[Scenario] = &[alone("revoked-on-a-live-stream", revoked)];

const ENROLMENT: (&str, &str) = ("fleet.flotilla.dev/v1alpha1", "Enrolment");
/// The rule says five seconds; the rest is the process's end on a busy machine.
const CUT_MAX: Duration = Duration::from_secs(15);

fn revoked<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        place_config_map(stage, "app", "one", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "app"), IS_THERE).await?;
        stage.world.flotilla(&["revoke", "edge"]).await?;
        let agent = stage.world.member("edge").agent();
        eventually("the revoked agent is cut off", CUT_MAX, async || {
            if agent.log_tail(60).contains("revoked") || !agent.is_running() {
                return Ok(());
            }
            Err(NotYet::again("it goes on"))
        })
        .await?;
        stage.door.apply(config_map(ns, "app", "two")).await?;
        place_config_map(stage, "other", "one", &["public"]).await?;
        arrives(stage, &["public"], CONFIG_MAP, (ns, "other"), IS_THERE).await?;
        let kept = read(stage, "edge", CONFIG_MAP, (ns, "app")).await?;
        expect(
            kept["data"]["key"] == "one",
            "a revoked cluster got an edit",
        )?;

        stage
            .door
            .merge(
                ENROLMENT,
                ("", "edge"),
                json!({"spec": {"state": "Active"}}),
            )
            .await?;
        agent.restart_if_ended().await?;
        stage.world.cluster_ready("edge").await?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            (ns, "app"),
            ("holds two", &holds("two")),
        )
        .await
    })
}
