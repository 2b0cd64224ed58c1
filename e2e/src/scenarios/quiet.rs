//! Nothing changes: nothing is written and nothing is listed, at the front door and in the members.
//!
//! Lease renewals are counted apart and printed. `FLOTILLA_QUIET_SECONDS` makes the window longer.

use std::time::Duration;

use super::common::{MEMBERS, Played, alone, settle};
use crate::real::{AuditCounts, AuditKey, AuditLog};
use crate::scenario::{Scenario, Stage, expect};
use crate::world::{AGENT_USER, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[alone("quiet-after-convergence", quiet)];

const WINDOW_SECONDS: u64 = 20;
/// Pages and packs follow the last change by a few seconds.
const CALM: Duration = Duration::from_secs(15);

fn quiet<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        settle(stage).await?;
        tokio::time::sleep(CALM).await;
        let seconds = std::env::var("FLOTILLA_QUIET_SECONDS")
            .ok()
            .and_then(|s| s.parse().ok());
        let seconds = seconds.unwrap_or(WINDOW_SECONDS);
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
            judge((whose, seconds), log, &log.since(mark?)?.by_user(user))?;
        }
        Ok(())
    })
}

fn judge(
    (whose, seconds): (&str, u64),
    _log: &AuditLog,
    counts: &AuditCounts,
) -> Result<(), WorldError> {
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
