//! S1: one ConfigMap to two members, created, edited and deleted, one after the other.
//!
//! Latency is from the start of the front-door request until watches on both members showed the
//! result. Baselines of the same run: an mTLS echo, the same write directly to a member, and the
//! front-door write alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::samples::Samples;
use super::{echo, samples};
use crate::real::AuditMark;
use crate::scenario::clusters;
use crate::world::{AGENT_USER, Objects, World, WorldError, WorldOptions};

const NAMESPACE: &str = "bench";
const CONFIG_MAP: (&str, &str) = ("v1", "ConfigMap");
const MEMBERS: [&str; 2] = ["public", "edge"];
/// A single step that takes longer is a failure, not a sample.
const STEP_MAX: Duration = Duration::from_secs(30);
/// Quiet for this long = statuses and pages have been written.
const SETTLE: Duration = Duration::from_secs(3);
/// Each measured step starts this long after the one before ended: the statuses and marks that follow
/// a change are part of its cost, not of the next one's latency. Baselines are paced alike.
const PACE: Duration = Duration::from_millis(300);

pub(super) async fn run(rounds: usize) -> Result<(), WorldError> {
    println!(
        "S1: {rounds} rounds of create, update, delete over two members, {} ms between steps; p50 / p99",
        PACE.as_millis()
    );
    let options = WorldOptions {
        durable: true,
        ..WorldOptions::standard("s1")
    };
    let world = World::start(options).await?;
    let echoes = echo::measure(rounds * 5)
        .await
        .map_err(WorldError::io("echo over mTLS"))?;
    let mut bench = Bench::prepare(&world).await?;
    let direct = bench.direct(rounds).await?;
    let direct_to_all = bench.direct_to_all(rounds).await?;
    bench.warm_up().await?;
    let before = Spent::read(&world)?;
    let measured = bench.propagate(rounds).await?;
    // Statuses, marks and pages are off the path but belong to the cost.
    tokio::time::sleep(SETTLE).await;
    let spent = Spent::read(&world)?;
    print_latency(&echoes, &direct, &direct_to_all, &measured);
    print_cost(&world, &before, &spent, rounds)
}

/// Durations by step.
#[derive(Default)]
struct Steps {
    create: Samples,
    update: Samples,
    delete: Samples,
    /// The front-door write alone.
    door: Samples,
}

struct Bench<'a> {
    world: &'a World,
    door: Objects,
    seen: BTreeMap<&'static str, Seen>,
}

