//! A second hub takes over from a killed one and from a frozen one; the one that wakes does not act.

use super::common::{
    CONFIG_MAP, MEMBERS, Played, alone, arrives, config_map, holds, place_config_map,
};
use crate::real::{NotYet, eventually};
use crate::scenario::{Scenario, Stage, expect};
use crate::world::{Hub, WorldError};
use serde_json::Value;
use std::time::Duration;

pub(super) static SCENARIOS: &[Scenario] = &[alone("takeover-killed-and-frozen", takeover)];

/// A whole lease, the deadline of a write, the agents' back-off, on a busy machine.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(120);
const LEASE: (&str, &str) = ("coordination.k8s.io/v1", "Lease");

fn takeover<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let first = stage.world.hub();
        place_config_map(stage, "app", "one", &MEMBERS).await?;
        has(stage, "one").await?;
        let second = stage.world.second_hub().await?;
        second.ready().await?;
        let term = term(stage).await?;

        first.process().kill().await?;
        first.tap().redirect(second.listens_at());
        leads(stage, "hub-2").await?;
        change(stage, "two").await?;

        first.process().start()?;
        first.ready().await?;
        second.process().pause().await?;
        first.tap().redirect(first.listens_at());
        leads(stage, "hub").await?;
        change(stage, "three").await?;
        second.process().resume()?;
        stands_by(&second).await?;
        change(stage, "four").await?;
        leads(stage, "hub").await?;
        expect(
            self::term(stage).await? >= term + 2,
            "two take-overs are two terms more",
        )?;
        second.process().stop().await?;
        for member in MEMBERS {
            stage.world.cluster_ready(member).await?;
        }
        Ok(())
    })
}

async fn change(stage: &Stage<'_>, value: &'static str) -> Result<(), WorldError> {
    stage
        .door
        .apply(config_map(&stage.ns, "app", value))
        .await?;
    has(stage, value).await
}

async fn has(stage: &Stage<'_>, value: &'static str) -> Result<(), WorldError> {
    let what = format!("holds {value}");
    let name = (stage.ns.as_str(), "app");
    arrives(stage, &MEMBERS, CONFIG_MAP, name, (&what, &holds(value))).await
}

async fn leads(stage: &Stage<'_>, identity: &str) -> Result<(), WorldError> {
    let lease = ("flotilla-system", "flotilla-hub");
    eventually(format!("{identity} leads"), TAKEN_OVER_MAX, async || {
        let found = stage.door.get(LEASE, lease).await.map_err(NotYet::again)?;
        let holder = found
            .map(|l| l["spec"]["holderIdentity"].clone())
            .unwrap_or_default();
        if holder == identity {
            Ok(())
        } else {
            Err(NotYet::again(holder))
        }
    })
    .await
    .map_err(WorldError::from)
}

/// A hub that woke too late says that it stands by; it has done nothing since.
async fn stands_by(hub: &Hub) -> Result<(), WorldError> {
    eventually("the woken hub stands by", TAKEN_OVER_MAX, async || {
        let log = hub.process().log_tail(400);
        if log.contains("stands by again") {
            return Ok(());
        }
        Err(NotYet::again("it has not said so"))
    })
    .await
    .map_err(WorldError::from)
}

async fn term(stage: &Stage<'_>) -> Result<u64, WorldError> {
    let list = stage
        .door
        .get(("fleet.flotilla.dev/v1alpha1", "EpochList"), ("", "fleet"))
        .await?;
    let epochs = list
        .and_then(|l| l["spec"]["epochs"].as_array().cloned())
        .unwrap_or_default();
    Ok(epochs
        .iter()
        .filter_map(|e: &Value| e["term"].as_u64())
        .max()
        .unwrap_or(0))
}
