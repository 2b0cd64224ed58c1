//! What the hub says, but for deltas: greeting, checkpoints, bodies, snapshots, trust, holds.
//!
//! A hub that breaks a rule is left, never obeyed half.

use std::time::Duration;

use flotilla_proto::digest::SetDigest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::{
    FRAME_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_MSGS_MAX, VERSION_MAX, VERSION_MIN,
};
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::hub_frame::Frame;

use super::fetch::Chunk;
use super::{Fact, MARKS_WAIT, Marks, Now, Output, Session, SessionConfig, Snapshot, WINDOW_MAX};
use crate::ledger::records::State;

/// Items of one page of an inventory: about 70 KiB.
const INVENTORY_PAGE: usize = 1000;
/// Deltas of a snapshot in the making; more than any cluster has works.
const SNAPSHOT_MAX: usize = 1 << 20;

pub(super) fn hello(
    cfg: &SessionConfig,
    marks: &Marks,
    set: &SetDigest,
    memory_since: u64,
) -> v1::Hello {
    v1::Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        features: 0,
        cluster_uid: cfg.cluster_uid.clone(),
        fence: cfg.fence,
        cursor: marks.cursor.clone(),
        high_water: Some(marks.high_water.clone()),
        max_epoch: Some(marks.max_epoch.clone()),
        set_digest: set.digest().to_wire(),
        memory_since,
        limits: Some(v1::Limits {
            frame_bytes: FRAME_BYTES_MAX as u32,
            queue_msgs: QUEUE_MSGS_MAX as u32,
            queue_bytes: QUEUE_BYTES_MAX as u32,
        }),
    }
}

impl Session {
    pub(super) fn hub_said(&mut self, frame: v1::HubFrame, now: Now) {
        let Some(link) = &mut self.link else {
            return;
        };
        link.heard_at = now.at;
        let greeted = link.greeted;
        match frame.frame {
            Some(Frame::Welcome(welcome)) if !greeted => self.welcome(welcome, now),
            Some(Frame::Goaway(goaway)) => self.goaway(&goaway),
            Some(Frame::Ping(ping)) => {
                self.say_before_greeting(ToHub::Pong(v1::Pong { t: ping.t }))
            }
            Some(Frame::Pong(_) | Frame::Credit(_) | Frame::StatusAck(_) | Frame::Query(_)) => {}
            Some(Frame::Trust(trust)) => self.out.push_back(Output::Trust(trust)),
            // A later hub may say what this agent does not know.
            None => {}
            Some(_) if !greeted => self.break_off("the hub did not begin with Welcome"),
            Some(Frame::Welcome(_)) => self.break_off("a second Welcome"),
            Some(Frame::BucketWant(want)) => self.inventory(&want),
            Some(Frame::Delta(delta)) => self.delta(delta, now),
            Some(Frame::Checkpoint(checkpoint)) => self.checkpoint(checkpoint, now),
            Some(Frame::SnapBegin(begin)) => {
                self.snapshot = Some(Snapshot {
                    n: begin.n,
                    deltas: Vec::new(),
                });
            }
            Some(Frame::SnapItem(item)) => self.snap_item(item),
            Some(Frame::SnapEnd(end)) => self.snap_end(end, now),
            Some(Frame::BodyChunk(chunk)) => self.body_chunk(chunk, now),
            Some(Frame::Hold(hold)) => self.hold(&hold, now),
            Some(Frame::Release(release)) => self.release(&release),
        }
    }

    pub(super) fn break_off(&mut self, reason: &str) {
        self.fact(Fact::RuleBroken);
        self.leave(reason, None);
    }

