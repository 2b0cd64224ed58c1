//! Scenarios: what a person does and what must then be true, written once against `World`.
//!
//! The runner decides which world a scenario gets, runs those that share one side by side in
//! namespaces of their own, and prints one line each. It never repeats a failed scenario.

use std::fmt;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::real::Assets;
use crate::world::{Objects, World, WorldError, WorldOptions};

/// Scenarios of the shared world that run at once: more only wait for the two cores.
const AT_ONCE: usize = 3;
/// No scenario takes longer, but for the quiet that somebody asked for.
const SCENARIO_MAX: Duration = Duration::from_secs(600);
/// How many seconds the quiet scenario watches.
const QUIET_SECONDS: &str = "FLOTILLA_QUIET_SECONDS";

/// Which world a scenario gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The shared world, beside others.
    Shared,
    /// The shared world alone: it breaks parts and heals them again.
    Alone,
    /// A world of its own: it breaks what cannot be healed.
    Own,
    /// A world of its own whose hub is started with these flags too.
    OwnHub(&'static [&'static str]),
}

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Name, also of its namespace: lower case with dashes.
    pub name: &'static str,
    /// Which world.
    pub needs: Needs,
    /// What happens; an error is a failure.
    pub run: for<'a> fn(&'a Stage<'a>) -> BoxFuture<'a, Result<(), WorldError>>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Where a scenario plays.
pub struct Stage<'a> {
    /// The fleet.
    pub world: &'a World,
    /// Its own namespace at the front door.
    pub ns: String,
    /// Objects at the front door.
    pub door: Objects,
}

impl<'a> Stage<'a> {
    async fn set(world: &'a World, scenario: &Scenario) -> Result<Self, WorldError> {
        let door = world.front_door().await?;
        let ns = scenario.name.to_owned();
        door.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}))
            .await?;
        Ok(Self { world, ns, door })
    }

    /// Objects of a member, read with its own kubeconfig.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn member(&self, name: &str) -> Result<Objects, WorldError> {
        self.world.member(name).objects().await
    }
}

/// Fails a scenario unless something is so.
///
/// # Errors
/// When it is not.
pub fn expect(holds: bool, what: impl fmt::Display) -> Result<(), WorldError> {
    if holds {
        Ok(())
    } else {
        Err(WorldError::Expected(what.to_string()))
    }
}

/// A PropagationPolicy that selects objects by kind and name.
#[must_use]
pub fn policy(ns: &str, name: &str, selectors: &[(&str, &str, &str)], placement: Value) -> Value {
    let selectors: Vec<_> = selectors
        .iter()
        .map(|(api, kind, name)| json!({"apiVersion": api, "kind": kind, "name": name}))
        .collect();
    json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {"name": name, "namespace": ns},
        "spec": {"resourceSelectors": selectors, "placement": placement},
    })
}

/// A placement in these clusters.
#[must_use]
pub fn clusters(names: &[&str]) -> Value {
    json!({"clusterAffinity": {"clusterNames": names}})
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// Scenarios that passed.
    pub passed: usize,
    /// Scenarios that failed.
    pub failed: usize,
}

/// Why scenarios did not run at all: the programs are not built.
#[must_use]
pub fn not_run() -> Option<String> {
    Assets::find()
        .err()
        .map(|error| format!("not run: {error}"))
}

/// Runs all scenarios whose name contains one of the words; no words = all.
pub async fn run_all(scenarios: &[Scenario], words: &[String]) -> Summary {
    let chosen: Vec<_> = scenarios
        .iter()
        .filter(|s| words.is_empty() || words.iter().any(|w| s.name.contains(w.as_str())))
        .collect();
    let of = |needs: Needs| chosen.iter().copied().filter(move |s| s.needs == needs);
    let mut results = Vec::new();
    if of(Needs::Shared).chain(of(Needs::Alone)).next().is_some() {
        let started = Instant::now();
        match World::start(WorldOptions::standard("shared")).await {
            Err(error) => {
                let all = of(Needs::Shared).chain(of(Needs::Alone));
                let text = format!("its world did not start: {}", explain(&error));
                results.extend(all.map(|s| report(s, Duration::ZERO, Err(text.clone()))));
            }
            Ok(world) => {
                println!(
                    "shared world ready in {:.1} s",
                    started.elapsed().as_secs_f64()
                );
                let beside = stream::iter(of(Needs::Shared)).map(|s| play(s, &world));
                let mut beside = beside.buffer_unordered(AT_ONCE);
                while let Some(passed) = beside.next().await {
                    results.push(passed);
                }
                for scenario in of(Needs::Alone) {
                    results.push(play(scenario, &world).await);
                }
                if results.contains(&false) || keeps() {
                    world.keep();
                }
            }
        }
    }
    let own = |needs: Needs| matches!(needs, Needs::Own | Needs::OwnHub(_));
    for scenario in chosen.iter().copied().filter(|s| own(s.needs)) {
        results.push(play_own(scenario).await);
    }
    let passed = results.iter().filter(|passed| **passed).count();
    Summary {
        passed,
        failed: results.len() - passed,
    }
}

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The quiet that was asked for; none = the scenario's own short window.
pub(crate) fn quiet_window() -> Option<Duration> {
    number(QUIET_SECONDS).map(Duration::from_secs)
}

/// Whether somebody wants to read the logs of a run that passes.
fn keeps() -> bool {
    std::env::var_os("FLOTILLA_E2E_KEEP").is_some()
}

async fn play_own(scenario: &Scenario) -> bool {
    let started = Instant::now();
    let hub_flags = match scenario.needs {
        Needs::OwnHub(flags) => flags,
        Needs::Shared | Needs::Alone | Needs::Own => &[],
    };
    let options = WorldOptions {
        hub_flags,
        ..WorldOptions::standard(scenario.name)
    };
    match World::start(options).await {
        Err(error) => report(scenario, started.elapsed(), Err(explain(&error))),
        Ok(world) => {
            let passed = play(scenario, &world).await;
            if !passed || keeps() {
                world.keep();
            }
            passed
        }
    }
}

async fn play(scenario: &Scenario, world: &World) -> bool {
    let started = Instant::now();
    let within = SCENARIO_MAX + quiet_window().unwrap_or_default();
    let played = timeout(within, async {
        let stage = Stage::set(world, scenario).await?;
        (scenario.run)(&stage).await
    });
    let result = match played.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("not over after {within:?}")),
    };
    report(scenario, started.elapsed(), result)
}

fn explain(error: &WorldError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

fn report(scenario: &Scenario, took: Duration, result: Result<(), String>) -> bool {
    let needs = match scenario.needs {
        Needs::Shared => "shared",
        Needs::Alone => "alone",
        Needs::Own | Needs::OwnHub(_) => "own",
    };
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    println!(
        "{:<48} {needs:<7} {:>6.1} s  {verdict}",
        scenario.name,
        took.as_secs_f64()
    );
    if let Err(error) = &result {
        println!("    {}", error.replace('\n', "\n    "));
    }
    result.is_ok()
}
