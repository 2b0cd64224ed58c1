//! The store that lasts as long as the process: for simulated members, tests and `--memory`.
//!
//! A write is visible and acknowledged at once; lazy and sealed make no difference.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::mvcc::Mvcc;
use super::{Change, Entry, Operation, Page, Revision, Store, StoreError, Write, WriteError};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    mvcc: Mvcc,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mvcc: Mvcc::empty(),
        }
    }

    fn write_now(&self, write: Write) -> Result<Revision, WriteError> {
        let mut versions = self.mvcc.write();
        versions.check(&write)?;
        let revision = versions.revision() + 1;
        let value = match write.operation {
            Operation::Put(value) => Some(value),
            Operation::Delete => None,
        };
        versions.apply(&write.key, value, revision);
        Ok(revision)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn revision(&self) -> Revision {
        self.mvcc.read().revision()
    }

    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.mvcc.read().get(key))
    }

    fn range(
        &self,
        prefix: &str,
        from: &str,
        at: Revision,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.mvcc.read().range(prefix, from, at, limit)
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>> {
        async move { self.write_now(write) }.boxed()
    }

    fn changes(&self, after: Revision) -> Result<mpsc::Receiver<Arc<Change>>, StoreError> {
        self.mvcc.write().changes(after)
    }

    fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.mvcc.write().compact(revision)
    }
}
