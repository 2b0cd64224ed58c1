//! The hub's side of one agent's session, as a machine: no await, no clock, no socket.
//!
//! Decides what is said to an agent and when, and what of its reports counts. The shell feeds inputs and
//! time, drains `poll_output`, and sleeps until `poll_timeout`. It never decides where anything goes: the
//! share it tells comes in as values. Ids it does not know are reported and never deleted.

mod brake;
mod clamp;
mod compare;
mod cursor;
mod lineage;
mod outbox;
mod say;
mod slots;
mod upstream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flotilla_policy::api::ClusterStatus;
use flotilla_proto::digest::{Digest, SetDigest};
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::{
    BRAKE_WINDOW, FRAME_BYTES_MAX, HANDSHAKE_MAX, QUEUE_BYTES_MAX, QUEUE_MSGS_MAX, VERSION_MAX,
    VERSION_MIN,
};
use flotilla_proto::v1;
use flotilla_proto::v1::hub_frame::Frame;

use super::reports::WorkReport;
use super::share::{Body, Said};
use crate::epochs::EpochView;
use crate::pki::CursorKey;
use brake::Brake;
use compare::Compare;
use lineage::Verdict;
use outbox::Outbox;
pub use slots::HoldWhy;
use slots::Slots;

/// An agent that broke a rule comes back after this, not at once.
const RULE_RETRY: Duration = Duration::from_secs(5);

/// Numbers of deltas, unique within a reign.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU64);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What a reign remembers of a cluster between its sessions.
#[derive(Debug, Default)]
pub struct ClusterMemory {
    brake: Brake,
    /// Works that a person released, and what allowed it.
    approved: BTreeMap<WorkId, String>,
    /// Fence and count of the last status.
    status: (u64, u64),
}

/// What a session knows from its start.
#[derive(Clone)]
pub struct SessionConfig {
    /// UID of the member, as enrolled.
    pub cluster_uid: String,
    /// Name of this hub.
    pub hub_id: String,
    /// How often silence is broken.
    pub heartbeat: Duration,
    /// Seals cursors.
    pub cursor_key: CursorKey,
    /// Numbers of deltas.
    pub numbers: Arc<Numbers>,
    /// When this reign began.
    pub led_since: Instant,
    /// Version of the roots to trust.
    pub trust_version: u64,
}

/// What a session gets when the place is its own.
pub struct Seating {
    /// The list of reigns.
    pub epochs: EpochView,
    /// What the reign remembers of the cluster.
    pub memory: Arc<Mutex<ClusterMemory>>,
    /// What the cluster should have.
    pub works: Vec<(WorkId, Said)>,
    /// Door revision that marks may name.
    pub revision: u64,
    /// Unix milliseconds, as a hint for the agent's clock.
    pub unix_ms: u64,
}

/// What happens to a session.
pub enum Input {
    /// The agent said something.
    Frame(v1::AgentFrame),
    /// The claim was granted.
    Seated(Box<Seating>),
    /// The claim was refused: a leader with this higher fence has the place.
    Refused {
        /// Its fence.
        fence: u64,
    },
    /// Works that changed, newest state each.
    Share {
        /// The works.
        works: Vec<(WorkId, Said)>,
        /// Door revision that marks may name.
        revision: u64,
    },
    /// The list of reigns, as it is now.
    Epochs(EpochView),
    /// A body that was asked for by `ReadBody`; none when this cluster may not have it.
    Body(Option<Arc<Body>>),
    /// Frames that left the queue.
    Drained {
        /// How many.
        msgs: usize,
        /// Their size.
        bytes: usize,
    },
    /// A person lets held works go on; no ids means all.
    Release {
        /// Who or what allowed it.
        approval: String,
        /// Which works.
        ids: Option<BTreeSet<WorkId>>,
    },
    /// The session must end.
    Stop {
        /// Why, for the agent's log.
        reason: &'static str,
        /// Whether coming back cannot help.
        last: bool,
    },
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Ask for the cluster's one place.
    Claim {
        /// Fence of the agent's leader.
        fence: u64,
    },
    /// Read the list of reigns itself; answer with `Epochs`.
    RefreshEpochs,
    /// Begin a reign above this term: the store went back in time.
    Raise {
        /// Highest term that the agent has seen.
        seen_term: u64,
    },
    /// Say this to the agent.
    Send {
        /// The frame.
        frame: v1::HubFrame,
        /// Its size.
        bytes: usize,
    },
    /// Read a body for this cluster; answer with `Body`.
    ReadBody(Digest),
    /// Something to report, count or log.
    Fact(Fact),
    /// End the stream once what was sent is out.
    Close,
}