/// What a watch on one member shows.
struct Seen {
    events_rx: mpsc::Receiver<(String, Option<String>)>,
    task: JoinHandle<()>,
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<'a> Bench<'a> {
    async fn prepare(world: &'a World) -> Result<Self, WorldError> {
        let door = world.front_door().await?;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        door.apply(namespace.clone()).await?;
        door.apply(json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
            "metadata": {"name": "all", "namespace": NAMESPACE},
            "spec": {
                "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap",
                    "labelSelector": {"matchLabels": {"bench": "s1"}}}],
                "placement": clusters(&MEMBERS),
            },
        }))
        .await?;
        let mut seen = BTreeMap::new();
        for name in MEMBERS {
            let member = world.member(name).objects().await?;
            member.apply(namespace.clone()).await?;
            seen.insert(name, watch(member.client().clone()));
        }
        Ok(Self { world, door, seen })
    }

    /// The baseline Bwrite: the same write directly to a member.
    async fn direct(&mut self, rounds: usize) -> Result<Samples, WorldError> {
        let member = self.world.member(MEMBERS[0]).objects().await?;
        let mut samples = samples::Samples::default();
        for round in 0..rounds {
            let mut object = config_map(&format!("direct-{round}"), "1");
            object["metadata"]["labels"] = json!({});
            let began = Instant::now();
            member.create(object).await?;
            samples.push(began.elapsed());
            tokio::time::sleep(PACE).await;
        }
        Ok(samples)
    }

    /// The same write to both members at once, until their watches showed it: what no way through a
    /// hub can beat on this machine.
    async fn direct_to_all(&mut self, rounds: usize) -> Result<Samples, WorldError> {
        let mut members = Vec::new();
        for name in MEMBERS {
            members.push(self.world.member(name).objects().await?);
        }
        let mut samples = Samples::default();
        for round in 0..rounds {
            let name = format!("direct-all-{round}");
            let began = Instant::now();
            let writes = members.iter().map(|m| m.create(config_map(&name, "1")));
            for written in futures::future::join_all(writes).await {
                written?;
            }
            self.everywhere(&name, Some("1")).await?;
            samples.push(began.elapsed());
            tokio::time::sleep(PACE).await;
        }
        Ok(samples)
    }

    /// First use of everything: watches, connections, caches.
    async fn warm_up(&mut self) -> Result<(), WorldError> {
        for round in 0..5 {
            let mut steps = Steps::default();
            self.round(&format!("warm-{round}"), &mut steps).await?;
        }
        Ok(())
    }

    async fn propagate(&mut self, rounds: usize) -> Result<Steps, WorldError> {
        let mut steps = Steps::default();
        for round in 0..rounds {
            self.round(&format!("work-{round}"), &mut steps).await?;
        }
        Ok(steps)
    }

    async fn round(&mut self, name: &str, steps: &mut Steps) -> Result<(), WorldError> {
        let began = Instant::now();
        self.door.create(config_map(name, "1")).await?;
        steps.door.push(began.elapsed());
        self.everywhere(name, Some("1")).await?;
        steps.create.push(began.elapsed());
        tokio::time::sleep(PACE).await;

        let began = Instant::now();
        let patch = json!({"data": {"key": "2"}});
        self.door
            .merge(CONFIG_MAP, (NAMESPACE, name), patch)
            .await?;
        self.everywhere(name, Some("2")).await?;
        steps.update.push(began.elapsed());
        tokio::time::sleep(PACE).await;

        let began = Instant::now();
        self.door.delete(CONFIG_MAP, (NAMESPACE, name)).await?;
        self.everywhere(name, None).await?;
        steps.delete.push(began.elapsed());
        tokio::time::sleep(PACE).await;
        Ok(())
    }

    /// Waits until the watch on each member showed the object with this value; none = gone.
    async fn everywhere(&mut self, name: &str, value: Option<&str>) -> Result<(), WorldError> {
        for (member, seen) in &mut self.seen {
            let shown = timeout(STEP_MAX, async {
                while let Some((shown, with)) = seen.events_rx.recv().await {
                    if shown == name && with.as_deref() == value {
                        return true;
                    }
                }
                false
            });
            if !matches!(shown.await, Ok(true)) {
                return Err(WorldError::Expected(format!(
                    "{name} with {value:?} was not seen in {member} within {STEP_MAX:?}"
                )));
            }
        }
        Ok(())
    }
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"bench": "s1"}},
        "data": {"key": value, "padding": "x".repeat(1_024)},
    })
}

fn watch(client: Client) -> Seen {
    let (events_tx, events_rx) = mpsc::channel(1_024);
    let objects: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let config = watcher::Config::default().labels("bench=s1");
    let task = tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(objects, config));
        while let Some(event) = events.next().await {
            let shown = match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    let value = object.data.and_then(|d| d.get("key").cloned());
                    (object.metadata.name, value)
                }
                Ok(Event::Delete(object)) => (object.metadata.name, None),
                Ok(Event::Init | Event::InitDone) | Err(_) => continue,
            };
            if events_tx
                .send((shown.0.unwrap_or_default(), shown.1))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    Seen { events_rx, task }
}

/// What was spent so far.
struct Spent {
    hub_cpu: Duration,
    agent_cpu: Duration,
    door: AuditMark,
    member: AuditMark,
    up_bytes: u64,
    down_bytes: u64,
}

