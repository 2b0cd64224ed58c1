//! A hub as an agent sees it: small, in memory, without clock. It says what its works are, answers
//! buckets and inventories, serves bodies, and remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_proto::convert::body;
use flotilla_proto::digest::{Digest, SetDigest, content};
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as FromAgent;
use flotilla_proto::v1::delta::Op;
use flotilla_proto::v1::hub_frame::Frame;
use serde_json::Value;

/// UID of the member.
pub(crate) const CLUSTER_UID: &str = "cluster-uid";

/// One template with everything that is said about it.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) template: Value,
    pub(crate) row: v1::Row,
    pub(crate) made_at: u64,
    pub(crate) overrides: Option<Vec<u8>>,
}

/// The hub.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    pub(crate) epoch: v1::Epoch,
    pub(crate) revision: u64,
    pub(crate) mode: Option<v1::Mode>,
    works: BTreeMap<WorkId, Work>,
    removals: BTreeMap<WorkId, v1::Tombstone>,
    bodies: BTreeMap<Digest, Vec<u8>>,
    n: u64,
    generation: u64,
    session: bool,
    dirty: BTreeSet<WorkId>,
    inventory: BTreeMap<WorkId, Digest>,
    pub(crate) hellos: Vec<v1::Hello>,
    pub(crate) acked: u64,
    pub(crate) said: u64,
    pub(crate) nacks: Vec<(WorkId, v1::NackClass, String)>,
    pub(crate) statuses: BTreeMap<WorkId, v1::Status>,
    pub(crate) found: Vec<v1::Found>,
    pub(crate) settled: Vec<(WorkId, u64)>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            epoch: mk_epoch(1, 1),
            revision: 100,
            mode: None,
            works: BTreeMap::new(),
            removals: BTreeMap::new(),
            bodies: BTreeMap::new(),
            n: 0,
            generation: 0,
            session: false,
            dirty: BTreeSet::new(),
            inventory: BTreeMap::new(),
            hellos: Vec::new(),
            acked: 0,
            said: 0,
            nacks: Vec::new(),
            statuses: BTreeMap::new(),
            found: Vec::new(),
            settled: Vec::new(),
        }
    }
}

pub(crate) fn mk_epoch(term: u64, nonce: u8) -> v1::Epoch {
    v1::Epoch {
        incarnation: 1,
        term,
        nonce: vec![nonce; 8].into(),
    }
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or("")
}

pub(crate) fn object_ref(template: &Value) -> v1::ObjectRef {
    v1::ObjectRef {
        api_version: text(template, "/apiVersion").into(),
        kind: text(template, "/kind").into(),
        namespace: text(template, "/metadata/namespace").into(),
        name: text(template, "/metadata/name").into(),
    }
}

pub(crate) fn work_id(template: &Value) -> WorkId {
    let object = object_ref(template);
    let group = object.api_version.split_once('/').map_or("", |(g, _)| g);
    WorkId::new(
        group,
        &object.kind,
        &object.namespace,
        &object.name,
        CLUSTER_UID,
    )
}

impl Hub {
    /// Wants a template in the member.
    pub(crate) fn want(&mut self, template: &Value) -> WorkId {
        self.want_with(template, |_| {})
    }

    /// Wants a template, with a row of its own.
    pub(crate) fn want_with(&mut self, template: &Value, f: impl FnOnce(&mut Work)) -> WorkId {
        let id = work_id(template);
        self.revision += 1;
        let mut work = Work {
            template: template.clone(),
            row: v1::Row {
                object: Some(object_ref(template)),
                template_uid: "t1".into(),
                template_generation: 1,
                ..v1::Row::default()
            },
            made_at: self.revision,
            overrides: None,
        };
        f(&mut work);
        self.works.insert(id, work);
        self.dirty.insert(id);
        id
    }

    /// Wants it no more.
    pub(crate) fn remove(&mut self, id: WorkId) {
        self.remove_with(id, |_| {});
    }

    /// Wants it no more, in its own way.
    pub(crate) fn remove_with(&mut self, id: WorkId, f: impl FnOnce(&mut v1::Tombstone)) {
        self.revision += 1;
        let work = self.works.remove(&id);
        let row = work.map(|w| w.row).unwrap_or_default();
        let mut tombstone = v1::Tombstone {
            id: id.to_wire(),
            made_at: self.revision,
            uid: row.template_uid,
            object: row.object,
            reason: "Deleted".into(),
            ..v1::Tombstone::default()
        };
        f(&mut tombstone);
        self.removals.insert(id, tombstone);
        self.dirty.insert(id);
    }