/// Something to report, count or log.
#[derive(Debug, PartialEq)]
pub enum Fact {
    /// The session is up.
    Open {
        /// How it began.
        mode: v1::Mode,
        /// Whether the agent's leader counts from a lower fence than the one before: reports of the old
        /// one would shadow the new one's.
        restarted: bool,
    },
    /// A work's report.
    Work(WorkId, WorkReport),
    /// A removal that was carried out.
    Settled {
        /// The work.
        id: WorkId,
        /// Which removal.
        made_at: u64,
    },
    /// What the member offers.
    Capacity(ClusterStatus),
    /// Whether the agent reaches its member.
    MemberApi {
        /// It does.
        reachable: bool,
        /// Why not.
        detail: String,
    },
    /// A work that the hub does not know runs in the member.
    Orphan(WorkId, String),
    /// An object came back after its work was gone.
    Reappeared(WorkId, String),
    /// The agent holds a work back until a person releases it.
    HeldByAgent(WorkId, String),
    /// Works are held here until a person releases them.
    Held {
        /// Why.
        why: HoldWhy,
        /// How many.
        count: usize,
    },
    /// Everything that Recovery asked was answered.
    Recovered,
    /// A report about a work that is not this cluster's, dropped.
    NotYours,
    /// The agent was silent for too long.
    Silent,
    /// The agent broke a rule.
    RuleBroken(&'static str),
    /// A session ended in order.
    Ended(&'static str),
}

#[derive(Debug)]
enum Phase {
    /// Nothing was said.
    Hello,
    /// Waits for the place.
    Claiming(Box<v1::Hello>),
    /// Waits for the list of reigns.
    Refreshing(Box<v1::Hello>, u64),
    Open,
    Closed,
}

/// The machine.
pub struct Session {
    cfg: SessionConfig,
    phase: Phase,
    began_at: Instant,
    heard_at: Instant,
    spoke_at: Instant,
    fence: u64,
    epochs: Option<EpochView>,
    memory: Arc<Mutex<ClusterMemory>>,
    /// The cluster's share, as this session was told.
    works: BTreeMap<WorkId, Said>,
    set: SetDigest,
    revision: u64,
    recovery: bool,
    compare: Compare,
    slots: Slots,
    said_tombstones: BTreeSet<(WorkId, u64)>,
    last_n: u64,
    /// Something was said that no Checkpoint covers.
    unchecked: bool,
    reading: Option<outbox::Want>,
    outbox: Outbox,
    out: VecDeque<Output>,
}

impl Session {
    /// A stream was opened by a peer with a scope.
    #[must_use]
    pub fn new(cfg: SessionConfig, now: Instant) -> Self {
        Self {
            cfg,
            phase: Phase::Hello,
            began_at: now,
            heard_at: now,
            spoke_at: now,
            fence: 0,
            epochs: None,
            memory: Arc::default(),
            works: BTreeMap::new(),
            set: SetDigest::default(),
            revision: 0,
            recovery: false,
            compare: Compare::Idle,
            slots: Slots::default(),
            said_tombstones: BTreeSet::new(),
            last_n: 0,
            unchecked: false,
            reading: None,
            outbox: Outbox::default(),
            out: VecDeque::new(),
        }
    }

    /// Takes an input in.
    pub fn handle(&mut self, input: Input, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match input {
            Input::Frame(frame) => self.frame(frame, now),
            Input::Seated(seating) => self.seated(*seating, now),
            Input::Refused { .. } => self.close("another leader has the place", None, false),
            Input::Share { works, revision } => self.share(works, revision, now),
            Input::Epochs(view) => self.epochs(view, now),
            Input::Body(body) => self.body(body.as_deref(), now),
            Input::Drained { msgs, bytes } => self.outbox.drained(msgs, bytes),
            Input::Release { approval, ids } => self.release(&approval, ids.as_ref()),
            Input::Stop { reason, last } => self.close(reason, None, last),
        }
        self.advance(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Closed => return,
            Phase::Hello if now >= self.began_at + HANDSHAKE_MAX => {
                return self.break_off("no Hello in time");
            }
            _ => {}
        }
        if now >= self.heard_at + self.silence() {
            self.fact(Fact::Silent);
            return self.close("silent for too long", None, false);
        }
        if now >= self.spoke_at + self.cfg.heartbeat && matches!(self.phase, Phase::Open) {
            // What is queued and not read breaks the silence as soon as it is.
            self.spoke_at = now;
            if self.outbox.has_room() {
                self.emit(Frame::Ping(v1::Ping { t: self.last_n }), now);
            }
        }
        if now >= self.cfg.led_since + BRAKE_WINDOW {
            self.admit_deferred(now);
        }
        self.advance(now);
    }

    /// When something is due, and what.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let hello = match self.phase {
            Phase::Closed => return None,
            Phase::Hello => Some((self.began_at + HANDSHAKE_MAX, "hello")),
            _ => None,
        };
        let open = matches!(self.phase, Phase::Open);
        let beat = open.then(|| (self.spoke_at + self.cfg.heartbeat, "heartbeat"));
        let silence = Some((self.heard_at + self.silence(), "silence"));
        let deferred = self
            .has_deferred()
            .then_some((self.cfg.led_since + BRAKE_WINDOW, "first minute as leader"));
        [hello, beat, silence, deferred].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Whether the session is up.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Works that wait for a person, and why.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<WorkId, HoldWhy> {
        self.slots.held()
    }

    fn silence(&self) -> Duration {
        self.cfg.heartbeat * 3
    }

    fn hello(&mut self, hello: v1::Hello) {
        let common = hello.version_max.min(VERSION_MAX);
        if common < hello.version_min.max(VERSION_MIN) {
            return self.close("no common version of the protocol", None, true);
        }
        if hello.cluster_uid != self.cfg.cluster_uid {
            return self.close("this member is not the one that was enrolled", None, true);
        }
        self.fence = hello.fence;
        self.out.push_back(Output::Claim { fence: hello.fence });
        self.phase = Phase::Claiming(Box::new(hello));
    }

    fn seated(&mut self, seating: Seating, now: Instant) {
        let Phase::Claiming(hello) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return self.break_off("seated twice");
        };
        self.memory = seating.memory;
        self.take_in(seating.works);
        self.revision = seating.revision;
        self.judge(hello, seating.epochs, seating.unix_ms, false, now);
    }

