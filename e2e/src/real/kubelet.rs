//! A fake kubelet: stands in for the nodes of a member cluster.
//!
//! It decides nothing itself: the machine in `machine.rs` says which Pod is to change when, and
//! this shell feeds it the watch, carries out what it says and keeps the Nodes. It runs no
//! containers, renews no leases, and writes only Nodes, Pod statuses and final Pod deletions.

mod machine;
mod node;
mod status;

pub use machine::{Delays, PodBehaviour, PodSelector};
pub use node::NodeSpec;

use super::RealError;
use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, pending},
    stream::FuturesUnordered,
};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::{WatchStreamExt as _, utils::Backoff, watcher},
};
use machine::{Input, Machine, Output, Result as StepResult, Step};
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Requests in flight at once.
const IN_FLIGHT_MAX: usize = 16;
/// Commands waiting for the task; a full queue makes the caller wait.
const COMMANDS_LEN: usize = 64;

/// How a fake kubelet behaves until told otherwise.
#[derive(Debug, Clone)]
pub struct KubeletOptions {
    /// The nodes registered at the start.
    pub nodes: Vec<NodeSpec>,
    /// Where its delays come from.
    pub seed: u64,
    /// How long things take.
    pub delays: Delays,
}

impl KubeletOptions {
    /// `count` ordinary nodes, named `node-0` and so on, with short delays.
    pub fn nodes(count: usize) -> Self {
        Self {
            nodes: (0..count)
                .map(|n| NodeSpec::new(&format!("node-{n}")))
                .collect(),
            seed: 0,
            delays: Delays::default(),
        }
    }
}

/// The handle of a fake kubelet; its one task ends with it.
pub struct FakeKubelet {
    client: Client,
    command_tx: mpsc::Sender<Input>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl FakeKubelet {
    /// Registers the nodes and starts to look after the Pods bound to them.
    pub async fn start(client: Client, options: KubeletOptions) -> Result<Self, RealError> {
        let (command_tx, command_rx) = mpsc::channel(COMMANDS_LEN);
        let stop = CancellationToken::new();
        let shell = Shell {
            client: client.clone(),
            machine: Machine::new(options.seed, options.delays),
            in_flight: FuturesUnordered::new(),
        };
        let task = tokio::spawn(shell.run(command_rx, stop.clone()));
        let kubelet = Self {
            client,
            command_tx,
            stop,
            task,
        };
        for node in &options.nodes {
            kubelet.add_node(node).await?;
        }
        Ok(kubelet)
    }

    /// Registers a node, or changes one, and looks after its Pods from now on.
    pub async fn add_node(&self, spec: &NodeSpec) -> Result<(), RealError> {
        self.command(Input::NodeAdded(spec.name.clone())).await?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let field_manager = PatchParams::apply("fake-kubelet").force();
        nodes
            .patch(&spec.name, &field_manager, &Patch::Apply(spec.object()))
            .await
            .map_err(RealError::api("register a node"))?;
        self.patch_node_status(&spec.name, spec.status(true, Timestamp::now()))
            .await
    }

    /// Deletes a node; its Pods are left to the cluster's controllers.
    pub async fn remove_node(&self, name: &str) -> Result<(), RealError> {
        self.command(Input::NodeRemoved(name.to_owned())).await?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let deleted = nodes.delete(name, &DeleteParams::default()).await;
        deleted.map(drop).map_err(RealError::api("delete a node"))
    }

    /// Reports a node as ready or not. A node that is not ready neither starts nor ends Pods.
    pub async fn set_node_ready(&self, spec: &NodeSpec, ready: bool) -> Result<(), RealError> {
        let name = spec.name.clone();
        let input = if ready {
            Input::NodeAdded(name)
        } else {
            Input::NodeRemoved(name)
        };
        self.command(input).await?;
        self.patch_node_status(&spec.name, spec.status(ready, Timestamp::now()))
            .await
    }

    /// Sets how the selected Pods behave, those that run already too. The latest setting that
    /// selects a Pod counts.
    pub async fn set_behaviour(
        &self,
        selector: PodSelector,
        behaviour: PodBehaviour,
    ) -> Result<(), RealError> {
        self.command(Input::Behave(selector, behaviour)).await
    }

    /// Ends the task and waits for its end. Nodes and Pods stay as they are.
    pub async fn stop(mut self) -> Result<(), RealError> {
        self.stop.cancel();
        (&mut self.task)
            .await
            .map_err(|_panicked| RealError::KubeletEnded)
    }

    async fn command(&self, input: Input) -> Result<(), RealError> {
        self.command_tx
            .send(input)
            .await
            .map_err(|_ended| RealError::KubeletEnded)
    }

    async fn patch_node_status(
        &self,
        name: &str,
        status: serde_json::Value,
    ) -> Result<(), RealError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let patched = nodes
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
            .await;
        patched
            .map(drop)
            .map_err(RealError::api("report a node's status"))
    }
}

