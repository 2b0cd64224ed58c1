//! The demo: a front door, a hub and three members joined by token; a Deployment with a weighted
//! policy and overrides; what arrived where, and the status as it comes.
//!
//! It shows nothing that it did not read: each claim about a member comes from the member with the
//! member's own kubeconfig. With `--once` it ends with 0 only if every claim was true.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use crate::scenario;
use crate::world::{Objects, World, WorldError, WorldOptions};

/// The members' shares of six replicas by the weights 3, 2 and 1.
const SHARES: [(&str, i64); 3] = [("public", 3), ("private", 2), ("edge", 1)];
const NAMESPACE: &str = "shop";
const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const IMAGE: &str = "registry.example/library/nginx:1.27";
const PRIVATE_IMAGE: &str = "registry.private.example/library/nginx:1.27";

/// A fleet of three members on this machine, with one application in it.
#[derive(Debug, clap::Parser)]
#[command(name = "demo", max_term_width = 100)]
pub struct Args {
    /// On real kube-apiservers (the only way so far; needs `bash e2e/kubernetes/build.sh` once)
    #[arg(long)]
    real: bool,
    /// End after showing everything, with 0 only if all of it was true; else stay until Ctrl-C
    #[arg(long)]
    once: bool,
}

/// Runs the demo.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    if !args.real {
        eprintln!(
            "error: say --real: a front door and members without real kube-apiservers do not exist yet"
        );
        return ExitCode::from(2);
    }
    if let Some(line) = scenario::not_run() {
        eprintln!("error: {line}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints lines with the seconds since the start.
struct Teller {
    started: Instant,
}

impl Teller {
    fn say(&self, text: impl AsRef<str>) {
        let seconds = self.started.elapsed().as_secs_f64();
        for line in text.as_ref().lines() {
            println!("{seconds:>7.2} s  {line}");
        }
    }
}

async fn run(args: &Args) -> Result<(), WorldError> {
    let teller = Teller {
        started: Instant::now(),
    };
    teller.say("starting a front door, a hub and the members public, private and edge ...");
    let world = World::start(WorldOptions::standard("demo")).await?;
    teller.say("all joined by token over mTLS:");
    teller.say(world.flotilla(&["get", "clusters"]).await?);
    let state = write_state(&world)?;
    teller.say(format!("kubeconfigs are in {}", state.display()));

    let door = world.front_door().await?;
    for object in application() {
        door.apply(object).await?;
    }
    teller.say("applied a Deployment of 6 replicas, a policy with weights 3:2:1, and overrides");
    let applied = Instant::now();
    for (name, replicas) in SHARES {
        let member = world.member(name).objects().await?;
        let found = arrived(&member, name, replicas).await?;
        let after = applied.elapsed().as_millis();
        teller.say(format!(
            "{name:<8} has it, {after} ms after the apply: {}",
            describe(&found)
        ));
    }
    watch_status(&teller, &door).await?;
    teller.say("why is it where it is?");
    teller.say(
        world
            .flotilla(&["why", "deployment/web", "-n", NAMESPACE])
            .await?,
    );
    if args.once {
        teller.say("everything shown was true");
        return Ok(());
    }
    teller.say(format!(
        "try: kubectl --kubeconfig {}/hub.kubeconfig get deploy,rb -n {NAMESPACE}",
        state.display()
    ));
    teller.say("Ctrl-C ends it");
    tokio::signal::ctrl_c()
        .await
        .map_err(WorldError::io("wait for Ctrl-C"))
}

/// Copies the kubeconfigs to `target/demo`.
fn write_state(world: &World) -> Result<PathBuf, WorldError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let state = root.join("target/demo");
    let copy = |from: &Path, name: &str| {
        let to = state.join(format!("{name}.kubeconfig"));
        std::fs::copy(from, &to)
            .map(drop)
            .map_err(WorldError::io(format!("write {}", to.display())))
    };
    std::fs::create_dir_all(&state).map_err(WorldError::io("make target/demo"))?;
    copy(world.door().kubeconfig(), "hub")?;
    for member in world.members() {
        copy(member.plane().kubeconfig(), member.name())?;
    }
    Ok(PathBuf::from("target/demo"))
}

fn application() -> Vec<Value> {
    let selector = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]);
    let weights: Vec<_> = SHARES
        .iter()
        .map(|(name, weight)| json!({"targetCluster": {"clusterNames": [name]}, "weight": weight}))
        .collect();
    let meta = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let policy = "policy.karmada.io/v1alpha1";
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": policy, "kind": "OverridePolicy", "metadata": meta("web"),
            "spec": {"resourceSelectors": selector, "overrideRules": [
                {"targetCluster": {"clusterNames": ["private"]}, "overriders": {"imageOverrider": [
                    {"component": "Registry", "operator": "replace", "value": "registry.private.example"}]}},
                {"targetCluster": {"clusterNames": ["edge"]}, "overriders": {"argsOverrider": [
                    {"containerName": "web", "operator": "add", "value": ["--edge"]}]}},
            ]},
        }),
        json!({
            "apiVersion": policy, "kind": "PropagationPolicy", "metadata": meta("web"),
            "spec": {"resourceSelectors": selector, "placement": {
                "clusterAffinity": {"clusterNames": ["public", "private", "edge"]},
                "replicaScheduling": {
                    "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
                    "weightPreference": {"staticWeightList": weights},
                },
            }},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"),
            "spec": {"replicas": 6, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": IMAGE, "args": ["--port=8080"]}]},
            }},
        }),
    ]
}

/// Waits until the member has its share, as the policies say.
async fn arrived(member: &Objects, name: &str, replicas: i64) -> Result<Value, WorldError> {
    let image = if name == "private" {
        PRIVATE_IMAGE
    } else {
        IMAGE
    };
    let args = if name == "edge" {
        json!(["--port=8080", "--edge"])
    } else {
        json!(["--port=8080"])
    };
    let holds = |found: &Value| {
        let container = &found["spec"]["template"]["spec"]["containers"][0];
        found["spec"]["replicas"] == replicas
            && container["image"] == image
            && container["args"] == args
    };
    member
        .eventually(DEPLOYMENT, (NAMESPACE, "web"), "has its share", holds)
        .await
}

fn describe(deployment: &Value) -> String {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    format!(
        "{} replicas, image {}, args {}",
        deployment["spec"]["replicas"],
        container["image"].as_str().unwrap_or(""),
        container["args"]
    )
}

/// Tells the template's status as it changes, until all replicas are available.
async fn watch_status(teller: &Teller, door: &Objects) -> Result<(), WorldError> {
    let told = std::cell::RefCell::new(String::new());
    let complete = |template: &Value| {
        let status = &template["status"];
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let line = format!(
            "front door says: {} replicas, {} ready, {} available",
            number("replicas"),
            number("readyReplicas"),
            number("availableReplicas")
        );
        if *told.borrow() != line {
            teller.say(&line);
            told.replace(line);
        }
        number("availableReplicas") == 6
            && status["observedGeneration"] == template["metadata"]["generation"]
    };
    door.eventually(
        DEPLOYMENT,
        (NAMESPACE, "web"),
        "is available in all members",
        complete,
    )
    .await
    .map(drop)
}