impl Spent {
    fn read(world: &World) -> Result<Self, WorldError> {
        let passed = world.hub().tap().passed();
        let agents = MEMBERS.iter().map(|m| cpu(world.member(m).agent().pid()));
        Ok(Self {
            hub_cpu: cpu(world.hub().process().pid()),
            agent_cpu: agents.sum(),
            door: world.door().audit().mark()?,
            member: world.member(MEMBERS[0]).plane().audit().mark()?,
            up_bytes: passed.up_bytes,
            down_bytes: passed.down_bytes,
        })
    }
}

/// CPU time of a process, user and system; ticks are hundredths of a second on Linux.
fn cpu(pid: Option<u32>) -> Duration {
    let stat = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    let ticks = stat
        .as_deref()
        .and_then(|s| s.rsplit_once(')'))
        .map_or(0, |(_, rest)| {
            let fields = rest.split_whitespace().skip(11).take(2);
            fields.filter_map(|f| f.parse::<u64>().ok()).sum()
        });
    Duration::from_millis(ticks * 10)
}

fn print_latency(echoes: &Samples, direct: &Samples, direct_to_all: &Samples, steps: &Steps) {
    let (echo, write, door) = (echoes.ms(50), direct.ms(50), steps.door.ms(50));
    println!("  Becho, bare mTLS echo             {}", echoes.line());
    println!("  Bwrite, same write to a member    {}", direct.line());
    println!(
        "  same write to both, seen in both  {}",
        direct_to_all.line()
    );
    println!("  front-door write alone            {}", steps.door.line());
    println!(
        "  create, seen in both members      {}",
        steps.create.line()
    );
    println!(
        "  update, seen in both members      {}",
        steps.update.line()
    );
    println!(
        "  delete, gone from both members    {}",
        steps.delete.line()
    );
    let budget = 2.6 * write + door + 30.0 * echo;
    println!(
        "  create p50 / (2.6 Bwrite + front-door write + 30 Becho = {budget:.2} ms) = {:.2} (aim: at most 1)",
        steps.create.ms(50) / budget
    );
    println!(
        "  create p50 / Bwrite p50 = {:.2}; / same write to both members p50 = {:.2}",
        steps.create.ms(50) / write,
        steps.create.ms(50) / direct_to_all.ms(50)
    );
}

fn print_cost(
    world: &World,
    before: &Spent,
    after: &Spent,
    rounds: usize,
) -> Result<(), WorldError> {
    let templates = rounds as f64;
    let works = templates * MEMBERS.len() as f64;
    let door = world.door().audit().between(before.door, after.door)?;
    let door = door.by_user(flotilla_hub::rbac::HUB_NAME);
    let member = world
        .member(MEMBERS[0])
        .plane()
        .audit()
        .between(before.member, after.member)?;
    let member = member.by_user(AGENT_USER);
    let leases = |counts: &crate::real::AuditCounts| {
        counts.count(|key| key.resource == "leases.coordination.k8s.io" && key.is_write())
    };
    println!("  per template (create + update + delete):");
    println!(
        "    hub requests at the front door  {:.2} in all, {:.2} writes (leases apart)",
        door.total() as f64 / templates,
        (door.writes() - leases(&door)) as f64 / templates
    );
    println!(
        "    requests at one member          {:.2} in all, {:.2} writes (leases apart)",
        member.total() as f64 / templates,
        (member.writes() - leases(&member)) as f64 / templates
    );
    println!(
        "    bytes on the stream per work    {:.0} up, {:.0} down",
        (after.up_bytes - before.up_bytes) as f64 / works,
        (after.down_bytes - before.down_bytes) as f64 / works
    );
    println!(
        "    CPU per work                    hub {:.2} ms, agent {:.2} ms",
        (after.hub_cpu - before.hub_cpu).as_secs_f64() * 1_000.0 / works,
        (after.agent_cpu - before.agent_cpu).as_secs_f64() * 1_000.0 / works
    );
    for name in MEMBERS {
        let kib = world.member(name).agent().resident_kib();
        println!(
            "    RSS of the agent in {name:<12}  {:.1} MiB",
            kib as f64 / 1_024.0
        );
    }
    println!(
        "    RSS of the hub                  {:.1} MiB",
        world.hub().process().resident_kib() as f64 / 1_024.0
    );
    Ok(())
}