impl Drop for FakeKubelet {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

struct Shell {
    client: Client,
    machine: Machine,
    in_flight: FuturesUnordered<BoxFuture<'static, Input>>,
}

impl Shell {
    async fn run(mut self, mut command_rx: mpsc::Receiver<Input>, stop: CancellationToken) {
        let bound = watcher::Config::default().fields("spec.nodeName!=");
        let pods = watcher(Api::<Pod>::all(self.client.clone()), bound)
            .backoff(WatchBackoff(WatchBackoff::FIRST));
        let mut pods = std::pin::pin!(pods);
        loop {
            while self.in_flight.len() < IN_FLIGHT_MAX
                && let Some(output) = self.machine.poll_output()
            {
                self.in_flight.push(carry_out(self.client.clone(), output));
            }
            let timeout = self.machine.poll_timeout();
            let input = tokio::select! {
                biased;
                // Each arm either only waits or takes one whole item, so none loses anything
                // when another one wins.
                () = stop.cancelled() => return,
                Some(command) = command_rx.recv() => Some(command),
                Some(done) = self.in_flight.next() => Some(done),
                Some(event) = pods.next() => match event {
                    Ok(event) => Some(Input::Watched(Box::new(event))),
                    Err(error) => {
                        tracing::debug!(%error, "watch of pods interrupted");
                        None
                    }
                },
                () = sleep_until(timeout) => None,
            };
            let now = Instant::now();
            if let Some(input) = input {
                self.machine.handle(input, now);
            }
            self.machine.handle_timeout(now);
        }
    }
}

/// Pauses between attempts to watch: doubled from a twentieth of a second up to one, so that a
/// test that brings its API server back does not wait for the usual half minute.
struct WatchBackoff(Duration);

impl WatchBackoff {
    const FIRST: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(1);
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::MAX);
        Some(pause)
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

fn carry_out(client: Client, output: Output) -> BoxFuture<'static, Input> {
    async move {
        let result = request(client, &output).await;
        Input::Done {
            key: output.key,
            uid: output.facts.uid,
            result,
        }
    }
    .boxed()
}

async fn request(client: Client, output: &Output) -> StepResult {
    let pods: Api<Pod> = Api::namespaced(client, &output.key.namespace);
    let name = &output.key.name;
    if output.step == Step::Remove {
        let uid = Some(output.facts.uid.clone());
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid,
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        return match pods.delete(name, &params).await {
            Ok(_) => StepResult::Done(None),
            Err(error) => failed(&error),
        };
    }
    let status = status::of_pod(&output.facts, output.step, Timestamp::now());
    match pods
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
        .await
    {
        Ok(pod) => StepResult::Done(Some(Box::new(pod))),
        Err(error) => failed(&error),
    }
}

/// A Pod that is gone, or was replaced by another of its name, needs nothing more.
fn failed(error: &kube::Error) -> StepResult {
    match error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => StepResult::Done(None),
        other => {
            tracing::debug!(error = %other, "pod not changed");
            StepResult::Failed
        }
    }
}
