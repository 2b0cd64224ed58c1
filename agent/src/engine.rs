//! The shell around the session machine: feeds inputs and time, carries outputs out, owns the tasks of
//! one reign. Decides nothing.
//!
//! Every task reports through one bounded channel; a slow engine slows them down. A task that ends
//! unexpectedly ends the reign, and with it the process or the next reign begins.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flotilla_proto::digest::Digest;
use flotilla_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::execute::Executor;
use crate::apply::{Done, Outcome};
use crate::ledger::bodies::Bodies;
use crate::ledger::cache::Cache;
use crate::ledger::state::Batch;
use crate::member::Gvk;
use crate::metrics::Metrics;
use crate::observe::watches::Watching;
use crate::session::link::{Event, Handle, now_unix};
use crate::session::{Input, Now, Output, Session};
use crate::view::View;

/// Inputs taken in before outputs are carried out: frames that came together share a window.
const BURST: usize = 64;
/// Statuses are left in the machine, where they coalesce, while this much waits for the link.
const OUTBOX_MAX: usize = 64;
/// Bodies settle down for so long before packs are written.
const BODIES_WAIT: Duration = Duration::from_secs(2);
/// Jobs under way may take so long to end when the agent does.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why a reign ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The agent was asked to stop.
    Shutdown,
    /// Another leads, or the lease was lost.
    NotLeader,
    /// The hub will not have this agent any more.
    Final(String),
    /// A part of the agent ended that should not.
    Broken(&'static str),
}

/// What an engine is made of.
pub struct Parts {
    /// The machine.
    pub session: Session,
    /// Carries jobs out.
    pub executor: Arc<Executor>,
    /// Bodies.
    pub bodies: Arc<Bodies>,
    /// The node's cache of them.
    pub cache: Arc<Cache>,
    /// Batches to the ledger.
    pub batches: mpsc::Sender<Batch>,
    /// Bodies that packs should hold.
    pub wanted: watch::Sender<BTreeSet<Digest>>,
    /// Roots, to the link.
    pub trust: mpsc::Sender<v1::Trust>,
    /// Starts watches.
    pub watching: Watching,
    /// News from everywhere.
    pub events: mpsc::Receiver<Event>,
    /// Inputs from watches, ledger and inventory.
    pub inputs: mpsc::Receiver<Input>,
    /// Says that another leads.
    pub lost: CancellationToken,
    /// What is counted.
    pub metrics: Metrics,
    /// What people may look at.
    pub view: Arc<View>,
}

/// The engine.
pub struct Engine {
    parts: Parts,
    link: Option<Handle>,
    outbox: VecDeque<v1::AgentFrame>,
    jobs: JoinSet<Done>,
    watches: JoinSet<Gvk>,
    bodies_at: Option<Instant>,
    ended: Option<Ended>,
}

fn now() -> Now {
    Now {
        at: Instant::now().into_std(),
        unix: now_unix(),
    }
}

