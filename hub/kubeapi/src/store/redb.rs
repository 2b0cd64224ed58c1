//! The store that lasts: versions in memory, the newest state of each key in a redb file.
//!
//! All reads come from memory. Writes go through one thread, which makes a batch of what waits
//! and acknowledges it after its one fsync. History does not outlive the process: after a start
//! nothing before the revision of the start can be read, and watches from before begin anew,
//! except those that had seen everything when the store was closed in order.

mod disk;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use self::disk::Disk;
use self::writer::{Request, Writer};
use super::mvcc::Mvcc;
use super::sealer::{KeyFile, SealError, Sealer};
use super::{Change, Entry, Page, Revision, Store, StoreError, Write, WriteError};

/// Writes that may wait for the writer; more callers wait for a place.
const WAITING_MAX: usize = 1_024;

/// How long an opener waits for the lock: a holder that is ending lets go of it soon, and a process
/// that is just being started from the holder has a copy of it until it runs its own program.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// Between two looks at the lock.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data directory {0} is in use by another process")]
    InUse(PathBuf),
    /// The directory or its lock cannot be made.
    #[error("data directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The database file.
    #[error("database file: {0}")]
    Database(String),
    /// A secret cannot be read.
    #[error("sealed value at {key}")]
    Sealed {
        /// Where it is.
        key: String,
        /// Why not.
        #[source]
        source: SealError,
    },
    /// The sealing key itself.
    #[error(transparent)]
    Sealer(#[from] SealError),
}

/// A store in a directory.
#[derive(Debug)]
pub struct RedbStore {
    mvcc: Arc<Mvcc>,
    commits: Arc<AtomicU64>,
    /// None only while it is dropped.
    requests_tx: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as the store lives.
    _lock: File,
}

impl RedbStore {
    /// Opens or makes the store in this directory, with `sealing.key` beside it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let lock = lock(directory)?;
        let sealer = KeyFile::open(&directory.join("sealing.key"))?;
        Self::open_locked(directory, Arc::new(sealer), lock)
    }

    /// Opens or makes the store in this directory, with a sealer from elsewhere.
    pub fn open_with(directory: &Path, sealer: Arc<dyn Sealer>) -> Result<Self, OpenError> {
        let lock = lock(directory)?;
        Self::open_locked(directory, sealer, lock)
    }

    fn open_locked(
        directory: &Path,
        sealer: Arc<dyn Sealer>,
        lock: File,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory {
            path: directory.to_owned(),
            source,
        };
        let (disk, loaded) = Disk::open(&directory.join("objects.redb"), sealer)?;
        // A new file lasts only when its directory does.
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed)?;
        let mvcc = Mvcc::loaded(loaded.entries, loaded.revision, loaded.oldest);
        let mvcc = Arc::new(mvcc);
        let commits = disk.commits();
        let (requests_tx, requests_rx) = mpsc::channel(WAITING_MAX);
        let writer = Writer::new(Arc::clone(&mvcc), disk);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(requests_rx))
            .map_err(failed)?;
        Ok(Self {
            mvcc,
            commits,
            requests_tx: Some(requests_tx),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// Commits so far, one fsync each.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    async fn request(&self, write: Write) -> Result<Revision, WriteError> {
        let stopped = || StoreError::Broken("its writer has stopped".into());
        let (answer_tx, answer_rx) = oneshot::channel();
        let request = Request { write, answer_tx };
        let requests_tx = self.requests_tx.as_ref().ok_or_else(stopped)?;
        requests_tx.send(request).await.map_err(|_| stopped())?;
        answer_rx.await.map_err(|_| stopped())?
    }
}

impl Drop for RedbStore {
    /// Waits until everything that was begun is on the disk.
    fn drop(&mut self) {
        self.requests_tx = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Store for RedbStore {
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
        self.request(write).boxed()
    }

    fn changes(&self, after: Revision) -> Result<mpsc::Receiver<Arc<Change>>, StoreError> {
        self.mvcc.write().changes(after)
    }

    fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.mvcc.write().compact(revision)
    }
}

/// Makes the directory, for its owner only, and takes its lock.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(directory).map_err(failed)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))
        .map_err(failed)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(OpenError::InUse(directory.to_owned()));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_LOOK),
        }
    }
}
