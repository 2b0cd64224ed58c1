//! The one thread that writes: it makes batches of what waits and acknowledges each after its
//! fsync.
//!
//! A batch holds at most one write per key, all checked against what readers see, so that nobody
//! is refused because of something that a crash may still take back. Lazy writes go first: they
//! are visible and acknowledged at once and ride along with the next commit, after half a second
//! at the latest. So what is on the disk is always the state at one revision.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::super::mvcc::Mvcc;
use super::super::{Operation, Revision, StoreError, Write, WriteError};
use super::disk::{Disk, Row, Rows};

/// How long a lazy write may be missing on the disk.
const LAZY_MS_MAX: u64 = 500;

/// Keys that lazy writes may leave unsaved before they get a commit of their own.
const LAZY_KEYS_MAX: usize = 8_192;

/// Writes in one batch.
const BATCH_MAX: usize = 1_024;

/// A write that waits.
pub(super) struct Request {
    pub(super) write: Write,
    pub(super) answer_tx: oneshot::Sender<Result<Revision, WriteError>>,
}

/// A write that has passed its check and has its revision.
struct Accepted {
    key: Arc<str>,
    value: Option<Bytes>,
    revision: Revision,
    answer_tx: oneshot::Sender<Result<Revision, WriteError>>,
}

/// The state of the thread.
pub(super) struct Writer {
    mvcc: Arc<Mvcc>,
    disk: Disk,
    /// The last revision that was given.
    last: Revision,
    unsaved: Rows,
    /// When the unsaved rows must go to the disk.
    due: Option<Instant>,
    /// A commit failed: what the file holds is not known until the next start.
    broken: Option<String>,
}

impl Writer {
    pub(super) fn new(mvcc: Arc<Mvcc>, disk: Disk) -> Self {
        let last = mvcc.read().revision();
        Self {
            mvcc,
            disk,
            last,
            unsaved: Rows::new(),
            due: None,
            broken: None,
        }
    }

    /// Serves requests until all senders are gone, then closes the file.
    pub(super) fn run(mut self, mut requests_rx: mpsc::Receiver<Request>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let Ok(runtime) = runtime else {
            tracing::error!("the store's writer has no timer");
            return;
        };
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                let open = runtime.block_on(gather(&mut requests_rx, &mut waiting, self.due));
                if !open {
                    break;
                }
            }
            while waiting.len() < BATCH_MAX
                && let Ok(request) = requests_rx.try_recv()
            {
                waiting.push(request);
            }
            waiting = self.round(waiting);
            let late = self.due.is_some_and(|due| due <= Instant::now());
            if late || self.unsaved.len() > LAZY_KEYS_MAX {
                self.save(Rows::new());
            }
        }
        self.close();
    }

    /// One batch; answers the requests that must wait for the next.
    fn round(&mut self, waiting: Vec<Request>) -> Vec<Request> {
        let (lazy, strict): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|request| request.write.lazy);
        for request in lazy {
            self.lazy(request);
        }
        let mut keys = BTreeSet::new();
        let mut later = Vec::new();
        let mut rows = Rows::new();
        let mut batch = Vec::new();
        for request in strict {
            if keys.contains(&request.write.key) {
                later.push(request);
                continue;
            }
            if let Some((row, accepted)) = self.accept(request) {
                keys.insert(Arc::clone(&accepted.key));
                rows.insert(Arc::clone(&accepted.key), row);
                batch.push(accepted);
            }
        }
        if !batch.is_empty() {
            self.save(rows);
            self.show(batch);
        }
        later
    }

    /// Makes a lazy write visible now and leaves its row for the next commit.
    fn lazy(&mut self, request: Request) {
        // Out of reserved revisions: the commit that reserves more comes first.
        if !self.disk.is_reserved(self.last + 1) {
            self.save(Rows::new());
        }
        if let Some((row, accepted)) = self.accept(request) {
            self.unsaved.insert(Arc::clone(&accepted.key), row);
            let latest = Instant::now() + Duration::from_millis(LAZY_MS_MAX);
            self.due.get_or_insert(latest);
            self.show(vec![accepted]);
        }
    }

    /// Checks a write and gives it a revision, or answers it.
    fn accept(&mut self, request: Request) -> Option<(Row, Accepted)> {
        let Request { write, answer_tx } = request;
        let revision = self.last + 1;
        let made = self.broken().and_then(|()| {
            let versions = self.mvcc.read();
            versions.check(&write)?;
            let created = versions.created(&write.key, revision);
            drop(versions);
            Ok(self.disk.row(&write, revision, created)?)
        });
        let row = match made {
            Ok(row) => row,
            Err(error) => {
                reply(answer_tx, Err(error));
                return None;
            }
        };
        self.last = revision;
        let value = match write.operation {
            Operation::Put(value) => Some(value),
            Operation::Delete => None,
        };
        let accepted = Accepted {
            key: write.key,
            value,
            revision,
            answer_tx,
        };
        Some((row, accepted))
    }

    /// Commits rows and everything unsaved.
    fn save(&mut self, mut rows: Rows) {
        let mut all = std::mem::take(&mut self.unsaved);
        all.append(&mut rows);
        self.due = None;
        if self.broken.is_none()
            && let Err(error) = self.disk.commit(&all, self.last)
        {
            tracing::error!(%error, "commit failed: the store takes no writes until it is opened anew");
            self.broken = Some(error.to_string());
        }
    }

    /// Makes a saved batch visible, then acknowledges it.
    fn show(&self, batch: Vec<Accepted>) {
        if self.broken.is_none() {
            let mut versions = self.mvcc.write();
            for one in &batch {
                versions.apply(&one.key, one.value.clone(), one.revision);
            }
        }
        for one in batch {
            reply(one.answer_tx, self.broken().map(|()| one.revision));
        }
    }

    fn broken(&self) -> Result<(), WriteError> {
        match &self.broken {
            Some(why) => Err(StoreError::Broken(why.clone()).into()),
            None => Ok(()),
        }
    }

    fn close(self) {
        if self.broken.is_none()
            && let Err(error) = self.disk.close(&self.unsaved, self.last)
        {
            tracing::error!(%error, "the store did not close in order");
        }
    }
}

/// Waits for requests, until `due` at most; false = there will be none.
async fn gather(
    requests_rx: &mut mpsc::Receiver<Request>,
    waiting: &mut Vec<Request>,
    due: Option<Instant>,
) -> bool {
    // Cancel-safe: what was received is in `waiting`.
    let received = requests_rx.recv_many(waiting, BATCH_MAX);
    match due {
        None => received.await > 0,
        Some(due) => tokio::time::timeout_at(due.into(), received)
            .await
            .map_or(true, |count| count > 0),
    }
}

/// A caller that has gone needs no answer.
fn reply(
    answer_tx: oneshot::Sender<Result<Revision, WriteError>>,
    answer: Result<Revision, WriteError>,
) {
    drop(answer_tx.send(answer));
}