    /// Lineage comes first; an unexplained break is believed only over a list that was just read.
    fn judge(
        &mut self,
        hello: Box<v1::Hello>,
        view: EpochView,
        unix_ms: u64,
        is_fresh: bool,
        now: Instant,
    ) {
        if !view.is_last() {
            self.epochs = Some(view);
            return self.close("another hub leads", None, false);
        }
        let (key, uid) = (&self.cfg.cursor_key, &self.cfg.cluster_uid);
        let verdict = lineage::judge(&hello, &view, key, uid);
        self.epochs = Some(view);
        match verdict {
            Verdict::Holds => self.open(&hello, false, unix_ms, now),
            Verdict::Recovery => self.open(&hello, true, unix_ms, now),
            Verdict::Broken { seen_term } if is_fresh => {
                self.out.push_back(Output::Raise { seen_term });
                self.close(
                    "the hub's store went back in time; a new reign begins",
                    None,
                    false,
                );
            }
            Verdict::Broken { .. } => {
                self.phase = Phase::Refreshing(hello, unix_ms);
                self.out.push_back(Output::RefreshEpochs);
            }
        }
    }

    fn open(&mut self, hello: &v1::Hello, lost: bool, unix_ms: u64, now: Instant) {
        let same = hello.set_digest == self.set.digest().to_wire();
        let mode = match (same, lost) {
            (true, _) => v1::Mode::InSync,
            (false, true) => v1::Mode::Recovery,
            (false, false) => v1::Mode::Diff,
        };
        self.recovery = mode == v1::Mode::Recovery;
        // Marks of a lost store are replaced even when nothing differs.
        self.unchecked = lost;
        if !same {
            self.compare = Compare::WaitBuckets;
        }
        let (known_fence, known_k) = self.memory().status;
        let status_k = if known_fence == hello.fence {
            known_k
        } else {
            0
        };
        self.phase = Phase::Open;
        let epoch = self.epochs.as_ref().map(EpochView::own);
        let welcome = v1::Welcome {
            version: hello.version_max.min(VERSION_MAX),
            features: 0,
            hub_id: self.cfg.hub_id.clone(),
            epoch: epoch.map(|own| v1::Epoch {
                incarnation: own.incarnation,
                term: own.term,
                nonce: lineage::nonce_bytes(&own.nonce).to_vec().into(),
            }),
            mode: mode.into(),
            limits: Some(v1::Limits {
                frame_bytes: FRAME_BYTES_MAX as u32,
                queue_msgs: QUEUE_MSGS_MAX as u32,
                queue_bytes: QUEUE_BYTES_MAX as u32,
            }),
            heartbeat_ms: u32::try_from(self.cfg.heartbeat.as_millis()).unwrap_or(u32::MAX),
            hub_time_ms: unix_ms,
            trust_version: self.cfg.trust_version,
            status_k,
        };
        self.emit(Frame::Welcome(welcome), now);
        let restarted = hello.fence < known_fence;
        self.fact(Fact::Open { mode, restarted });
        // Removals are said in every mode: an acknowledgement may have been lost. In Recovery, and for
        // works the member still has, what is said of them waits for the comparison.
        let works = self.works.iter();
        let removals: Vec<_> = works
            .filter(|(_, said)| is_removal(said))
            .map(|(id, _)| *id)
            .collect();
        for id in removals {
            self.admit(id, now);
        }
    }