    fn goaway(&mut self, goaway: &v1::Goaway) {
        if goaway.r#final {
            self.link_down();
            self.out.push_back(Output::Stop {
                reason: goaway.reason.clone(),
            });
        } else {
            let after = Duration::from_millis(goaway.retry_after_ms);
            let after = Some(after).filter(|wait| !wait.is_zero());
            self.leave(&format!("the hub says: {}", goaway.reason), after);
        }
    }

    fn welcome(&mut self, welcome: v1::Welcome, now: Now) {
        let epoch = welcome.epoch.clone().unwrap_or_default();
        let held = &self.marks.max_epoch;
        let other = epoch.nonce != held.nonce && !held.nonce.is_empty();
        if epoch.term < held.term || epoch.term == held.term && other {
            // A hub of an older reign; ours told the hub in Hello, so a rightful one comes back above.
            return self.leave("the hub's term is below one this agent has seen", None);
        }
        if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) {
            return self.leave("no common version of the protocol", None);
        }
        if epoch != *held {
            self.marks.max_epoch = epoch.clone();
            self.flush_by(now.at + MARKS_WAIT);
        }
        let mode = welcome.mode();
        if let Some(link) = &mut self.link {
            link.greeted = true;
            link.epoch = epoch;
            link.recovery = mode == v1::Mode::Recovery;
            if welcome.heartbeat_ms > 0 {
                let beat = Duration::from_millis(welcome.heartbeat_ms.into());
                link.heartbeat = beat.clamp(Duration::from_secs(1), Duration::from_secs(60));
            }
        }
        self.statuses.resume(welcome.status_k, now.at);
        if matches!(mode, v1::Mode::Diff | v1::Mode::Recovery) {
            let digests = self.records.set().bucket_digests();
            self.say(ToHub::Buckets(v1::Buckets { digests }));
        }
        if let Some(capacity) = self.capacity.clone() {
            self.say(ToHub::Capacity(capacity));
        }
        if let Some(health) = self.health.clone() {
            self.say(ToHub::Health(health));
        }
        self.say_again();
    }

    fn inventory(&mut self, want: &v1::BucketWant) {
        let mut items = Vec::new();
        for bucket in &want.buckets {
            for (id, digest) in self.records.set().bucket(*bucket) {
                let record = self.records.get(id);
                let refused = record.is_some_and(|r| r.refused.is_some());
                let state = if refused {
                    v1::WorkState::Refused
                } else {
                    v1::WorkState::Live
                };
                items.push(v1::InventoryItem {
                    id: id.to_wire(),
                    content_digest: digest.to_wire(),
                    generation: record.map(|r| r.generation.into()),
                    state: state.into(),
                });
            }
        }
        let pages = items.len().div_ceil(INVENTORY_PAGE).max(1);
        let mut items = items.into_iter();
        for page in 1..=pages {
            let inventory = v1::Inventory {
                items: items.by_ref().take(INVENTORY_PAGE).collect(),
                last: page == pages,
            };
            self.say(ToHub::Inventory(inventory));
        }
    }

    fn checkpoint(&mut self, checkpoint: v1::Checkpoint, now: Now) {
        let Some(link) = &mut self.link else {
            return;
        };
        if link.last_n.is_some_and(|n| n != checkpoint.n) {
            return self.break_off("a Checkpoint that does not follow the last delta");
        }
        link.last_n = Some(checkpoint.n);
        link.revision = checkpoint.revision;
        self.acks.reached(checkpoint.n);
        self.end_window(checkpoint.cursor, now);
        self.compare(&checkpoint.set_digest);
    }

    /// A consistent cut is reached: only this moves the cursor. With nothing else to write it waits
    /// for the next window, unless the stored one names an epoch that has ended.
    pub(super) fn end_window(&mut self, cursor: bytes::Bytes, now: Now) {
        let Some(link) = &self.link else {
            return;
        };
        let (epoch, revision) = (link.epoch.clone(), link.revision);
        if !self.changed.is_empty() {
            self.marks.high_water.revision = revision;
        }
        if self.marks.cursor != cursor {
            self.marks.cursor = cursor;
            self.cursor_nonce = epoch.nonce.clone();
            if self.durable_nonce != epoch.nonce {
                self.flush_by(now.at + MARKS_WAIT);
            }
        }
        if !self.changed.is_empty() {
            self.flush_by(now.at);
        }
    }

    /// Sets that differ although everything was said: the buckets say where.
    fn compare(&mut self, theirs: &[u8]) {
        let ours = self.records.set().digest();
        if theirs == ours.as_bytes() || theirs.is_empty() {
            return;
        }
        let held = self.works.values().any(|progress| progress.held_back);
        let Some(link) = &mut self.link else {
            return;
        };
        if held || link.compared || link.recovery {
            return;
        }
        link.compared = true;
        self.fact(Fact::DigestMismatch);
        let digests = self.records.set().bucket_digests();
        self.say(ToHub::Buckets(v1::Buckets { digests }));
    }

    fn body_chunk(&mut self, chunk: v1::BodyChunk, now: Now) {
        match self.fetch.chunk(chunk, now.at) {
            Chunk::More => {}
            Chunk::Broken(reason) => self.break_off(reason),
            Chunk::Whole(digest, bytes, works) => {
                self.out.push_back(Output::KeepBody(digest, bytes));
                for id in works {
                    self.enqueue(id, true);
                }
            }
        }
    }

    fn snap_item(&mut self, item: v1::SnapItem) {
        let (Some(snapshot), Some(delta)) = (&mut self.snapshot, item.delta) else {
            return self.break_off("an item without a snapshot");
        };
        if snapshot.deltas.len() >= SNAPSHOT_MAX {
            return self.break_off("a snapshot without end");
        }
        snapshot.deltas.push(delta);
    }

    /// A snapshot takes effect as a whole, or not at all. What it lacks is reported, not deleted.
    fn snap_end(&mut self, end: v1::SnapEnd, now: Now) {
        let Some(snapshot) = self.snapshot.take() else {
            return self.break_off("the end of no snapshot");
        };
        if snapshot.n != end.n || snapshot.deltas.len() as u64 != end.count {
            return self.break_off("a snapshot that is not whole");
        }
        if !end.set_digest.is_empty() && digest_of(&snapshot.deltas) != Some(end.set_digest) {
            return self.break_off("a snapshot that is not what its digest says");
        }
        let mut said = std::collections::BTreeSet::new();
        for delta in snapshot.deltas {
            said.extend(super::deltas::id_of(&delta));
            self.accept(delta, end.n, now);
        }
        let unknown: Vec<_> = self
            .records
            .iter()
            .filter(|r| r.state == State::Live && !said.contains(&r.id))
            .map(|r| r.id)
            .collect();
        for id in unknown {
            self.orphan(id, now);
        }
        if let Some(link) = &mut self.link {
            link.last_n = Some(end.n);
            link.revision = end.revision;
        }
        self.acks.reached(end.n);
        self.end_window(end.cursor, now);
    }

    /// The hub does not know a work: it is kept, marked and reported, never deleted.
    pub(super) fn orphan(&mut self, id: WorkId, now: Now) {
        let Some(mut record) = self.records.get(id).cloned() else {
            return;
        };
        if record.state != State::Live {
            return;
        }
        record.state = State::Orphan;
        let found = v1::Found {
            kind: v1::FoundKind::Orphan.into(),
            id: id.to_wire(),
            object: record.row.object.clone(),
            detail: "the hub does not know this work; it keeps running".to_owned(),
        };
        self.records.put(record);
        self.changed.insert(id);
        self.flush_by(now.at + WINDOW_MAX);
        self.say(ToHub::Found(found));
    }

    /// Nothing is removed until the hub says it again or releases it; what is wanted is still repaired.
    fn hold(&mut self, hold: &v1::Hold, now: Now) {
        self.all_held |= hold.all;
        let ids = |list: &[bytes::Bytes]| -> Vec<WorkId> {
            list.iter().filter_map(|id| WorkId::from_wire(id)).collect()
        };
        self.held.extend(ids(&hold.ids));
        for id in ids(&hold.unknown) {
            self.orphan(id, now);
        }
    }

    fn release(&mut self, release: &v1::Release) {
        let ids: Vec<_> = release
            .ids
            .iter()
            .filter_map(|id| WorkId::from_wire(id))
            .collect();
        if ids.is_empty() {
            self.all_held = false;
        }
        self.held.retain(|id| !ids.is_empty() && !ids.contains(id));
        let freed = if ids.is_empty() {
            self.records.iter().map(|r| r.id).collect()
        } else {
            ids.clone()
        };
        self.released.extend(ids);
        for id in freed {
            self.enqueue(id, true);
        }
    }
}

/// The set digest that a snapshot's upserts make.
fn digest_of(deltas: &[v1::Delta]) -> Option<bytes::Bytes> {
    let mut set = SetDigest::default();
    for delta in deltas {
        if let Some((id, content)) = super::deltas::content_of(delta) {
            set.insert(id, content);
        }
    }
    Some(set.digest().to_wire())
}
