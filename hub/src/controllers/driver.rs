//! The one loop every controller runs in: what changed → plan per key → writes, bounded, with one
//! result each → retry per key.
//!
//! A key is never planned twice at once, and not again before the watches have brought back what was
//! written for it: the hub acts on what it read. Decides when, never what.

mod queue;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, select_all};
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::writes::{Write, Writer, Written};
use crate::durable::DurableError;
use crate::front_door::index::Index;
use crate::leader::LeaderToken;

pub use queue::Queue;

/// Writes of one controller in flight: enough to hide the front door's latency, few enough that its
/// own limit per client is never met.
const IN_FLIGHT_MAX: usize = 32;
/// A write whose watch event does not come is not waited for longer.
const READ_BACK_MAX: Duration = Duration::from_secs(10);
/// Without leadership nothing is written; keys wait this long.
const NOT_LEADER_WAIT: Duration = Duration::from_secs(1);

/// Whether this hub may write, asked before each write.
pub trait Leadership: Send + Sync {
    /// The term under which it may write now; none when its lease is too old or lost.
    fn term(&self) -> Option<u64>;
}

impl Leadership for LeaderToken {
    fn term(&self) -> Option<u64> {
        self.check().ok().map(|()| LeaderToken::term(self))
    }
}

/// What to do about a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// Nothing differs.
    Nothing,
    /// Look again after this time, if nothing changes before.
    Later(Duration),
    /// These writes, in order; the first that fails ends the row.
    Write(Vec<Write>),
}

/// What a plan may know of time.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The time, RFC 3339, in whole seconds.
    pub now: String,
    /// How long the key has waited since it changed.
    pub waited: Duration,
    /// How long the controller has run.
    pub running: Duration,
    /// The hub's term.
    pub term: u64,
}

/// One controller.
pub trait Controller: Send + Sync + 'static {
    /// What it plans about.
    type Key: Ord + Clone + fmt::Debug + Send + Sync;
    /// Name, for logs.
    const NAME: &'static str;

    /// The keys that changed since the last call.
    fn take(&self) -> BTreeSet<Self::Key>;

    /// What to do about a key.
    fn plan(&self, key: &Self::Key, moment: &Moment) -> Planned;
}

/// What every controller's loop needs.
#[derive(Clone)]
pub struct Env {
    /// The index, whose changes wake the loop.
    pub index: Arc<Index>,
    /// Makes the writes.
    pub writer: Writer,
    /// Whether this hub leads.
    pub leader: Arc<dyn Leadership>,
    /// The time, RFC 3339.
    pub clock: Arc<dyn Fn() -> String + Send + Sync>,
    /// Seed of the jitter.
    pub seed: u64,
    /// Deadline of each write; below a sixth of the lease.
    pub write_max: Duration,
}

/// One write's end.
struct Done<K> {
    key: K,
    written: Vec<Written>,
    result: Result<(), Failure>,
}

enum Failure {
    NotLeader,
    Door(DurableError),
}

/// Runs a controller until shutdown; `woken` are further sources of change beside the index.
pub async fn run<C: Controller>(
    controller: Arc<C>,
    env: Env,
    mut woken: Vec<watch::Receiver<u64>>,
    shutdown: CancellationToken,
) {
    woken.push(env.index.subscribe());
    let started = Instant::now();
    let mut queue = Queue::new(env.seed);
    let mut in_flight: FuturesUnordered<BoxFuture<'_, Done<C::Key>>> = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        for key in controller.take() {
            queue.add(key, now);
        }
        queue.read_back(now, |source| env.index.seen(source));
        while in_flight.len() < IN_FLIGHT_MAX {
            let Some((key, waited)) = queue.pop(now) else {
                break;
            };
            let Some(term) = env.leader.term() else {
                queue.later(key, NOT_LEADER_WAIT, now);
                continue;
            };
            let moment = Moment {
                now: (env.clock)(),
                waited,
                running: now - started,
                term,
            };
            match controller.plan(&key, &moment) {
                Planned::Nothing => queue.settle(&key),
                Planned::Later(wait) => queue.later(key, wait, now),
                Planned::Write(writes) => in_flight.push(Box::pin(execute(&env, key, writes))),
            }
        }
        let wake = queue.wake();
        tokio::select! {
            biased;
            // A token may be asked again any number of times.
            () = shutdown.cancelled() => break,
            // A future that is dropped here is polled again in the next round: nothing is lost.
            Some(done) = in_flight.next(), if !in_flight.is_empty() => {
                finish::<C>(&mut queue, done, Instant::now());
            }
            // `changed` marks the value as seen only when it returns.
            () = any_changed(&mut woken) => {}
            // A timer is made anew each round.
            () = sleep_until(wake), if wake.is_some() => {}
        }
    }
    // What was sent is waited for, so that its outcome is known before another hub may lead.
    while in_flight.next().await.is_some() {}
}

async fn execute<K>(env: &Env, key: K, writes: Vec<Write>) -> Done<K> {
    let mut done = Done {
        key,
        written: Vec::new(),
        result: Ok(()),
    };
    for write in &writes {
        if env.leader.term().is_none() {
            done.result = Err(Failure::NotLeader);
            break;
        }
        // Cut off, its outcome is unknown: the watch tells, and the plan is made again from that.
        let made = tokio::time::timeout(env.write_max, env.writer.make(write)).await;
        let made = made.unwrap_or_else(|_| Err(DurableError::Unreachable("too slow".into())));
        match made {
            Ok(written) => done.written.extend(written),
            Err(error) => {
                done.result = Err(Failure::Door(error));
                break;
            }
        }
    }
    done
}

fn finish<C: Controller>(queue: &mut Queue<C::Key>, done: Done<C::Key>, now: Instant) {
    let Done {
        key,
        written,
        result,
    } = done;
    let deadline = now + READ_BACK_MAX;
    match result {
        Ok(()) => queue.written(key, written, deadline),
        Err(Failure::NotLeader) => queue.later(key, NOT_LEADER_WAIT, now),
        Err(Failure::Door(error)) => {
            match &error {
                DurableError::Conflict { .. } => {
                    tracing::debug!(controller = C::NAME, ?key, "lost a race, will plan again");
                }
                other => {
                    let cause = std::error::Error::source(other).map(ToString::to_string);
                    tracing::warn!(controller = C::NAME, ?key, error = %other, cause, "write failed");
                }
            }
            queue.failed(key, now);
        }
    }
}

async fn any_changed(woken: &mut [watch::Receiver<u64>]) {
    let waits = woken.iter_mut().map(|w| Box::pin(w.changed()));
    if let (Err(_), ..) = select_all(waits).await {
        // Its sender went, which happens at shutdown only.
        std::future::pending::<()>().await;
    }
}

async fn sleep_until(wake: Option<Instant>) {
    if let Some(wake) = wake {
        tokio::time::sleep_until(wake).await;
    }
}
