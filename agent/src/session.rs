//! The session machine: what the hub says, what that means for the records, and what is said back.
//!
//! No await, no clock, no socket: the shell feeds inputs and time, drains `poll_output` and sleeps
//! until `poll_timeout`. Every rule of the protocol that protects a member is enforced here: terms,
//! the chain of deltas, tombstones, durable before effect, acknowledged when settled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flotilla_proto::digest::Digest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::{GONE_MEMORY, HEARTBEAT};
use flotilla_proto::v1;

use crate::apply::queue::{Queue, Rank};
use crate::apply::{Done, Job};
use crate::ledger::records::{Record, Records, State};
use crate::ledger::state::{Batch, Marks};
use crate::member::{Gvk, Seen};
use crate::observe::index::Index;
use crate::status::Statuses;

mod acks;
mod deltas;
mod fetch;
mod frames;
pub mod link;
mod works;

use acks::Acks;
use fetch::Fetch;

/// A window without its Checkpoint is made durable after this.
const WINDOW_MAX: Duration = Duration::from_millis(10);
/// Marks alone wait this long for company, so that a reconnect costs no write of its own.
const MARKS_WAIT: Duration = Duration::from_secs(1);
/// A ledger that cannot be written is tried again after this.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

/// The time, of both kinds. Only the memory of Gone works looks at the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub at: Instant,
    /// Unix seconds.
    pub unix: u64,
}

/// What a session knows from its start.
#[derive(Clone, Debug, Default)]
pub struct SessionConfig {
    /// UID of the member's kube-system namespace.
    pub cluster_uid: String,
    /// Fence of this leader.
    pub fence: u64,
    /// Since when Gone works are remembered, in Unix seconds.
    pub memory_since: u64,
    /// Seed of all jitter.
    pub seed: u64,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// A stream to a hub is open.
    LinkUp,
    /// It is not any more.
    LinkDown,
    /// The hub said something.
    FromHub(v1::HubFrame),
    /// The batch handed out last is durable.
    Persisted,
    /// It could not be made durable now.
    NotPersisted,
    /// A job ended.
    Done(Box<Done>),
    /// A watch saw something.
    Seen(Gvk, Seen),
    /// The member does not serve a kind that was to be watched.
    NoSuchKind(Gvk),
    /// The member serves other kinds than before.
    KindsChanged,
    /// The member was measured.
    Capacity(v1::Capacity),
    /// The member answers, or does not.
    Health(v1::Health),
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Say this to the hub.
    Send(v1::AgentFrame),
    /// Close the stream, and come back.
    Drop {
        /// Why.
        reason: String,
        /// Not before.
        after: Option<Duration>,
    },
    /// Close the stream for good.
    Stop {
        /// Why.
        reason: String,
    },
    /// Make this durable; answer with `Persisted` or `NotPersisted`.
    Persist(Batch),
    /// Keep a body that came.
    KeepBody(Digest, Bytes),
    /// Bring a work in line; answer with `Done`.
    Run(Box<Job>),
    /// Watch a kind.
    Watch(Gvk),
    /// Trust these roots from now on.
    Trust(v1::Trust),
    /// Something worth counting.
    Fact(Fact),
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// An upsert was accepted.
    Upsert,
    /// A tombstone was accepted.
    Tombstone,
    /// A work was refused.
    Nack,
    /// Sets differ although everything was said.
    DigestMismatch,
    /// The hub broke a rule and was left.
    RuleBroken,
}

#[derive(Debug)]
struct Link {
    greeted: bool,
    epoch: v1::Epoch,
    recovery: bool,
    heartbeat: Duration,
    heard_at: Instant,
    pinged_at: Instant,
    /// n of the last delta or snapshot of this session.
    last_n: Option<u64>,
    revision: u64,
    compared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Asked,
    Synced,
    Absent,
}