    fn epochs(&mut self, view: EpochView, now: Instant) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Refreshing(hello, unix_ms) => self.judge(hello, view, unix_ms, true, now),
            phase => {
                self.phase = phase;
                let own = self.epochs.as_ref().map(EpochView::own);
                let other = own.is_some_and(|own| own != view.own());
                if other || !view.is_last() {
                    self.close("this reign has ended", None, false);
                }
            }
        }
    }

    fn share(&mut self, works: Vec<(WorkId, Said)>, revision: u64, now: Instant) {
        let ids: Vec<_> = works.iter().map(|(id, _)| *id).collect();
        self.take_in(works);
        if revision != self.revision {
            self.revision = revision;
        }
        if self.is_open() {
            for id in ids {
                self.admit(id, now);
            }
            if !self.slots.is_holding() {
                self.memory().brake.release_if_idle();
            }
        }
    }

    /// The hub's view of the share; what is said follows it.
    fn take_in(&mut self, works: Vec<(WorkId, Said)>) {
        for (id, said) in works {
            match &said {
                Said::Upsert(assignment) => self.set.insert(id, assignment.content),
                Said::Tombstone(_) | Said::Nothing => self.set.remove(id),
            }
            if matches!(said, Said::Nothing) {
                self.works.remove(&id);
            } else {
                self.works.insert(id, said);
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, ClusterMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fact(&mut self, fact: Fact) {
        self.out.push_back(Output::Fact(fact));
    }

    fn break_off(&mut self, rule: &'static str) {
        self.fact(Fact::RuleBroken(rule));
        self.close(rule, Some(RULE_RETRY), false);
    }

    /// Ends the session with a word to the agent; goes out whatever the queue holds.
    fn close(&mut self, reason: &'static str, retry_after: Option<Duration>, last: bool) {
        let retry = retry_after.unwrap_or_default().as_millis();
        let goaway = Frame::Goaway(v1::Goaway {
            retry_after_ms: u64::try_from(retry).unwrap_or(u64::MAX),
            reason: reason.to_owned(),
            r#final: last,
        });
        self.emit(goaway, self.spoke_at);
        self.fact(Fact::Ended(reason));
        self.out.push_back(Output::Close);
        self.phase = Phase::Closed;
    }
}

fn is_removal(said: &Said) -> bool {
    matches!(said, Said::Tombstone(_))
}
