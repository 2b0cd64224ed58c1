//! Nothing changes: nobody writes and nobody lists, at the front door and in the members.
//!
//! Every user of every API server counts. Exempt, by name and printed, are lease renewals and what the
//! control planes' own parts do by themselves. `FLOTILLA_QUIET_SECONDS` makes the window longer,
//! `FLOTILLA_QUIET_WORKS` the fleet fuller.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::{CONFIG_MAP, MEMBERS, Played, alone, config_map, policy_of, settle};
use crate::real::{AuditEvent, AuditKey, NotYet, eventually};
use crate::scenario::{Scenario, Stage, clusters, expect, number, quiet_window};
use crate::world::{AGENT_USER, WorldError, calm};

pub(super) static SCENARIOS: &[Scenario] = &[alone("quiet-after-convergence", quiet)];

const WINDOW: Duration = Duration::from_secs(20);
/// Works made for it, over all members.
const WORKS: u64 = 60;
/// Making and delivering all of them, on two busy cores.
const FILLED_MAX: Duration = Duration::from_secs(120);
fn quiet<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        fill(stage, number("FLOTILLA_QUIET_WORKS").unwrap_or(WORKS)).await?;
        settle(stage).await?;
        let calm = stage.world.calm().await?;
        let window = quiet_window().unwrap_or(WINDOW);
        println!(
            "    calm {:.0} s after the last work arrived; watching for {} s",
            calm.as_secs_f64(),
            window.as_secs()
        );
        let logs = stage.world.audits();
        let marks: Result<Vec<_>, _> = logs.iter().map(|(_, log)| log.mark()).collect();
        let marks = marks?;
        // The window is what is measured: nothing is waited for.
        tokio::time::sleep(window).await;
        let mut broken = String::new();
        for ((whose, log), mark) in logs.iter().zip(marks) {
            broken.push_str(&judge(whose, log.events(mark, None)?));
        }
        expect(broken.is_empty(), format!("not quiet:\n{broken}"))
    })
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

/// Prints everything one API server was asked for, and returns what nobody may ask for in quiet.
fn judge(whose: &str, events: Vec<AuditEvent>) -> String {
    let mut broken = String::new();
    let mut rows = BTreeMap::<AuditKey, u64>::new();
    let (mut writes, mut lists) = (0, 0);
    for event in events {
        if calm::is_noise(&event.key) {
            broken.push_str(&format!("{whose}: {}\n", calm::Line(&event)));
            writes += u64::from(event.key.is_write());
            lists += u64::from(event.key.verb == "list");
        }
        *rows.entry(row(event.key)).or_default() += 1;
    }
    println!("    {whose}: {writes} writes, {lists} lists, of all users");
    for (key, count) in rows {
        println!(
            "      {count:>5} {:<6} {:<42} {:<32} {}",
            key.verb,
            key.resource,
            key.user,
            calm::verdict(&key)
        );
    }
    broken
}

/// What the control planes' own parts read or watch is one row: it is as it is.
fn row(key: AuditKey) -> AuditKey {
    let ours = [flotilla_hub::rbac::HUB_NAME, AGENT_USER].contains(&key.user.as_str());
    let reads = ["get", "watch"].contains(&key.verb.as_str());
    if ours || !reads {
        return key;
    }
    AuditKey {
        resource: "(any)".to_owned(),
        ..key
    }
}
