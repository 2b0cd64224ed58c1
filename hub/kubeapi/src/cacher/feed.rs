//! Follows the store for all resources: one channel of changes, one cacher per resource.
//!
//! Whoever comes first, the task or a reader, takes changes in, in order under one lock. When the
//! feed itself falls too far behind, everything is loaded anew and all watchers are cut; they
//! come back as after any lost connection.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::mpsc;

use super::{Cacher, Event, Object, Options, Past};
use crate::store::{Change, Revision, Store, StoreError};

/// The cachers of all resources over one store.
pub struct Cachers {
    store: Arc<dyn Store>,
    options: Options,
    feed: Mutex<Feed>,
    /// All events up to this revision are in the queues of their watchers.
    fed: AtomicU64,
}

struct Feed {
    changes_rx: mpsc::Receiver<Arc<Change>>,
    resources: BTreeMap<Arc<str>, Arc<Cacher>>,
}

impl std::fmt::Debug for Cachers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fed = self.fed();
        formatter
            .debug_struct("Cachers")
            .field("fed", &fed)
            .finish_non_exhaustive()
    }
}

impl Cachers {
    /// Cachers over a store; resources are loaded when they are asked for.
    pub fn new(store: Arc<dyn Store>, options: Options) -> Result<Arc<Self>, StoreError> {
        let revision = store.revision();
        let feed = Feed {
            changes_rx: store.changes(revision)?,
            resources: BTreeMap::new(),
        };
        Ok(Arc::new(Self {
            store,
            options,
            feed: Mutex::new(feed),
            fed: AtomicU64::new(revision),
        }))
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The cacher of a resource; `prefix` ends with a slash.
    pub fn resource(self: &Arc<Self>, prefix: &str) -> Result<Arc<Cacher>, StoreError> {
        let mut feed = self.lock();
        if let Some(cacher) = feed.resources.get(prefix) {
            return Ok(Arc::clone(cacher));
        }
        let prefix: Arc<str> = prefix.into();
        let cacher = Cacher::new(Arc::downgrade(self), Arc::clone(&prefix), self.options);
        self.load(&cacher)?;
        let cacher = Arc::new(cacher);
        feed.resources.insert(prefix, Arc::clone(&cacher));
        Ok(cacher)
    }

    /// Forgets a resource and ends its watches.
    pub fn remove(&self, prefix: &str) {
        let gone = self.lock().resources.remove(prefix);
        if let Some(cacher) = gone {
            cacher.close();
        }
    }

    /// Moves changes to the watchers; ends when the store is broken.
    pub async fn run(self: Arc<Self>) -> StoreError {
        poll_fn(|ctx| {
            let mut feed = self.lock();
            loop {
                match feed.changes_rx.poll_recv(ctx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(change)) => self.dispatch(&feed, &change),
                    Poll::Ready(None) => {
                        if let Err(error) = self.reconnect(&mut feed) {
                            return Poll::Ready(error);
                        }
                    }
                }
            }
        })
        .await
    }

    /// The revision up to which all events are in the queues of their watchers.
    pub(super) fn fed(&self) -> Revision {
        self.fed.load(Ordering::Acquire)
    }

    /// Takes in all that the store shows; answers a revision that is in for sure.
    pub(super) fn catch_up(&self) -> Result<Revision, StoreError> {
        let newest = self.store.revision();
        if self.fed() >= newest {
            return Ok(self.fed());
        }
        let mut feed = self.lock();
        loop {
            match feed.changes_rx.try_recv() {
                Ok(change) => self.dispatch(&feed, &change),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => self.reconnect(&mut feed)?,
            }
        }
        Ok(self.fed())
    }

    fn lock(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatch(&self, feed: &Feed, change: &Change) {
        let until = Bound::Included(&*change.key);
        let below = feed
            .resources
            .range::<str, _>((Bound::Unbounded, until))
            .next_back();
        if let Some((prefix, cacher)) = below
            && change.key.starts_with(&**prefix)
            && let Err(error) = cacher.take(change)
        {
            tracing::error!(key = %change.key, revision = change.revision, %error, "change not readable");
        }
        self.fed.fetch_max(change.revision, Ordering::AcqRel);
    }

    /// Opens a new channel after the old one closed.
    fn reconnect(&self, feed: &mut Feed) -> Result<(), StoreError> {
        match self.store.changes(self.fed()) {
            Ok(changes_rx) => feed.changes_rx = changes_rx,
            Err(StoreError::Compacted { .. }) => {
                let revision = self.store.revision();
                feed.changes_rx = self.store.changes(revision)?;
                for cacher in feed.resources.values() {
                    self.load(cacher)?;
                }
                self.fed.fetch_max(revision, Ordering::AcqRel);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Loads a resource: its objects now, and the events that the store still remembers.
    fn load(&self, cacher: &Cacher) -> Result<(), StoreError> {
        let (mut changes_rx, oldest) = self.history()?;
        let page = self.store.range(&cacher.prefix, "", 0, 0)?;
        let objects = page.entries.iter().map(Object::from_entry);
        let objects = objects.map(|object| object.map(Arc::new));
        let objects = objects.collect::<Result<_, _>>()?;
        let mut events = Vec::new();
        while let Ok(change) = changes_rx.try_recv() {
            if change.revision <= page.revision && change.key.starts_with(&*cacher.prefix) {
                let previous = change.previous.as_ref().map(Object::from_entry);
                let previous = previous.transpose()?.map(Arc::new);
                events.push(Arc::new(Event::of(&change, previous)?));
            }
        }
        cacher.load(objects, page.revision, Past { events, oldest });
        Ok(())
    }

    /// All changes that the store remembers, and the revision they follow.
    fn history(&self) -> Result<(mpsc::Receiver<Arc<Change>>, Revision), StoreError> {
        let mut after = 0;
        loop {
            match self.store.changes(after) {
                Ok(changes_rx) => return Ok((changes_rx, after)),
                // It may be compacted further between two questions.
                Err(StoreError::Compacted { oldest, .. }) => after = oldest,
                Err(error) => return Err(error),
            }
        }
    }
}
