//! What each cluster should have: one slot per work, bodies shared, changes pushed to its session.
//!
//! Fed by the index, synchronously; read by sessions. Decides only which of a slot's parts is said
//! next: a pending removal goes before an upsert. Never drops a removal by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use flotilla_proto::convert::body::{self, BodyError};
use flotilla_proto::digest::{Digest, SetDigest, content};
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;
use tokio::sync::watch;

/// Name of a member cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// From text; any text, since admission has checked names.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ClusterName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content-addressed bytes, compressed once.
#[derive(Debug)]
pub struct Body {
    /// Digest of the raw bytes.
    pub digest: Digest,
    /// Compressed bytes, as they are sent.
    pub compressed: Bytes,
    /// Length of the raw bytes.
    pub raw_bytes: usize,
}

/// Bodies by digest, each held once for as long as somebody refers to it.
#[derive(Debug, Default)]
pub struct BodyStore {
    bodies: Mutex<BTreeMap<Digest, Weak<Body>>>,
}

impl BodyStore {
    /// The body of these raw bytes; compressed only when it is new.
    ///
    /// # Errors
    /// When they are longer than a body may be.
    pub fn intern(&self, raw: &[u8]) -> Result<Arc<Body>, BodyError> {
        let digest = Digest::of(raw);
        if let Some(known) = self.get(digest) {
            return Ok(known);
        }
        let made = Arc::new(Body {
            digest,
            compressed: body::compress(raw)?,
            raw_bytes: raw.len(),
        });
        let mut bodies = self.lock();
        if bodies.len() > 64 && bodies.len().is_power_of_two() {
            bodies.retain(|_, body| body.strong_count() > 0);
        }
        bodies.insert(digest, Arc::downgrade(&made));
        Ok(made)
    }

    /// The body with a digest, while somebody refers to it.
    #[must_use]
    pub fn get(&self, digest: Digest) -> Option<Arc<Body>> {
        self.lock().get(&digest)?.upgrade()
    }

    /// How many bodies are referred to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock()
            .values()
            .filter(|b| b.strong_count() > 0)
            .count()
    }

    /// Whether no body is referred to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Weak<Body>>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One binding's share for one cluster.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The work.
    pub id: WorkId,
    /// Template body.
    pub template: Arc<Body>,
    /// Overrides resolved for this cluster; none = no rule matches.
    pub overrides: Option<Arc<Body>>,
    /// What differs per cluster.
    pub row: v1::Row,
    /// Digest over all of it.
    pub content: Digest,
    /// Door revision of the decision and its newest source.
    pub made_at: u64,
}

impl Assignment {
    /// Builds an assignment and its content digest.
    #[must_use]
    pub fn new(
        id: WorkId,
        template: Arc<Body>,
        overrides: Option<Arc<Body>>,
        row: v1::Row,
        made_at: u64,
    ) -> Self {
        let content = content(template.digest, overrides.as_ref().map(|b| b.digest), &row);
        Self {
            id,
            template,
            overrides,
            row,
            content,
            made_at,
        }
    }
}

/// A deletion that a cluster has not acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingRemoval {
    /// The work.
    pub id: WorkId,
    /// UID of the template that is removed.
    pub template_uid: String,
    /// UIDs of its predecessors, which a member may still hold.
    pub predecessors: Vec<String>,
    /// Door revision of the decision; names the removal in an acknowledgement.
    pub made_at: u64,
    /// CamelCase reason.
    pub reason: String,
    /// Leave the object, take our marks off it.
    pub preserve: bool,
    /// The object.
    pub object: v1::ObjectRef,
    /// Whether it follows from a re-placement or policy edit (braked) or from a delete a person made.
    pub derived: bool,
}

/// What is said about one work next.
#[derive(Clone, Debug)]
pub enum Said {
    /// It should be there.
    Upsert(Arc<Assignment>),
    /// It should go.
    Tombstone(Arc<PendingRemoval>),
    /// Nothing (any more): neither wanted nor to be removed.
    Nothing,
}

#[derive(Debug, Default)]
struct Slot {
    upsert: Option<Arc<Assignment>>,
    removals: BTreeMap<u64, Arc<PendingRemoval>>,
}

impl Slot {
    fn said(&self) -> Said {
        if let Some((_, removal)) = self.removals.first_key_value() {
            Said::Tombstone(Arc::clone(removal))
        } else if let Some(assignment) = &self.upsert {
            Said::Upsert(Arc::clone(assignment))
        } else {
            Said::Nothing
        }
    }
}

#[derive(Debug)]
struct ClusterShare {
    slots: BTreeMap<WorkId, Slot>,
    /// Bodies this cluster may read, with the number of assignments that refer to each.
    bodies: BTreeMap<Digest, (Arc<Body>, usize)>,
    set: SetDigest,
    dirty: BTreeSet<WorkId>,
    changed: watch::Sender<u64>,
}

impl Default for ClusterShare {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
            bodies: BTreeMap::new(),
            set: SetDigest::default(),
            dirty: BTreeSet::new(),
            changed: watch::channel(0).0,
        }
    }
}

impl ClusterShare {
    fn set_upsert(&mut self, id: WorkId, assignment: Option<Arc<Assignment>>) {
        let slot = self.slots.entry(id).or_default();
        let old = std::mem::replace(&mut slot.upsert, assignment.clone());
        if old.as_ref().map(|a| a.content) == assignment.as_ref().map(|a| a.content)
            && old.is_some()
        {
            return self.settle(id);
        }
        if let Some(new) = &assignment {
            self.refer(&new.template);
            if let Some(overrides) = &new.overrides {
                self.refer(overrides);
            }
        }
        if let Some(old) = old {
            self.release(old.template.digest);
            if let Some(overrides) = &old.overrides {
                self.release(overrides.digest);
            }
        }
        self.touch(id);
    }