    /// Forgets a work without saying anything, as a restored store does.
    pub(crate) fn forget(&mut self, id: WorkId) {
        self.works.remove(&id);
    }

    /// Digest of what should be there.
    pub(crate) fn set(&self) -> SetDigest {
        let mut set = SetDigest::default();
        for (id, work) in &self.works {
            if !self.removals.contains_key(id) {
                set.insert(*id, content_of(work));
            }
        }
        set
    }

    pub(crate) fn link_down(&mut self) {
        self.session = false;
    }

    /// What changed, as deltas with a checkpoint.
    pub(crate) fn say_changes(&mut self) -> Vec<v1::HubFrame> {
        if !self.session || self.dirty.is_empty() {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            frames.extend(self.delta(id).map(Frame::Delta));
        }
        frames.push(self.checkpoint());
        frames.into_iter().map(to_frame).collect()
    }

    /// Everything as one snapshot.
    pub(crate) fn say_snapshot(&mut self) -> Vec<v1::HubFrame> {
        let mut deltas = Vec::new();
        for id in self
            .works
            .keys()
            .chain(self.removals.keys())
            .copied()
            .collect::<BTreeSet<_>>()
        {
            deltas.extend(self.delta(id));
        }
        let mut frames = vec![Frame::SnapBegin(v1::SnapBegin { n: self.n })];
        let count = deltas.len() as u64;
        let items = deltas
            .into_iter()
            .map(|delta| v1::SnapItem { delta: Some(delta) });
        frames.extend(items.map(Frame::SnapItem));
        frames.push(Frame::SnapEnd(v1::SnapEnd {
            n: self.n,
            count,
            set_digest: self.set().digest().to_wire(),
            cursor: self.cursor(),
            revision: self.revision,
        }));
        self.said = self.n;
        frames.into_iter().map(to_frame).collect()
    }

    fn delta(&mut self, id: WorkId) -> Option<v1::Delta> {
        self.generation += 1;
        let generation = Some(v1::Generation {
            term: self.epoch.term,
            n: self.generation,
        });
        let op = if let Some(tombstone) = self.removals.get(&id) {
            Op::Tombstone(v1::Tombstone {
                generation,
                ..tombstone.clone()
            })
        } else {
            let work = self.works.get(&id)?.clone();
            let template = self.body(work.template.to_string().into_bytes());
            let overrides = work.overrides.clone().map(|bytes| self.body(bytes));
            Op::Upsert(v1::Upsert {
                id: id.to_wire(),
                generation,
                made_at: work.made_at,
                template_digest: template.to_wire(),
                overrides_digest: overrides.map(Digest::to_wire).unwrap_or_default(),
                row: Some(work.row),
            })
        };
        let prev_n = self.n;
        self.n += 1;
        Some(v1::Delta {
            n: self.n,
            prev_n,
            op: Some(op),
        })
    }

    fn body(&mut self, raw: Vec<u8>) -> Digest {
        let digest = Digest::of(&raw);
        self.bodies.insert(digest, raw);
        digest
    }

    fn cursor(&self) -> bytes::Bytes {
        format!("{}@{}", self.epoch.term, self.revision)
            .into_bytes()
            .into()
    }

    fn checkpoint(&mut self) -> Frame {
        self.said = self.n;
        Frame::Checkpoint(v1::Checkpoint {
            n: self.n,
            revision: self.revision,
            set_digest: self.set().digest().to_wire(),
            cursor: self.cursor(),
        })
    }

    /// Takes in what an agent says; what it answers.
    pub(crate) fn hear(&mut self, frame: v1::AgentFrame) -> Vec<v1::HubFrame> {
        let frames = match frame.frame.expect("agents say something") {
            FromAgent::Hello(hello) => self.hello(hello),
            FromAgent::Buckets(buckets) => self.buckets(&buckets),
            FromAgent::Inventory(inventory) => self.inventory(&inventory),
            FromAgent::BodyWant(want) => self.serve(&want),
            FromAgent::Ack(ack) => {
                assert!(ack.n <= self.said, "acknowledged what was never said");
                self.acked = self.acked.max(ack.n);
                for settled in ack.tombstones {
                    let id = WorkId::from_wire(&settled.id).expect("an id");
                    self.settled.push((id, settled.made_at));
                    if self
                        .removals
                        .get(&id)
                        .is_some_and(|t| t.made_at == settled.made_at)
                    {
                        self.removals.remove(&id);
                        if self.works.contains_key(&id) {
                            self.dirty.insert(id);
                        }
                    }
                }
                Vec::new()
            }
            FromAgent::Nack(nack) => {
                let id = WorkId::from_wire(&nack.id).expect("an id");
                self.nacks.push((id, nack.class(), nack.detail));
                Vec::new()
            }
            FromAgent::Status(status) => {
                let id = WorkId::from_wire(&status.id).expect("an id");
                let k = status.k;
                self.statuses.insert(id, status);
                vec![Frame::StatusAck(v1::StatusAck { k })]
            }
            FromAgent::Found(found) => {
                self.found.push(found);
                Vec::new()
            }
            FromAgent::Ping(ping) => vec![Frame::Pong(v1::Pong { t: ping.t })],
            _ => Vec::new(),
        };
        frames.into_iter().map(to_frame).collect()
    }