/// Snapshot in the making.
#[derive(Debug, Default)]
struct Snapshot {
    n: u64,
    deltas: Vec<v1::Delta>,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    cfg: SessionConfig,
    records: Records,
    marks: Marks,
    /// Nonces of the epochs that the cursor is of: in memory, on its way, durable.
    cursor_nonce: Bytes,
    flying_nonce: Bytes,
    durable_nonce: Bytes,
    link: Option<Link>,
    snapshot: Option<Snapshot>,
    /// Works whose record changed and is not durable.
    changed: BTreeSet<WorkId>,
    /// Changes that may wait for the next window.
    later: BTreeSet<WorkId>,
    flush_at: Option<Instant>,
    in_flight: Option<BTreeSet<WorkId>>,
    acks: Acks,
    fetch: Fetch,
    queue: Queue,
    statuses: Statuses,
    index: Index,
    watched: BTreeMap<Gvk, Watched>,
    /// Works accepted by this process: nothing of theirs can be there that a watch would show.
    fresh: BTreeSet<WorkId>,
    works: BTreeMap<WorkId, works::Progress>,
    /// When works went, by this process.
    gone: BTreeMap<WorkId, Instant>,
    held: BTreeSet<WorkId>,
    all_held: bool,
    released: BTreeSet<WorkId>,
    capacity: Option<v1::Capacity>,
    health: Option<v1::Health>,
    out: VecDeque<Output>,
}

impl Session {
    /// From what the ledger holds; `bodies` are those that are here.
    #[must_use]
    pub fn new(
        cfg: SessionConfig,
        records: impl IntoIterator<Item = Record>,
        marks: Marks,
        bodies: BTreeSet<Digest>,
    ) -> Self {
        let mut session = Self {
            queue: Queue::new(cfg.seed),
            records: Records::new(records),
            cursor_nonce: marks.max_epoch.nonce.clone(),
            flying_nonce: Bytes::new(),
            durable_nonce: marks.max_epoch.nonce.clone(),
            marks,
            link: None,
            snapshot: None,
            changed: BTreeSet::new(),
            later: BTreeSet::new(),
            flush_at: None,
            in_flight: None,
            acks: Acks::default(),
            fetch: Fetch::new(bodies),
            statuses: Statuses::default(),
            index: Index::default(),
            watched: BTreeMap::new(),
            fresh: BTreeSet::new(),
            works: BTreeMap::new(),
            gone: BTreeMap::new(),
            held: BTreeSet::new(),
            all_held: false,
            released: BTreeSet::new(),
            capacity: None,
            health: None,
            out: VecDeque::new(),
            cfg,
        };
        session.begin();
        session
    }

    /// Everything that is wanted, or still to be removed, is looked at once.
    fn begin(&mut self) {
        let todo: Vec<_> = self
            .records
            .iter()
            .filter(|r| r.is_wanted() || r.removal.is_some())
            .map(|r| (r.id, r.gvk()))
            .collect();
        for (id, gvk) in todo {
            self.acks.expect(id, 0, None);
            self.want_bodies(id);
            self.watch(gvk);
            self.enqueue(id, true);
        }
    }