    fn refer(&mut self, body: &Arc<Body>) {
        let entry = self.bodies.entry(body.digest);
        entry.or_insert_with(|| (Arc::clone(body), 0)).1 += 1;
    }

    fn release(&mut self, digest: Digest) {
        if let Some((_, count)) = self.bodies.get_mut(&digest) {
            *count -= 1;
            if *count == 0 {
                self.bodies.remove(&digest);
            }
        }
    }

    fn set_removal(&mut self, removal: PendingRemoval) {
        let (id, made_at) = (removal.id, removal.made_at);
        let slot = self.slots.entry(id).or_default();
        if slot.removals.get(&made_at).map(Arc::as_ref) != Some(&removal) {
            slot.removals.insert(made_at, Arc::new(removal));
            self.touch(id);
        }
    }

    fn strike(&mut self, id: WorkId, made_at: u64) {
        if let Some(slot) = self.slots.get_mut(&id)
            && slot.removals.remove(&made_at).is_some()
        {
            self.touch(id);
        }
    }

    /// Marks a work as changed and brings the set digest in line.
    fn touch(&mut self, id: WorkId) {
        self.settle(id);
        self.dirty.insert(id);
        self.changed.send_modify(|n| *n += 1);
    }

    fn settle(&mut self, id: WorkId) {
        match self.slots.get(&id).map(Slot::said) {
            Some(Said::Upsert(assignment)) => self.set.insert(id, assignment.content),
            Some(Said::Tombstone(_)) => self.set.remove(id),
            Some(Said::Nothing) | None => {
                self.set.remove(id);
                self.slots.remove(&id);
            }
        }
    }
}

/// All clusters' shares.
#[derive(Debug, Default)]
pub struct Shares {
    clusters: Mutex<BTreeMap<ClusterName, ClusterShare>>,
    revision: Mutex<u64>,
}

impl Shares {
    /// Sets or clears what should be there; the same content again changes nothing.
    pub fn set_upsert(
        &self,
        cluster: &ClusterName,
        id: WorkId,
        assignment: Option<Arc<Assignment>>,
    ) {
        self.with(cluster, |share| share.set_upsert(id, assignment));
    }

    /// Adds a removal, or refreshes it.
    pub fn set_removal(&self, cluster: &ClusterName, removal: PendingRemoval) {
        self.with(cluster, |share| share.set_removal(removal));
    }

    /// Takes a removal out, after the front door showed that it is struck.
    pub fn strike(&self, cluster: &ClusterName, id: WorkId, made_at: u64) {
        self.with(cluster, |share| share.strike(id, made_at));
    }

    /// Door revision up to which the index has read.
    pub fn set_revision(&self, revision: u64) {
        let mut held = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(revision);
    }

    /// Door revision up to which the index has read.
    #[must_use]
    pub fn revision(&self) -> u64 {
        *self.revision.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every work of a cluster and what is said about it.
    #[must_use]
    pub fn snapshot(&self, cluster: &ClusterName) -> Vec<(WorkId, Said)> {
        self.with(cluster, |share| {
            share.dirty.clear();
            let slots = share.slots.iter();
            slots.map(|(id, slot)| (*id, slot.said())).collect()
        })
    }

    /// The works that changed since the last call, newest state each.
    #[must_use]
    pub fn take_dirty(&self, cluster: &ClusterName) -> Vec<(WorkId, Said)> {
        self.with(cluster, |share| {
            let dirty = std::mem::take(&mut share.dirty);
            dirty
                .into_iter()
                .map(|id| (id, share.slots.get(&id).map_or(Said::Nothing, Slot::said)))
                .collect()
        })
    }

    /// Wakes when a cluster's share changes.
    #[must_use]
    pub fn subscribe(&self, cluster: &ClusterName) -> watch::Receiver<u64> {
        self.with(cluster, |share| share.changed.subscribe())
    }

    /// Digest of the set a cluster should hold.
    #[must_use]
    pub fn set_digest(&self, cluster: &ClusterName) -> Digest {
        self.with(cluster, |share| share.set.digest())
    }

    /// Its bucket digests.
    #[must_use]
    pub fn set(&self, cluster: &ClusterName) -> SetDigest {
        self.with(cluster, |share| share.set.clone())
    }

    /// A body, only while an assignment of that cluster refers to it.
    #[must_use]
    pub fn body(&self, cluster: &ClusterName, digest: Digest) -> Option<Arc<Body>> {
        self.with(cluster, |share| {
            share.bodies.get(&digest).map(|(body, _)| Arc::clone(body))
        })
    }

    /// How many works all clusters together should have or lose.
    #[must_use]
    pub fn works(&self) -> u64 {
        self.lock()
            .values()
            .map(|share| share.slots.len() as u64)
            .sum()
    }

    /// Forgets a cluster that was detached.
    pub fn forget(&self, cluster: &ClusterName) {
        self.lock().remove(cluster);
    }

    fn with<T>(&self, cluster: &ClusterName, f: impl FnOnce(&mut ClusterShare) -> T) -> T {
        f(self.lock().entry(cluster.clone()).or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ClusterName, ClusterShare>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
