//! The session machine with time as a value: no task, no port, no sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flotilla_hub::epochs::EpochView;
use flotilla_hub::fleet::session::{
    ClusterMemory, Fact, HoldWhy, Input, Numbers, Output, Seating, Session, SessionConfig,
};
use flotilla_hub::fleet::share::{Assignment, BodyStore, ClusterName, PendingRemoval, Shares};
use flotilla_hub::pki::CursorKey;
use flotilla_policy::api::Epoch;
use flotilla_proto::digest::{Digest, SetDigest};
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::{BRAKE_WINDOW, QUEUE_MSGS_MAX};
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::delta::Op;
use flotilla_proto::v1::hub_frame::Frame as FromHub;

mod flow;
mod random;
mod recovery;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn mk_epoch(incarnation: u64, term: u64, revision: u64) -> Epoch {
    Epoch {
        incarnation,
        term,
        nonce: format!("{term:016x}"),
        revision,
        restored: false,
    }
}

/// What outlives a session, and the time.
struct Bench {
    shares: Shares,
    bodies: BodyStore,
    epochs: EpochView,
    numbers: Arc<Numbers>,
    memory: Arc<Mutex<ClusterMemory>>,
    led_since: Instant,
    now: Instant,
    made_at: u64,
}

/// A session with its agent's end of the wire.
struct Pair {
    machine: Session,
    /// Frames that the transport has not taken.
    queue: Vec<(v1::HubFrame, usize)>,
    facts: Vec<Fact>,
    asked: Vec<&'static str>,
    is_closed: bool,
}

impl Bench {
    /// A reign that began long ago.
    fn new() -> Self {
        let now = Instant::now() + Duration::from_secs(3600);
        Self {
            shares: Shares::default(),
            bodies: BodyStore::default(),
            epochs: EpochView::new(vec![mk_epoch(0, 1, 1)], mk_epoch(0, 1, 1)),
            numbers: Arc::default(),
            memory: Arc::default(),
            led_since: now - BRAKE_WINDOW,
            now,
            made_at: 100,
        }
    }

    fn cluster() -> ClusterName {
        ClusterName::new("edge")
    }

    fn assign(&mut self, kind: &str, name: &str, content: &str) -> WorkId {
        let api_version = match kind {
            "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
            _ => "v1",
        };
        let id = WorkId::new("", kind, "", name, "uid-edge");
        let row = v1::Row {
            object: Some(v1::ObjectRef {
                api_version: api_version.into(),
                kind: kind.into(),
                namespace: String::new(),
                name: name.into(),
            }),
            template_uid: format!("uid-of-{name}"),
            ..v1::Row::default()
        };
        self.made_at += 1;
        let template = self.bodies.intern(content.as_bytes()).unwrap();
        let assignment = Assignment::new(id, template, None, row, self.made_at);
        self.shares
            .set_upsert(&Self::cluster(), id, Some(Arc::new(assignment)));
        id
    }

    fn remove(&mut self, kind: &str, name: &str, derived: bool) -> (WorkId, u64) {
        let id = WorkId::new("", kind, "", name, "uid-edge");
        let api_version = match kind {
            "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
            _ => "v1",
        };
        self.made_at += 1;
        self.shares.set_upsert(&Self::cluster(), id, None);
        let removal = PendingRemoval {
            id,
            template_uid: format!("uid-of-{name}"),
            predecessors: Vec::new(),
            made_at: self.made_at,
            reason: "Deleted".into(),
            preserve: false,
            object: v1::ObjectRef {
                api_version: api_version.into(),
                kind: kind.into(),
                namespace: String::new(),
                name: name.into(),
            },
            derived,
        };
        self.shares.set_removal(&Self::cluster(), removal);
        (id, self.made_at)
    }

    fn pair(&self) -> Pair {
        let cfg = SessionConfig {
            cluster_uid: "uid-edge".into(),
            hub_id: "hub".into(),
            heartbeat: SECOND * 10,
            cursor_key: CursorKey::from_array([1; 32]),
            numbers: Arc::clone(&self.numbers),
            led_since: self.led_since,
            trust_version: 1,
        };
        Pair {
            machine: Session::new(cfg, self.now),
            queue: Vec::new(),
            facts: Vec::new(),
            asked: Vec::new(),
            is_closed: false,
        }
    }

    fn hello(&self) -> v1::Hello {
        v1::Hello {
            version_min: 1,
            version_max: 1,
            cluster_uid: "uid-edge".into(),
            fence: 1,
            ..v1::Hello::default()
        }
    }

    /// A session up to its Welcome.
    fn greeted(&self, hello: v1::Hello) -> (Pair, v1::Welcome) {
        let mut pair = self.pair();
        pair.say(self, ToHub::Hello(hello));
        let (first, bytes) = pair.queue.remove(0);
        pair.feed(self, Input::Drained { msgs: 1, bytes });
        match first.frame {
            Some(FromHub::Welcome(welcome)) => (pair, welcome),
            other => panic!("no Welcome but {other:?}"),
        }
    }

