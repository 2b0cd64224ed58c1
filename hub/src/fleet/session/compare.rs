//! Comparing sets: buckets first, then the inventories of those that differ, then what differs is said.
//!
//! A work that the hub does not know is reported and marked by the agent, never deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use flotilla_proto::digest::{BUCKETS, Digest};
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;
use flotilla_proto::v1::hub_frame::Frame;

use super::{Fact, HoldWhy, Session};
use crate::fleet::share::Said;

/// More works than any member has.
const INVENTORY_MAX: usize = 1 << 18;
/// Ids of one Hold frame: well below a frame.
const HOLD_IDS: usize = 4096;

/// How far a comparison is.
#[derive(Debug, Default)]
pub(super) enum Compare {
    /// None is under way.
    #[default]
    Idle,
    WaitBuckets,
    WaitInventory {
        buckets: BTreeSet<u8>,
        theirs: BTreeMap<WorkId, Digest>,
    },
}

impl Session {
    /// The agent's bucket digests, after Welcome or when a Checkpoint did not match.
    pub(super) fn buckets(&mut self, buckets: &v1::Buckets, now: Instant) {
        if buckets.digests.len() != BUCKETS * 32 {
            return self.break_off("bucket digests of another length");
        }
        let ours = self.set.bucket_digests();
        let pairs = ours.chunks_exact(32).zip(buckets.digests.chunks_exact(32));
        let differ: BTreeSet<u8> = (0..=u8::MAX)
            .zip(pairs)
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(bucket, _)| bucket)
            .collect();
        if differ.is_empty() {
            return self.compared(&BTreeSet::new(), &BTreeMap::new(), now);
        }
        let want = v1::BucketWant {
            buckets: differ.iter().copied().collect::<Vec<_>>().into(),
        };
        self.compare = Compare::WaitInventory {
            buckets: differ,
            theirs: BTreeMap::new(),
        };
        if self.outbox.control(Frame::BucketWant(want)).is_err() {
            self.break_off("the agent does not read");
        }
    }

    /// One page of what the agent has in the buckets that differ.
    pub(super) fn inventory(&mut self, page: &v1::Inventory, now: Instant) {
        let Compare::WaitInventory { buckets, theirs } = &mut self.compare else {
            return self.break_off("an inventory that nobody asked for");
        };
        for item in &page.items {
            let orphan = item.state() == v1::WorkState::Orphan;
            let id = WorkId::from_wire(&item.id);
            let content = Digest::from_wire(&item.content_digest);
            if let (Some(id), Some(content), false) = (id, content, orphan)
                && buckets.contains(&id.as_bytes()[0])
            {
                theirs.insert(id, content);
            }
        }
        if theirs.len() > INVENTORY_MAX {
            return self.break_off("an inventory without end");
        }
        if page.last
            && let Compare::WaitInventory { buckets, theirs } = std::mem::take(&mut self.compare)
        {
            self.compared(&buckets, &theirs, now);
        }
    }

    fn compared(
        &mut self,
        buckets: &BTreeSet<u8>,
        theirs: &BTreeMap<WorkId, Digest>,
        now: Instant,
    ) {
        self.compare = Compare::Idle;
        self.unchecked = true;
        let ours: Vec<_> = buckets.iter().flat_map(|b| self.set.bucket(*b)).collect();
        for (id, content) in ours {
            match theirs.get(&id) {
                Some(held) if *held == content => {}
                Some(_) if self.recovery && !self.memory().approved.contains_key(&id) => {
                    self.hold(id, HoldWhy::RecoveryDiffers);
                }
                _ => self.admit(id, now),
            }
        }
        let unknown: Vec<_> = theirs
            .keys()
            .copied()
            .filter(|id| !self.works.contains_key(id))
            .collect();
        for id in &unknown {
            self.fact(Fact::Orphan(*id, "not known to the hub".to_owned()));
        }
        let held: Vec<_> = self.slots.held().keys().copied().collect();
        for ids in held.chunks(HOLD_IDS) {
            self.say_hold(ids, &[]);
        }
        for ids in unknown.chunks(HOLD_IDS) {
            self.say_hold(&[], ids);
        }
    }

    fn say_hold(&mut self, ids: &[WorkId], unknown: &[WorkId]) {
        let hold = v1::Hold {
            all: false,
            ids: ids.iter().map(|id| id.to_wire()).collect(),
            unknown: unknown.iter().map(|id| id.to_wire()).collect(),
        };
        if self.outbox.control(Frame::Hold(hold)).is_err() {
            self.break_off("the agent does not read");
        }
    }

    /// Whether the hub says or removes this work in this cluster.
    pub(super) fn is_ours(&self, id: WorkId) -> bool {
        matches!(
            self.works.get(&id),
            Some(Said::Upsert(_) | Said::Tombstone(_))
        )
    }
}
