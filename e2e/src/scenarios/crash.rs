//! Hub and agent killed at random moments of a stream of changes: at the end every member holds exactly
//! what the front door acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::common::{CONFIG_MAP, MEMBERS, Played, alone, config_map};
use crate::real::{NotYet, Process, eventually};
use crate::scenario::{Scenario, Stage, clusters};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[alone("crash-hub", hub), alone("crash-agent", agent)];

/// Kills per seed; a scenario plays at least two seeds.
const KILLS: u32 = 15;
/// Other seeds than the scenarios' own, as in `FLOTILLA_CRASH_SEEDS=5,6,7`.
const SEEDS: &str = "FLOTILLA_CRASH_SEEDS";
/// Objects that live at once.
const OBJECTS: u64 = 12;
/// After the last kill everything must be in line within this.
const CONVERGED_MAX: Duration = Duration::from_secs(120);

fn hub<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move { streams(stage, stage.world.hub().process(), &[11, 12]).await })
}

fn agent<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move { streams(stage, stage.world.member("edge").agent(), &[23, 24]).await })
}

/// A small generator with a printed seed is enough: the moments matter, not their distribution.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What the front door said yes to: name to value.
type Acknowledged = BTreeMap<String, String>;

/// One stream after the other, each into what the one before it left, then convergence.
async fn streams(stage: &Stage<'_>, process: &Process, own: &[u64]) -> Result<(), WorldError> {
    let ns = stage.ns.as_str();
    let selectors = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    stage
        .door
        .apply(super::common::policy_of(
            ns,
            "all",
            selectors,
            clusters(&MEMBERS),
        ))
        .await?;
    let mut acknowledged = Acknowledged::new();
    for seed in seeds(own)? {
        stream(stage, process, seed, &mut acknowledged).await?;
    }
    converged(stage, &acknowledged).await
}

fn seeds(own: &[u64]) -> Result<Vec<u64>, WorldError> {
    let Ok(given) = std::env::var(SEEDS) else {
        return Ok(own.to_vec());
    };
    let seeds: Result<Vec<_>, _> = given.split(',').map(|s| s.trim().parse()).collect();
    seeds.map_err(|e| WorldError::Expected(format!("{SEEDS}={given}: {e}")))
}

async fn stream(
    stage: &Stage<'_>,
    process: &Process,
    seed: u64,
    acknowledged: &mut Acknowledged,
) -> Result<(), WorldError> {
    let ns = stage.ns.as_str();
    let mut random = Random(seed);
    let mut made = 0;
    for kill in 0..KILLS {
        for _ in 0..1 + random.below(6) {
            let live = acknowledged.len() as u64;
            let any = acknowledged.keys().nth(random.below(live.max(1)) as usize);
            // Seldom a deletion: more than 25 derived ones in a minute are held for a person.
            match (any.cloned(), random.below(8)) {
                (Some(name), 0) => {
                    stage.door.delete(CONFIG_MAP, (ns, &name)).await?;
                    acknowledged.remove(&name);
                }
                // A name is not used twice: deleted, made anew and deleted again while no hub looks,
                // an object of the first is held for a person, which is another scenario.
                (name, turn) => {
                    let name = name.filter(|_| turn < 6 || live >= OBJECTS);
                    let name = name.unwrap_or_else(|| {
                        made += 1;
                        format!("cm-{seed}-{made}")
                    });
                    let value = format!("{kill}-{}", random.below(1_000));
                    stage.door.apply(config_map(ns, &name, &value)).await?;
                    acknowledged.insert(name, value);
                }
            }
        }
        // Between no time and long enough for a whole delivery.
        tokio::time::sleep(Duration::from_millis(random.below(1_500))).await;
        process.kill().await?;
        process.start()?;
    }
    println!(
        "    {KILLS} kills of {}, seed {seed}, {} objects at the end",
        process.name(),
        acknowledged.len()
    );
    Ok(())
}

async fn converged(stage: &Stage<'_>, acknowledged: &Acknowledged) -> Result<(), WorldError> {
    for member in MEMBERS {
        let objects = stage.member(member).await?;
        let what = format!("{member} holds exactly what was acknowledged");
        eventually(what, CONVERGED_MAX, async || {
            let listed = objects
                .list(CONFIG_MAP, &stage.ns)
                .await
                .map_err(NotYet::again)?;
            let held: Acknowledged = listed
                .iter()
                .filter_map(|o| {
                    let name = o["metadata"]["name"].as_str()?;
                    let value = o["data"]["key"].as_str()?;
                    name.starts_with("cm-")
                        .then(|| (name.to_owned(), value.to_owned()))
                })
                .collect();
            if held == *acknowledged {
                return Ok(());
            }
            Err(NotYet::again(format!(
                "held {held:?}, acknowledged {acknowledged:?}"
            )))
        })
        .await?;
    }
    Ok(())
}