    fn hello(&mut self, hello: v1::Hello) -> Vec<Frame> {
        self.session = true;
        self.acked = 0;
        let same = hello.set_digest == self.set().digest().to_wire();
        let mode = self.mode.unwrap_or(if same && self.removals.is_empty() {
            v1::Mode::InSync
        } else {
            v1::Mode::Diff
        });
        self.hellos.push(hello);
        let welcome = Frame::Welcome(v1::Welcome {
            version: 1,
            epoch: Some(self.epoch.clone()),
            mode: mode.into(),
            heartbeat_ms: 10_000,
            ..v1::Welcome::default()
        });
        if mode == v1::Mode::InSync {
            self.dirty.clear();
            return vec![welcome, self.checkpoint()];
        }
        vec![welcome]
    }

    fn buckets(&mut self, buckets: &v1::Buckets) -> Vec<Frame> {
        let ours = self.set().bucket_digests();
        let pairs = ours.chunks(32).zip(buckets.digests.chunks(32));
        let differ = (0..=u8::MAX).zip(pairs).filter(|(_, (a, b))| a != b);
        let buckets: Vec<u8> = differ.map(|(bucket, _)| bucket).collect();
        self.inventory.clear();
        vec![Frame::BucketWant(v1::BucketWant {
            buckets: buckets.into(),
        })]
    }

    fn inventory(&mut self, inventory: &v1::Inventory) -> Vec<Frame> {
        for item in &inventory.items {
            let id = WorkId::from_wire(&item.id).expect("an id");
            let digest = Digest::from_wire(&item.content_digest).expect("a digest");
            self.inventory.insert(id, digest);
        }
        if !inventory.last {
            return Vec::new();
        }
        self.dirty.clear();
        let removed = self.removals.keys().copied();
        let differ = self
            .works
            .iter()
            .filter(|(id, work)| self.inventory.get(id) != Some(&content_of(work)))
            .map(|(id, _)| *id);
        // Works of other buckets are equal.
        let wanted: BTreeSet<WorkId> = removed.chain(differ).collect();
        let mut frames: Vec<Frame> = Vec::new();
        for id in wanted {
            frames.extend(self.delta(id).map(Frame::Delta));
        }
        frames.push(self.checkpoint());
        frames
    }

    fn serve(&mut self, want: &v1::BodyWant) -> Vec<Frame> {
        let digest = Digest::from_wire(&want.digest).expect("a digest");
        let Some(raw) = self.bodies.get(&digest) else {
            return vec![Frame::BodyChunk(v1::BodyChunk {
                digest: want.digest.clone(),
                missing: true,
                ..v1::BodyChunk::default()
            })];
        };
        let packed = body::compress(raw).expect("small enough");
        let chunks = packed.chunks(60_000).count();
        packed
            .chunks(60_000)
            .enumerate()
            .map(|(index, bytes)| {
                Frame::BodyChunk(v1::BodyChunk {
                    digest: want.digest.clone(),
                    offset: index as u64 * 60_000,
                    bytes: bytes.to_vec().into(),
                    last: index + 1 == chunks,
                    ..v1::BodyChunk::default()
                })
            })
            .collect()
    }

    /// Whether everything said is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.acked == self.said && self.removals.is_empty() && self.dirty.is_empty()
    }

    /// What is wanted.
    pub(crate) fn works(&self) -> &BTreeMap<WorkId, Work> {
        &self.works
    }
}

pub(crate) fn to_frame(frame: Frame) -> v1::HubFrame {
    v1::HubFrame { frame: Some(frame) }
}

fn content_of(work: &Work) -> Digest {
    let template = Digest::of(work.template.to_string().as_bytes());
    content(
        template,
        work.overrides.as_deref().map(Digest::of),
        &work.row,
    )
}
