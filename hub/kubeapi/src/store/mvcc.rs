//! Versions of all keys in memory: what both stores answer reads from.
//!
//! It decides what a range at a revision shows, whether a compare-and-swap holds, and who gets
//! which change. It gives no revisions and knows no disk: that is the business of the stores.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Change, Entry, Operation, Page, Revision, StoreError, Write, WriteError};

/// Changes that a receiver may be behind, beyond what it asked for; then its channel closes.
const CHANGES_BEHIND_MAX: usize = 16_384;

/// Bytes of history that are kept without anybody compacting; then the oldest goes.
const HISTORY_BYTES_MAX: usize = 64 << 20;

/// What one change costs beside its value.
const CHANGE_BYTES: usize = 256;

/// The versions behind their lock.
#[derive(Debug)]
pub(super) struct Mvcc(RwLock<Versions>);

/// One state of a key.
#[derive(Debug)]
struct Version {
    revision: Revision,
    created: Revision,
    /// None = deleted.
    value: Option<Bytes>,
}

/// All versions that are kept, and all changes since the oldest.
#[derive(Debug)]
pub(super) struct Versions {
    /// Ascending versions; never empty.
    keys: BTreeMap<Arc<str>, Vec<Version>>,
    log: VecDeque<Arc<Change>>,
    log_bytes: usize,
    revision: Revision,
    oldest: Revision,
    receivers: Vec<mpsc::Sender<Arc<Change>>>,
}

impl Mvcc {
    /// Nothing yet.
    pub(super) fn empty() -> Self {
        Self::loaded(Vec::new(), 1, 0)
    }

    /// What a disk gave back; nothing before `oldest` can be read.
    pub(super) fn loaded(entries: Vec<Entry>, revision: Revision, oldest: Revision) -> Self {
        let keys = entries.into_iter().map(|entry| {
            let version = Version {
                revision: entry.revision,
                created: entry.created,
                value: Some(entry.value),
            };
            (entry.key, vec![version])
        });
        Self(RwLock::new(Versions {
            keys: keys.collect(),
            log: VecDeque::new(),
            log_bytes: 0,
            revision,
            oldest,
            receivers: Vec::new(),
        }))
    }

    /// For readers.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the one writer.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    fn entry(&self, key: &Arc<str>) -> Option<Entry> {
        let value = self.value.clone()?;
        Some(Entry {
            key: Arc::clone(key),
            value,
            revision: self.revision,
            created: self.created,
        })
    }
}

impl Versions {
    /// The newest revision.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The entry at this key now.
    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        let (key, versions) = self.keys.get_key_value(key)?;
        versions.last()?.entry(key)
    }

    /// See [`super::Store::range`].
    pub(super) fn range(
        &self,
        prefix: &str,
        from: &str,
        at: Revision,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let at = self.readable(at)?;
        let start = Bound::Included(prefix.max(from));
        let mut found = self
            .keys
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, versions)| {
                let version = versions.iter().rfind(|version| version.revision <= at)?;
                version.value.is_some().then_some((key, version))
            });
        let limit = if limit == 0 { usize::MAX } else { limit };
        let entries: Vec<_> = found
            .by_ref()
            .take(limit)
            .filter_map(|(key, version)| version.entry(key))
            .collect();
        let remaining = found.count();
        Ok(Page {
            entries,
            more: remaining > 0,
            remaining,
            revision: at,
        })
    }

    /// What the revision asked for means, when it can be read.
    fn readable(&self, at: Revision) -> Result<Revision, StoreError> {
        if at == 0 {
            return Ok(self.revision);
        }
        self.within(at)?;
        Ok(at)
    }

    fn within(&self, asked: Revision) -> Result<(), StoreError> {
        let (oldest, newest) = (self.oldest, self.revision);
        if asked < oldest {
            return Err(StoreError::Compacted { asked, oldest });
        }
        if asked > newest {
            return Err(StoreError::Future { asked, newest });
        }
        Ok(())
    }

    /// See [`super::Store::changes`].
    pub(super) fn changes(
        &mut self,
        after: Revision,
    ) -> Result<mpsc::Receiver<Arc<Change>>, StoreError> {
        self.within(after)?;
        let first = self.log.partition_point(|change| change.revision <= after);
        let backlog = self.log.len() - first;
        let (changes_tx, changes_rx) = mpsc::channel(backlog + CHANGES_BEHIND_MAX);
        for change in self.log.range(first..) {
            changes_tx
                .try_send(Arc::clone(change))
                .expect("the channel is made to hold the backlog");
        }
        self.receivers.retain(|receiver| !receiver.is_closed());
        self.receivers.push(changes_tx);
        Ok(changes_rx)
    }

    /// Whether this write may happen now.
    pub(super) fn check(&self, write: &Write) -> Result<(), WriteError> {
        let present = self.get(&write.key);
        let revision = present.as_ref().map_or(0, |entry| entry.revision);
        let idle = present.is_none() && write.operation == Operation::Delete;
        if revision != write.expected || idle {
            return Err(WriteError::Conflict(present));
        }
        Ok(())
    }

    /// Revision of the key's creation, should it be written at `revision`.
    pub(super) fn created(&self, key: &str, revision: Revision) -> Revision {
        let version = self.keys.get(key).and_then(|versions| versions.last());
        match version {
            Some(version) if version.value.is_some() => version.created,
            _ => revision,
        }
    }

    /// Makes a checked write visible and tells everyone.
    pub(super) fn apply(&mut self, key: &Arc<str>, value: Option<Bytes>, revision: Revision) {
        let previous = self.get(key);
        let created = self.created(key, revision);
        let versions = self.keys.entry(Arc::clone(key)).or_default();
        versions.push(Version {
            revision,
            created,
            value: value.clone(),
        });
        self.revision = revision;
        self.log_bytes += CHANGE_BYTES + value.as_ref().map_or(0, Bytes::len);
        let change = Arc::new(Change {
            key: Arc::clone(key),
            revision,
            value,
            previous,
        });
        self.receivers
            .retain(|receiver| receiver.try_send(Arc::clone(&change)).is_ok());
        self.log.push_back(change);
        while self.log_bytes > HISTORY_BYTES_MAX {
            let Some(front) = self.log.front() else { break };
            self.forget(front.revision);
        }
    }

    /// See [`super::Store::compact`].
    pub(super) fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        if revision > self.revision {
            return Err(StoreError::Future {
                asked: revision,
                newest: self.revision,
            });
        }
        self.forget(revision);
        Ok(())
    }

    fn forget(&mut self, revision: Revision) {
        while let Some(change) = self.log.pop_front_if(|change| change.revision <= revision) {
            self.log_bytes -= CHANGE_BYTES + change.value.as_ref().map_or(0, Bytes::len);
            self.trim(&change.key, revision);
        }
        self.oldest = self.oldest.max(revision);
    }

    /// Drops the versions of a key that no reader at or after `revision` can see.
    fn trim(&mut self, key: &str, revision: Revision) {
        let Some(versions) = self.keys.get_mut(key) else {
            return;
        };
        if let Some(shown) = versions.iter().rposition(|one| one.revision <= revision) {
            let gone = versions[shown].value.is_none();
            versions.drain(..shown + usize::from(gone));
        }
        if versions.is_empty() {
            self.keys.remove(key);
        }
    }
}
