//! Memory of one agent and of the hub, as processes: with no works, with 300, and after their removal.
//!
//! Works are Deployments and ConfigMaps by turns, in one member. It prints which program is measured:
//! the agent and hub that people run when they lie beside this one, else this one called as them.

use serde_json::{Value, json};

use crate::multicall::Programs;
use crate::real::{NotYet, Process, eventually};
use crate::scenario::clusters;
use crate::world::{MemberSpec, Objects, World, WorldError, WorldOptions};
use std::time::Duration;

const NAMESPACE: &str = "memory";
const MEMBER: &str = "edge";
const CONFIG_MAP: (&str, &str) = ("v1", "ConfigMap");
const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const LABEL: &str = "bench";
/// All works are made and delivered, or are gone, within this on two busy cores.
const CONVERGED_MAX: Duration = Duration::from_secs(300);

pub(super) async fn run(works: usize) -> Result<(), WorldError> {
    let options = WorldOptions {
        // As many nodes as the works' Pods need.
        members: vec![MemberSpec::new(MEMBER).nodes(3)],
        programs: Programs::Beside,
        ..WorldOptions::standard("memory")
    };
    let world = World::start(options).await?;
    println!("Memory: one agent and its hub; RSS / PSS");
    for (whose, program) in [
        ("agent", Programs::Beside.agent()),
        ("hub", Programs::Beside.hub()),
    ] {
        let program = program.map_err(WorldError::io("find this program"))?;
        println!("  the {whose} is {}", program.path.display());
    }
    let door = world.front_door().await?;
    prepare(&door).await?;
    print(&world, "0 works").await?;
    for n in 0..works {
        door.apply(work(n)).await?;
    }
    has(&world, works).await?;
    print(&world, &format!("{works} works")).await?;
    for n in 0..works {
        let (kind, name) = (kind(n), name(n));
        door.delete(kind, (NAMESPACE, &name)).await?;
    }
    has(&world, 0).await?;
    print(&world, "0 works again").await
}

async fn prepare(door: &Objects) -> Result<(), WorldError> {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    door.apply(namespace).await?;
    let selector = |(api, kind): (&str, &str)| {
        json!({"apiVersion": api, "kind": kind,
            "labelSelector": {"matchLabels": {LABEL: NAMESPACE}}})
    };
    let policy = json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {"name": "all", "namespace": NAMESPACE},
        "spec": {
            "resourceSelectors": [selector(CONFIG_MAP), selector(DEPLOYMENT)],
            "placement": clusters(&[MEMBER]),
        },
    });
    door.apply(policy).await.map(drop)
}

fn kind(n: usize) -> (&'static str, &'static str) {
    if n.is_multiple_of(2) {
        CONFIG_MAP
    } else {
        DEPLOYMENT
    }
}

fn name(n: usize) -> String {
    format!("work-{n}")
}

fn work(n: usize) -> Value {
    let (name, kind) = (name(n), kind(n));
    let mut object = json!({
        "apiVersion": kind.0, "kind": kind.1,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: NAMESPACE}},
    });
    if kind == CONFIG_MAP {
        object["data"] = json!({"key": "x".repeat(1_024)});
    } else {
        object["spec"] = json!({
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "registry.example/nginx:1.25"}]}},
        });
    }
    object
}

/// Waits until the member has that many works and each Deployment is up.
async fn has(world: &World, works: usize) -> Result<(), WorldError> {
    let member = world.member(MEMBER).objects().await?;
    let ours = |o: &&Value| o["metadata"]["labels"][LABEL] == NAMESPACE;
    let up = |o: &&Value| o["kind"] != DEPLOYMENT.1 || o["status"]["readyReplicas"] == 1;
    let what = format!("{MEMBER} has {works} works");
    eventually(what, CONVERGED_MAX, async || {
        let mut count = 0;
        for kind in [CONFIG_MAP, DEPLOYMENT] {
            let listed = member.list(kind, NAMESPACE).await.map_err(NotYet::again)?;
            let found = listed.iter().filter(ours);
            count += if works == 0 {
                found.count()
            } else {
                found.filter(up).count()
            };
        }
        if count == works {
            return Ok(());
        }
        Err(NotYet::again(format!("{count} are there")))
    })
    .await
    .map_err(WorldError::from)
}

/// Waits for quiet, so that nothing in flight is measured.
async fn print(world: &World, what: &str) -> Result<(), WorldError> {
    world.calm().await?;
    let mib = |kib: u64| kib as f64 / 1_024.0;
    let line = |process: &Process| {
        let (rss, pss) = (process.resident_kib(), process.proportional_kib());
        format!("{:.1} / {:.1} MiB", mib(rss), mib(pss))
    };
    println!(
        "  {what:<14} agent {:<20} hub {}",
        line(world.member(MEMBER).agent()),
        line(world.hub().process())
    );
    Ok(())
}