impl Engine {
    /// From its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            link: None,
            outbox: VecDeque::new(),
            jobs: JoinSet::new(),
            watches: JoinSet::new(),
            bodies_at: Some(Instant::now() + BODIES_WAIT),
            ended: None,
        }
    }

    /// Runs until the reign ends.
    pub async fn run(mut self, shutdown: CancellationToken) -> Ended {
        self.parts.session.handle_timeout(now());
        let lost = self.parts.lost.clone();
        loop {
            self.carry_out().await;
            if let Some(ended) = self.ended.take() {
                self.drain().await;
                return ended;
            }
            let session = &self.parts.session;
            let due = session.poll_timeout().map(|(at, _)| Instant::from(at));
            let status = session.poll_status_timeout().map(Instant::from);
            let due = [due, status.filter(|_| self.has_room()), self.bodies_at];
            let due = due.into_iter().flatten().min();
            // Cancel-safe: channels and task sets keep what is not taken, timers start again, and a
            // permit that is not used is given back.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => self.ended = Some(Ended::Shutdown),
                () = lost.cancelled() => self.ended = Some(Ended::NotLeader),
                Some(done) = self.jobs.join_next() => self.job_done(done),
                Some(gvk) = self.watches.join_next() => {
                    tracing::debug!(?gvk, "a watch ended");
                }
                event = self.parts.events.recv() => match event {
                    Some(event) => self.take(event),
                    None => self.ended = Some(Ended::Broken("the link")),
                },
                input = self.parts.inputs.recv() => match input {
                    Some(input) => self.parts.session.handle(input, now()),
                    None => self.ended = Some(Ended::Broken("the watches")),
                },
                () = room(self.link.as_ref()), if !self.outbox.is_empty() => {}
                () = sleep_until(due) => {
                    self.parts.session.handle_timeout(now());
                    self.collect_bodies();
                }
            }
            self.take_burst();
        }
    }

    fn take_burst(&mut self) {
        for _ in 0..BURST {
            match self.parts.events.try_recv() {
                Ok(event) => self.take(event),
                Err(_) => break,
            }
        }
        for _ in 0..BURST {
            match self.parts.inputs.try_recv() {
                Ok(input) => self.parts.session.handle(input, now()),
                Err(_) => break,
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Up(handle) => {
                self.link = Some(handle);
                self.outbox.clear();
                self.parts.metrics.connected(true);
                self.parts.session.handle(Input::LinkUp, now());
            }
            Event::Input(input) => {
                if matches!(*input, Input::LinkDown) {
                    self.link = None;
                    self.outbox.clear();
                    self.parts.metrics.connected(false);
                }
                self.parts.session.handle(*input, now());
            }
            Event::Over(why) => self.ended = Some(Ended::Final(why)),
        }
    }

    fn job_done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => {
                if matches!(done.outcome, Outcome::NotLeader) {
                    self.ended = Some(Ended::NotLeader);
                }
                log(&done);
                self.parts
                    .session
                    .handle(Input::Done(Box::new(done)), now());
            }
            Err(error) => {
                tracing::error!(%error, "a job broke");
                self.ended = Some(Ended::Broken("a job"));
            }
        }
    }

    fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_MAX
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.parts.session.poll_output() {
            self.carry_out_one(output).await;
        }
        while self.has_room()
            && let Some(status) = self.parts.session.poll_status(now())
        {
            self.outbox.push_back(status);
        }
        if let Some(link) = &self.link {
            while let Some(frame) = self.outbox.pop_front() {
                match link.frames.try_send(frame) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(frame)) => {
                        self.outbox.push_front(frame);
                        break;
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => self.outbox.clear(),
                }
            }
        }
        self.parts.view.show(&self.parts.session);
        self.parts
            .metrics
            .works(self.parts.session.records().set().len());
    }

    async fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::Send(frame) => self.outbox.push_back(frame),
            Output::Drop { reason, after } => {
                tracing::info!(%reason, "leaving the hub");
                self.close(after);
            }
            Output::Stop { reason } => {
                self.close(None);
                self.ended = Some(Ended::Final(reason));
            }
            Output::Persist(batch) => {
                if self.parts.batches.send(batch).await.is_err() {
                    self.ended = Some(Ended::NotLeader);
                }
            }
            Output::KeepBody(digest, bytes) => {
                self.parts.bodies.put(digest, bytes.clone());
                self.parts.cache.put(digest, bytes);
                self.bodies_at = Some(Instant::now() + BODIES_WAIT);
            }
            Output::Run(job) => {
                let executor = Arc::clone(&self.parts.executor);
                self.jobs.spawn(async move { executor.run(*job).await });
            }
            Output::Watch(gvk) => {
                let watch = self.parts.watching.clone().managed(gvk.clone());
                self.watches.spawn(async move {
                    watch.await;
                    gvk
                });
            }
            Output::Trust(trust) => {
                self.parts.trust.try_send(trust).ok();
            }
            Output::Fact(fact) => {
                self.parts.metrics.fact(fact);
                self.bodies_at.get_or_insert(Instant::now() + BODIES_WAIT);
            }
        }
    }

    fn close(&mut self, after: Option<Duration>) {
        self.outbox.clear();
        if let Some(link) = self.link.take() {
            link.close.send(after).ok();
        }
    }

    /// Lets go of bodies that nobody refers to, once nothing is under way that might.
    fn collect_bodies(&mut self) {
        if self.bodies_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        if !self.jobs.is_empty() || !self.parts.session.is_settled() {
            self.bodies_at = Some(Instant::now() + BODIES_WAIT);
        } else {
            self.bodies_at = None;
            self.parts.session.forget_gone(now());
            let wanted = self.parts.session.collect_bodies();
            self.parts.bodies.retain(&wanted);
            self.parts.cache.retain(wanted.clone());
            let records = self.parts.session.records();
            self.parts
                .executor
                .retain(|id| records.get(id).is_some_and(|r| r.is_wanted()));
            self.parts.wanted.send_if_modified(|held| {
                let changed = *held != wanted;
                *held = wanted;
                changed
            });
        }
    }

    async fn drain(&mut self) {
        self.close(None);
        let jobs = &mut self.jobs;
        let all = async { while jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, all).await.is_err() {
            tracing::warn!("jobs do not end and are cut off");
        }
    }
}

fn log(done: &Done) {
    let object = done.record.object();
    let (kind, ns, name) = (&object.kind, &object.namespace, &object.name);
    match &done.outcome {
        Outcome::Applied { wrote: true, .. } => {
            tracing::info!(%kind, %ns, %name, generation = %done.record.generation, "applied");
        }
        Outcome::Removed => tracing::info!(%kind, %ns, %name, "removed"),
        Outcome::Refused { class, detail, .. } => {
            tracing::warn!(%kind, %ns, %name, ?class, %detail, "refused");
        }
        Outcome::Retry { detail, .. } => tracing::debug!(%kind, %ns, %name, %detail, "later"),
        other => tracing::debug!(%kind, %ns, %name, outcome = ?std::mem::discriminant(other)),
    }
}

/// Waits until the link takes a frame, or for ever without one.
async fn room(link: Option<&Handle>) {
    match link {
        Some(link) if !link.frames.is_closed() => {
            link.frames.reserve().await.map(drop).ok();
        }
        _ => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
