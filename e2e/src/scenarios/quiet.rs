//! Nothing changes: nothing is written and nothing is listed, at the front door and in the members.
//!
//! Lease renewals are counted apart and printed. `FLOTILLA_QUIET_SECONDS` makes the window longer,
//! `FLOTILLA_QUIET_WORKS` the fleet fuller.

use std::time::Duration;

use serde_json::{Value, json};

use super::common::{CONFIG_MAP, MEMBERS, Played, alone, config_map, policy_of, settle};
use crate::real::{AuditCounts, AuditKey, NotYet, eventually};
use crate::scenario::{Scenario, Stage, clusters, expect};
use crate::world::{AGENT_USER, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[alone("quiet-after-convergence", quiet)];

const WINDOW_SECONDS: u64 = 20;
/// Works made for it, over all members.
const WORKS: u64 = 60;
/// Making and delivering all of them, on two busy cores.
const FILLED_MAX: Duration = Duration::from_secs(120);
/// Pages and packs follow the last change by a few seconds.
const CALM: Duration = Duration::from_secs(15);

fn quiet<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        fill(stage, number("FLOTILLA_QUIET_WORKS", WORKS)).await?;
        settle(stage).await?;
        tokio::time::sleep(CALM).await;
        let seconds = number("FLOTILLA_QUIET_SECONDS", WINDOW_SECONDS);
        let mut logs = vec![(
            "front door",
            stage.world.door().audit(),
            flotilla_hub::rbac::HUB_NAME,
        )];
        logs.extend(
            MEMBERS
                .iter()
                .map(|m| (*m, stage.world.member(m).plane().audit(), AGENT_USER)),
        );
        let marks: Vec<_> = logs.iter().map(|(_, log, _)| log.mark()).collect();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        for ((whose, log, user), mark) in logs.iter().zip(marks) {
            judge((whose, seconds), &log.since(mark?)?.by_user(user))?;
        }
        Ok(())
    })
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Makes works and waits until each is where it belongs.
async fn fill(stage: &Stage<'_>, works: u64) -> Result<(), WorldError> {
    let ns = stage.ns.as_str();
    let selectors = json!([{"apiVersion": "v1", "kind": "ConfigMap",
        "labelSelector": {"matchLabels": {"part": "quiet"}}}]);
    let all = policy_of(ns, "quiet", selectors, clusters(&MEMBERS));
    stage.door.apply(all).await?;
    let objects = works.div_ceil(MEMBERS.len() as u64);
    for n in 0..objects {
        let mut object = config_map(ns, &format!("quiet-{n}"), "one");
        object["metadata"]["labels"] = json!({"part": "quiet"});
        stage.door.apply(object).await?;
    }
    let want = usize::try_from(objects).unwrap_or(usize::MAX);
    for member in MEMBERS {
        let objects = stage.member(member).await?;
        let what = format!("{member} has its {want} works");
        eventually(what, FILLED_MAX, async || {
            let listed = objects.list(CONFIG_MAP, ns).await.map_err(NotYet::again)?;
            let ours = |o: &&Value| o["metadata"]["labels"]["part"] == "quiet";
            let count = listed.iter().filter(ours).count();
            if count == want {
                return Ok(());
            }
            Err(NotYet::again(format!("{count} are there")))
        })
        .await?;
    }
    Ok(())
}

fn judge((whose, seconds): (&str, u64), counts: &AuditCounts) -> Result<(), WorldError> {
    let is_lease = |key: &AuditKey| key.resource.starts_with("leases");
    let leases = counts.count(|key| is_lease(key) && key.is_write());
    let others = counts.only(|key| !is_lease(key));
    let lists = others.count(|key| key.verb == "list");
    println!(
        "    {whose}: {} writes, {lists} lists, {leases} lease renewals in {seconds} s",
        others.writes()
    );
    expect(
        others.writes() == 0,
        format!("{whose} was written to in quiet:\n{others}"),
    )?;
    expect(
        lists == 0,
        format!("{whose} was listed in quiet:\n{others}"),
    )
}