    /// A session of an agent that has everything.
    fn in_sync(&self) -> Pair {
        let hello = v1::Hello {
            set_digest: self.shares.set_digest(&Self::cluster()).to_wire(),
            ..self.hello()
        };
        let (pair, welcome) = self.greeted(hello);
        assert_eq!(welcome.mode(), v1::Mode::InSync);
        pair
    }
}

impl Pair {
    fn feed(&mut self, bench: &Bench, input: Input) {
        self.machine.handle(input, bench.now);
        self.drain(bench);
    }

    fn say(&mut self, bench: &Bench, frame: ToHub) {
        let frame = v1::AgentFrame { frame: Some(frame) };
        self.feed(bench, Input::Frame(frame));
    }

    /// Tells the session what changed in the share.
    fn share(&mut self, bench: &Bench) {
        let works = bench.shares.take_dirty(&Bench::cluster());
        let revision = bench.made_at;
        self.feed(bench, Input::Share { works, revision });
    }

    /// Lets time pass up to what is due, as the shell does.
    fn wait(&mut self, bench: &mut Bench, time: Duration) {
        let end = bench.now + time;
        while let Some((at, _)) = self.machine.poll_timeout().filter(|(at, _)| *at <= end) {
            bench.now = bench.now.max(at);
            self.machine.handle_timeout(bench.now);
            self.drain(bench);
        }
        bench.now = end;
    }

    fn drain(&mut self, bench: &Bench) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { frame, bytes } => {
                    assert!(!self.is_closed, "said after the end: {frame:?}");
                    self.queue.push((frame, bytes));
                }
                Output::Claim { .. } => {
                    let seating = Seating {
                        epochs: bench.epochs.clone(),
                        memory: Arc::clone(&bench.memory),
                        works: bench.shares.snapshot(&Bench::cluster()),
                        revision: bench.made_at,
                        unix_ms: 0,
                    };
                    let seated = Input::Seated(Box::new(seating));
                    self.machine.handle(seated, bench.now);
                }
                Output::ReadBody(digest) => {
                    let body = bench.shares.body(&Bench::cluster(), digest);
                    self.machine.handle(Input::Body(body), bench.now);
                }
                Output::RefreshEpochs => {
                    self.asked.push("refresh");
                    let view = bench.epochs.clone();
                    self.machine.handle(Input::Epochs(view), bench.now);
                }
                Output::Raise { .. } => self.asked.push("raise"),
                Output::Fact(fact) => self.facts.push(fact),
                Output::Close => self.is_closed = true,
            }
        }
        assert!(self.queue.len() <= QUEUE_MSGS_MAX + 1, "the queue grows");
    }

    /// Takes everything that was said off the queue, and what that makes room for.
    fn read_all(&mut self, bench: &Bench) -> Vec<FromHub> {
        let mut all = Vec::new();
        while !self.queue.is_empty() {
            let bytes = self.queue.iter().map(|(_, bytes)| bytes).sum();
            let msgs = self.queue.len();
            all.extend(self.read());
            self.feed(bench, Input::Drained { msgs, bytes });
        }
        all
    }

    fn read(&mut self) -> Vec<FromHub> {
        let queue = std::mem::take(&mut self.queue);
        queue.into_iter().filter_map(|(f, _)| f.frame).collect()
    }

    fn held(&self, why: HoldWhy) -> usize {
        self.machine.held().values().filter(|w| **w == why).count()
    }
}

fn deltas(frames: &[FromHub]) -> Vec<&v1::Delta> {
    let deltas = frames.iter().filter_map(|frame| match frame {
        FromHub::Delta(delta) => Some(delta),
        _ => None,
    });
    deltas.collect()
}

fn checkpoint(frames: &[FromHub]) -> Option<&v1::Checkpoint> {
    frames.iter().rev().find_map(|frame| match frame {
        FromHub::Checkpoint(checkpoint) => Some(checkpoint),
        _ => None,
    })
}

fn goaway(frames: &[FromHub]) -> Option<&v1::Goaway> {
    frames.iter().find_map(|frame| match frame {
        FromHub::Goaway(goaway) => Some(goaway),
        _ => None,
    })
}

/// What a delta is about, in words.
fn word(delta: &v1::Delta) -> String {
    match delta.op.as_ref().unwrap() {
        Op::Upsert(upsert) => {
            let object = upsert.row.as_ref().unwrap().object.as_ref().unwrap();
            format!("+{}", object.name)
        }
        Op::Tombstone(gone) => format!("-{}", gone.object.as_ref().unwrap().name),
    }
}

fn words(frames: &[FromHub]) -> Vec<String> {
    deltas(frames).into_iter().map(word).collect()
}

/// What an agent remembers, as far as a session can tell.
#[derive(Debug, Default)]
struct Member {
    works: BTreeMap<WorkId, Digest>,
    unknown: BTreeSet<WorkId>,
    set: SetDigest,
    cursor: bytes::Bytes,
}
