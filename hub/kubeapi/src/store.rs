//! What lasts: keys with revisions, compare-and-swap, ranges, and changes from a revision on.
//!
//! A key is `/registry/<group or core>/<plural>[/<namespace>]/<name>`; a value is opaque bytes.
//! One revision counter orders everything; it never gives one revision twice, not even after a
//! crash. The contract suite in the tests holds for every implementation.

pub mod memory;
mod mvcc;
pub mod redb;
pub mod sealer;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

/// A point in the one order of all changes; 0 = before the first. An empty store is at 1, since
/// clients read 0 as "any".
pub type Revision = u64;

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Bytes,
    /// Revision of the last write.
    pub revision: Revision,
    /// Revision at which the key came to be.
    pub created: Revision,
}

/// What a write does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Stores a value.
    Put(Bytes),
    /// Takes the key away.
    Delete,
}

/// One compare-and-swap on one key.
#[derive(Debug, Clone)]
pub struct Write {
    /// The key.
    pub key: Arc<str>,
    /// Revision of the last write that the caller saw; 0 = the key must not be there.
    pub expected: Revision,
    /// What to do.
    pub operation: Operation,
    /// May be lost in a crash (statuses); its revision is still never given again.
    pub lazy: bool,
    /// The value holds secrets: it is sealed before it reaches a disk.
    pub sealed: bool,
}

/// A page of a range.
#[derive(Debug, Clone)]
pub struct Page {
    /// Entries in key order.
    pub entries: Vec<Entry>,
    /// More entries follow.
    pub more: bool,
    /// Entries that follow, when asked within one prefix.
    pub remaining: usize,
    /// The revision that was read.
    pub revision: Revision,
}

/// One change, in revision order.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key.
    pub key: Arc<str>,
    /// Its revision.
    pub revision: Revision,
    /// The value after the change; none = deleted.
    pub value: Option<Bytes>,
    /// The entry before; none = created.
    pub previous: Option<Entry>,
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another write came first; the present entry, if any.
    #[error("the key is at another revision")]
    Conflict(Option<Entry>),
    /// The store broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a read did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision is older than what is kept.
    #[error("revision {asked} is compacted, the oldest is {oldest}")]
    Compacted {
        /// What was asked.
        asked: Revision,
        /// The oldest that can be read.
        oldest: Revision,
    },
    /// The revision has not come yet.
    #[error("revision {asked} is in the future, the newest is {newest}")]
    Future {
        /// What was asked.
        asked: Revision,
        /// The newest.
        newest: Revision,
    },
    /// Disk, format or key trouble.
    #[error("the store is broken: {0}")]
    Broken(String),
}

/// A store of entries.
pub trait Store: Send + Sync + 'static {
    /// The newest revision that readers may see.
    fn revision(&self) -> Revision;

    /// The entry at this key now.
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Entries whose key starts with `prefix` and is at or after `from` (empty = the first), as of
    /// revision `at` (0 = now), at most `limit` (0 = all).
    fn range(
        &self,
        prefix: &str,
        from: &str,
        at: Revision,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Does one compare-and-swap; answers after it is durable (unless lazy) and visible. To delete
    /// what is not there is a conflict with nothing. A write that was begun may happen even when
    /// its future is dropped.
    fn write(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>>;

    /// All changes of all keys after `after`, in revision order; the receiver never misses one: when
    /// it falls behind by more than the channel holds, the channel closes. A change is in the
    /// channel before its write is acknowledged and before [`Store::revision`] shows it.
    fn changes(&self, after: Revision) -> Result<mpsc::Receiver<Arc<Change>>, StoreError>;

    /// Forgets what was before `revision`, except what is still current; what was forgotten before
    /// stays so. `range` at and `changes` after `revision` itself still work.
    fn compact(&self, revision: Revision) -> Result<(), StoreError>;
}
