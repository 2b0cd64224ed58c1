//! A second hub takes over from a killed one and from a frozen one; the one that wakes does not act.
//!
//! Judged by audit logs: hubs are told apart by the group in their certificate.

use super::common::{
    CONFIG_MAP, MEMBERS, Played, alone, arrives, config_map, holds, place_config_map, settle,
};
use crate::real::{AuditEvent, AuditMark, NotYet, eventually};
use crate::scenario::{Scenario, Stage, expect};
use crate::world::calm::Line;
use crate::world::{AGENT_USER, WorldError};
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

        let mark = stage.world.door().audit().mark()?;
        first.process().kill().await?;
        first.tap().redirect(second.listens_at());
        leads(stage, "hub-2").await?;
        change(stage, "two").await?;
        succeeds(stage, mark, ("hub", "hub-2"))?;

        first.process().start()?;
        first.ready().await?;
        let mark = stage.world.door().audit().mark()?;
        second.process().pause().await?;
        first.tap().redirect(first.listens_at());
        leads(stage, "hub").await?;
        change(stage, "three").await?;
        let woken = stage.world.door().audit().mark()?;
        second.process().resume()?;
        asks_for_its_lease(stage, woken).await?;
        let marks = member_marks(stage)?;
        change(stage, "four").await?;
        settle(stage).await?;
        leads(stage, "hub").await?;
        succeeds(stage, mark, ("hub-2", "hub"))?;
        written_once(stage, &marks)?;
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

/// A hub that woke too late has asked for the lease that it believed to hold: it runs again.
async fn asks_for_its_lease(stage: &Stage<'_>, woken: AuditMark) -> Result<(), WorldError> {
    let log = stage.world.door().audit();
    eventually(
        "the woken hub asks for its lease",
        TAKEN_OVER_MAX,
        async || {
            let events = log.events(woken, None).map_err(NotYet::never)?;
            let asked =
                |e: &&AuditEvent| is_by(e, "hub-2") && e.key.resource.starts_with("leases.");
            match events.iter().find(asked) {
                Some(_) => Ok(()),
                None => Err(NotYet::again("it has not")),
            }
        },
    )
    .await
    .map_err(WorldError::from)
}

fn is_by(event: &AuditEvent, hub: &str) -> bool {
    event.groups.iter().any(|group| group == hub)
}

/// From the first write of the new hub on, the front door has taken no write of the old one.
fn succeeds(
    stage: &Stage<'_>,
    mark: AuditMark,
    (old, new): (&str, &str),
) -> Result<(), WorldError> {
    let events = stage.world.door().audit().events(mark, None)?;
    let taken = |e: &AuditEvent| e.key.is_write() && (200..300).contains(&e.code);
    let first = events.iter().position(|e| is_by(e, new) && taken(e));
    let first = first.ok_or_else(|| WorldError::Expected(format!("{new} has written nothing")))?;
    let late: String = events[first..]
        .iter()
        .filter(|e| is_by(e, old) && taken(e))
        .map(|e| format!("\n{}", Line(e)))
        .collect();
    let by_new = events.iter().filter(|e| is_by(e, new) && taken(e)).count();
    println!("    {new} wrote {by_new} times after {old}, which wrote nothing more");
    expect(
        late.is_empty(),
        format!("{old} wrote after {new} did:{late}"),
    )
}

fn member_marks(stage: &Stage<'_>) -> Result<Vec<AuditMark>, WorldError> {
    let marks = MEMBERS.map(|m| stage.world.member(m).plane().audit().mark());
    let marks: Result<_, _> = marks.into_iter().collect();
    marks.map_err(WorldError::from)
}

/// Each member's object was written once for the one change: nobody told its agent anything else.
fn written_once(stage: &Stage<'_>, marks: &[AuditMark]) -> Result<(), WorldError> {
    for (member, mark) in MEMBERS.iter().zip(marks) {
        let log = stage.world.member(member).plane().audit();
        let events = log.events(*mark, None)?;
        let writes: Vec<_> = events
            .iter()
            .filter(|e| e.key.user == AGENT_USER && e.key.is_write() && e.name == "app")
            .filter(|e| e.namespace == stage.ns)
            .collect();
        let all: String = writes.iter().map(|e| format!("\n{}", Line(e))).collect();
        expect(writes.len() == 1, format!("{member}: not one write:{all}"))?;
    }
    Ok(())
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