    /// Takes an input in.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::LinkUp => self.link_up(now),
            Input::LinkDown => self.link_down(),
            Input::FromHub(frame) => self.hub_said(frame, now),
            Input::Persisted => self.persisted(),
            Input::NotPersisted => self.not_persisted(now),
            Input::Done(done) => self.done(*done, now),
            Input::Seen(gvk, seen) => self.seen(&gvk, seen, now),
            Input::NoSuchKind(gvk) => self.no_such_kind(&gvk),
            Input::KindsChanged => self.kinds_changed(),
            Input::Capacity(capacity) => {
                if self.capacity.as_ref() != Some(&capacity) {
                    self.capacity = Some(capacity.clone());
                    self.say(v1::agent_frame::Frame::Capacity(capacity));
                }
            }
            Input::Health(health) => {
                if self.health.as_ref() != Some(&health) {
                    self.health = Some(health.clone());
                    self.say(v1::agent_frame::Frame::Health(health));
                }
            }
        }
        self.advance(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(link) = &mut self.link {
            if now.at >= link.heard_at + link.heartbeat * 3 {
                return self.leave("the hub is silent", None);
            }
            if now.at >= link.pinged_at + link.heartbeat && link.greeted {
                link.pinged_at = now.at;
                self.say(v1::agent_frame::Frame::Ping(v1::Ping { t: now.unix }));
            }
        }
        self.fetch.retry(now.at);
        self.advance(now);
    }

    /// When something is due, and what.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let flush = if self.in_flight.is_none() {
            self.flush_at
        } else {
            None
        };
        let link = self.link.as_ref();
        let silent = link.map(|l| l.heard_at + l.heartbeat * 3);
        let ping = link
            .filter(|l| l.greeted)
            .map(|l| l.pinged_at + l.heartbeat);
        [
            (flush, "window"),
            (silent, "silence"),
            (ping, "heartbeat"),
            (self.queue.poll_timeout(), "back-off"),
            (self.fetch.poll_timeout(), "body"),
        ]
        .into_iter()
        .filter_map(|(at, why)| Some((at?, why)))
        .min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The next status to say, when the link has room for it.
    pub fn poll_status(&mut self, now: Now) -> Option<v1::AgentFrame> {
        self.link.as_ref().filter(|link| link.greeted)?;
        let status = self.statuses.poll(self.cfg.fence, now.at)?;
        Some(v1::AgentFrame {
            frame: Some(v1::agent_frame::Frame::Status(status)),
        })
    }

    /// When the next status is due.
    #[must_use]
    pub fn poll_status_timeout(&self) -> Option<Instant> {
        self.link.as_ref().filter(|link| link.greeted)?;
        self.statuses.poll_timeout()
    }

    /// Forgets works that went longer ago than any backup is old.
    pub fn forget_gone(&mut self, now: Now) {
        let old: Vec<_> = self
            .records
            .iter()
            .filter(|record| match record.state {
                State::Gone { at_unix } => {
                    record.removal.is_none() && at_unix + GONE_MEMORY.as_secs() <= now.unix
                }
                State::Live | State::Orphan => false,
            })
            .map(|record| record.id)
            .collect();
        for id in old {
            self.records.remove(id);
            self.later.remove(&id);
        }
    }

    /// Everything that records refer to; what they do not is forgotten here too.
    pub fn collect_bodies(&mut self) -> BTreeSet<Digest> {
        let wanted = self.records.iter().flat_map(Record::bodies).collect();
        self.fetch.retain(&wanted);
        wanted
    }

    /// The records, for looking at.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The last status of a work, for looking at.
    #[must_use]
    pub fn status(&self, id: WorkId) -> Option<&crate::status::Report> {
        self.statuses.get(id)
    }

    /// Whether a hub answered on this link.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.greeted)
    }

    /// How many jobs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.queue.running()
    }

    /// Whether everything that was said is settled and durable.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.acks.is_settled() && self.changed.is_empty() && self.in_flight.is_none()
    }

    fn link_up(&mut self, now: Now) {
        self.link = Some(Link {
            greeted: false,
            epoch: v1::Epoch::default(),
            recovery: false,
            heartbeat: HEARTBEAT,
            heard_at: now.at,
            pinged_at: now.at,
            last_n: None,
            revision: 0,
            compared: false,
        });
        self.snapshot = None;
        let hello = frames::hello(&self.cfg, &self.marks, self.records.set(), self.memory(now));
        self.say_before_greeting(v1::agent_frame::Frame::Hello(hello));
    }

    fn link_down(&mut self) {
        self.link = None;
        self.snapshot = None;
        // What was not said belongs to the stream that ended.
        self.out.retain(|output| !matches!(output, Output::Send(_)));
        self.acks.new_session();
        self.fetch.link_down();
        self.released.clear();
        self.all_held = false;
    }

    /// Since when Gone works are remembered.
    fn memory(&self, now: Now) -> u64 {
        let horizon = now.unix.saturating_sub(GONE_MEMORY.as_secs());
        self.cfg.memory_since.max(horizon)
    }

    /// Leaves a hub that broke a rule or fell silent.
    fn leave(&mut self, reason: &str, after: Option<Duration>) {
        if self.link.is_some() {
            self.link_down();
            self.out.push_back(Output::Drop {
                reason: reason.to_owned(),
                after,
            });
        }
    }

    fn say(&mut self, frame: v1::agent_frame::Frame) {
        if self.is_greeted() {
            self.say_before_greeting(frame);
        }
    }

    fn say_before_greeting(&mut self, frame: v1::agent_frame::Frame) {
        let frame = v1::AgentFrame { frame: Some(frame) };
        self.out.push_back(Output::Send(frame));
    }

    fn fact(&mut self, fact: Fact) {
        self.out.push_back(Output::Fact(fact));
    }

    /// Whatever an input made possible: persist, fetch, run, acknowledge.
    fn advance(&mut self, now: Now) {
        self.flush(now);
        if self.is_greeted() {
            while let Some(want) = self.fetch.poll(now.at) {
                self.say(v1::agent_frame::Frame::BodyWant(want));
            }
        }
        while let Some(id) = self.queue.pop(now.at) {
            self.start(id, now);
        }
        if self.is_greeted()
            && let Some(ack) = self.acks.poll()
        {
            self.say(v1::agent_frame::Frame::Ack(ack));
        }
    }

    fn flush(&mut self, now: Now) {
        let due = self.flush_at.is_some_and(|at| at <= now.at);
        if !due || self.in_flight.is_some() {
            return;
        }
        self.flush_at = None;
        let mut ids = std::mem::take(&mut self.changed);
        ids.append(&mut self.later);
        let records = ids.iter().filter_map(|id| self.records.get(*id).cloned());
        let batch = Batch {
            records: records.collect(),
            marks: self.marks.clone(),
        };
        self.flying_nonce = self.cursor_nonce.clone();
        self.in_flight = Some(ids);
        self.out.push_back(Output::Persist(batch));
    }

    fn flush_by(&mut self, at: Instant) {
        self.flush_at = Some(self.flush_at.map_or(at, |old| old.min(at)));
    }

    fn persisted(&mut self) {
        self.durable_nonce = self.flying_nonce.clone();
        for id in self.in_flight.take().unwrap_or_default() {
            self.enqueue(id, true);
        }
    }

    fn not_persisted(&mut self, now: Now) {
        self.changed
            .append(&mut self.in_flight.take().unwrap_or_default());
        self.flush_at = Some(now.at + LEDGER_RETRY);
    }

    fn is_durable(&self, id: WorkId) -> bool {
        let in_flight = self.in_flight.as_ref();
        !self.changed.contains(&id) && !in_flight.is_some_and(|ids| ids.contains(&id))
    }

    fn want_bodies(&mut self, id: WorkId) {
        if let Some(record) = self.records.get(id) {
            for digest in record.bodies() {
                self.fetch.want(digest, id);
            }
        }
    }

    fn watch(&mut self, gvk: Gvk) {
        if !gvk.kind.is_empty() && !self.watched.contains_key(&gvk) {
            self.watched.insert(gvk.clone(), Watched::Asked);
            self.out.push_back(Output::Watch(gvk));
        }
    }

    fn enqueue(&mut self, id: WorkId, new: bool) {
        let Some(record) = self.records.get(id) else {
            return;
        };
        let rank = rank_of(record);
        if new {
            self.queue.push_new(id, rank);
        } else {
            self.queue.push(id, rank);
        }
    }
}

/// Containers come before what lives in them and go after it.
fn rank_of(record: &Record) -> Rank {
    let gvk = record.gvk();
    let gone = matches!(record.state, State::Gone { .. });
    match (gvk.group.as_str(), gvk.kind.as_str(), gone) {
        ("", "Namespace", false) => Rank::Namespace,
        ("", "Namespace", true) => Rank::RemoveNamespace,
        ("apiextensions.k8s.io", "CustomResourceDefinition", false) => Rank::Definition,
        ("apiextensions.k8s.io", "CustomResourceDefinition", true) => Rank::RemoveDefinition,
        _ => Rank::Ordinary,
    }
}
