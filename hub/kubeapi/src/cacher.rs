//! Decoded objects of each resource, and the events that made them: what reads and watches use.
//!
//! [`Cachers`] follows the one store and feeds a [`Cacher`] per resource. A read first takes in
//! what the store has shown already, so it is as new as the last acknowledged write, without
//! waiting. The cacher knows keys and revisions; selectors, versions and representations are the
//! reader's business.
//!
//! How a server uses it:
//! - one [`Cachers::new`] per store; [`Cachers::run`] goes into a named task: it moves events to
//!   the watchers and ends only with a store that is broken;
//! - [`Cachers::resource`] with `/registry/<group or core>/<plural>/` gives the cacher of a
//!   resource, loaded at first use; [`Cachers::remove`] closes its watchers (a deleted CRD);
//! - get: [`Cacher::get`]; its `revision` is the `expected` of a write. An object's value carries
//!   its `metadata.resourceVersion`; in what is written to the store that field is ignored;
//! - list: [`Cacher::list`]; a `resourceVersion` of N "not older" is [`Cacher::not_older`] first;
//!   exact and `continue` are `List::at`. [`StoreError::Compacted`] is a 410,
//!   [`StoreError::Future`] a 504;
//! - watch after N: [`Cacher::watch`]; a watch from "", "0" or with initial events:
//!   [`Cacher::list_and_watch`], which gives the objects and the events after them without a gap.
//!   The end of the initial events is a bookmark at `Listing::revision`;
//! - then [`Watch::next`] until it is none: cut, since it was too slow or the resource went away.
//!   A bookmark carries [`Watch::progress`];
//! - frames: [`Event::encoded`] with one form name per byte sequence (version, Table or object,
//!   and the type that the reader's selector makes of the event).

mod event;
mod feed;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::Value;
use tokio::sync::mpsc;

pub use self::event::{Event, EventType, Object};
pub use self::feed::Cachers;
pub use self::watch::Watch;
use crate::store::{Change, Entry, Revision, StoreError};

/// Sizes of the queues.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Events of one resource that a watch may start before.
    pub ring_events: usize,
    /// Events that a watcher may be behind before it is cut.
    pub queue_events: usize,
}

impl Default for Options {
    /// The ring is what a client may miss during a reconnect under load; the queue is a burst.
    fn default() -> Self {
        Self {
            ring_events: 4_096,
            queue_events: 1_024,
        }
    }
}

/// Which objects of a resource a watch is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of the resource.
    All,
    /// Keys with this prefix: a namespace, with the closing slash.
    Under(Arc<str>),
    /// One key.
    Only(Arc<str>),
}

/// What a list asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct List<'a> {
    /// Key prefix within the resource; empty = all of the resource.
    pub prefix: &'a str,
    /// First key; empty = the first there is.
    pub from: &'a str,
    /// Exact revision; 0 = now.
    pub at: Revision,
    /// Most objects; 0 = all.
    pub limit: usize,
}

/// What a list found.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Objects in key order.
    pub objects: Vec<Arc<Object>>,
    /// The revision that was read.
    pub revision: Revision,
    /// Objects that follow beyond the limit.
    pub remaining: usize,
}

/// One resource.
#[derive(Debug)]
pub struct Cacher {
    cachers: Weak<Cachers>,
    prefix: Arc<str>,
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    objects: BTreeMap<Arc<str>, Arc<Object>>,
    ring: VecDeque<Arc<Event>>,
    /// A watch may start after this revision.
    oldest: Revision,
    /// Changes up to this one are in.
    revision: Revision,
    watchers: Vec<(Scope, mpsc::Sender<Arc<Event>>)>,
}

/// Events of a resource before it was loaded.
#[derive(Debug)]
struct Past {
    events: Vec<Arc<Event>>,
    /// The revision that they follow.
    oldest: Revision,
}

impl Cacher {
    fn new(cachers: Weak<Cachers>, prefix: Arc<str>, options: Options) -> Self {
        Self {
            cachers,
            prefix,
            options,
            state: Mutex::new(State {
                objects: BTreeMap::new(),
                ring: VecDeque::new(),
                oldest: 0,
                revision: 0,
                watchers: Vec::new(),
            }),
        }
    }

    /// The object at this key now.
    pub fn get(&self, key: &str) -> Result<Option<Arc<Object>>, StoreError> {
        self.cachers()?.catch_up()?;
        Ok(self.lock().objects.get(key).cloned())
    }

    /// Says `Future` when this revision has not come yet.
    pub fn not_older(&self, revision: Revision) -> Result<(), StoreError> {
        let newest = self.cachers()?.store().revision();
        if revision > newest {
            return Err(StoreError::Future {
                asked: revision,
                newest,
            });
        }
        Ok(())
    }

    /// Objects now, or at an exact revision.
    pub fn list(&self, list: List<'_>) -> Result<Listing, StoreError> {
        let cachers = self.cachers()?;
        let now = cachers.catch_up()?;
        let state = self.lock();
        // Another reader may have taken in more since; what this lock shows is what counts.
        let now = now.max(state.revision);
        if list.at == 0 || list.at == now {
            return Ok(state.list(list, now));
        }
        drop(state);
        let prefix = if list.prefix.is_empty() {
            &self.prefix
        } else {
            list.prefix
        };
        let page = cachers
            .store()
            .range(prefix, list.from, list.at, list.limit)?;
        let state = self.lock();
        let objects = page.entries.iter().map(|entry| state.decoded(entry));
        Ok(Listing {
            objects: objects.collect::<Result<_, _>>()?,
            revision: page.revision,
            remaining: page.remaining,
        })
    }

    /// Events after a revision. One that has not come yet is waited for in silence.
    pub fn watch(&self, after: Revision, scope: Scope) -> Result<Watch, StoreError> {
        let cachers = self.cachers()?;
        cachers.catch_up()?;
        let mut state = self.lock();
        let oldest = state.oldest;
        if after < oldest {
            return Err(StoreError::Compacted {
                asked: after,
                oldest,
            });
        }
        let first = state.ring.partition_point(|event| event.revision <= after);
        let missed = state.ring.range(first..);
        let missed = missed.filter(|event| scope.has(&event.object.key)).cloned();
        let missed = missed.collect();
        let events_rx = state.join(scope, self.options.queue_events);
        drop(state);
        Ok(Watch::new(missed, events_rx, after, cachers))
    }

    /// Objects now and the events after them, without a gap.
    pub fn list_and_watch(&self, scope: Scope) -> Result<(Listing, Watch), StoreError> {
        let cachers = self.cachers()?;
        let now = cachers.catch_up()?;
        let mut state = self.lock();
        let revision = now.max(state.revision);
        let listing = state.list_scope(&scope, revision);
        let events_rx = state.join(scope, self.options.queue_events);
        drop(state);
        Ok((
            listing,
            Watch::new(VecDeque::new(), events_rx, revision, cachers),
        ))
    }

    /// Watchers that are being served; closed ones count until the next event.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.lock().watchers.len()
    }

    fn cachers(&self) -> Result<Arc<Cachers>, StoreError> {
        let gone = || StoreError::Broken("the store is closed".into());
        self.cachers.upgrade().ok_or_else(gone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts anew with what the store shows at one revision and the events since `oldest`.
    fn load(&self, objects: Vec<Arc<Object>>, revision: Revision, past: Past) {
        let keyed = objects
            .into_iter()
            .map(|object| (Arc::clone(&object.key), object));
        let mut state = self.lock();
        state.objects = keyed.collect();
        state.revision = revision;
        state.watchers.clear();
        state.ring.clear();
        state.oldest = past.oldest;
        for event in past.events {
            state.remember(event, self.options.ring_events);
        }
    }

    /// Takes in one change and tells the watchers.
    fn take(&self, change: &Change) -> Result<(), StoreError> {
        let mut state = self.lock();
        if change.revision <= state.revision {
            return Ok(());
        }
        state.revision = change.revision;
        let previous = state.objects.get(&change.key).cloned();
        let event = Arc::new(Event::of(change, previous)?);
        match event.ty {
            EventType::Deleted => drop(state.objects.remove(&change.key)),
            EventType::Added | EventType::Modified => {
                let object = Arc::clone(&event.object);
                state.objects.insert(Arc::clone(&change.key), object);
            }
        }
        state.tell(&event);
        state.remember(event, self.options.ring_events);
        Ok(())
    }

    /// Ends all watches.
    fn close(&self) {
        self.lock().watchers.clear();
    }
}

impl State {
    fn list(&self, list: List<'_>, revision: Revision) -> Listing {
        let start = Bound::Included(list.prefix.max(list.from));
        let mut found = self
            .objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(list.prefix))
            .map(|(_, object)| object);
        let limit = if list.limit == 0 {
            usize::MAX
        } else {
            list.limit
        };
        Listing {
            objects: found.by_ref().take(limit).cloned().collect(),
            revision,
            remaining: found.count(),
        }
    }

    fn list_scope(&self, scope: &Scope, revision: Revision) -> Listing {
        let prefix = match scope {
            Scope::All => "",
            Scope::Under(prefix) => prefix,
            Scope::Only(key) => {
                return Listing {
                    objects: self.objects.get(key).cloned().into_iter().collect(),
                    revision,
                    remaining: 0,
                };
            }
        };
        let list = List {
            prefix,
            ..List::default()
        };
        self.list(list, revision)
    }

    /// The object of an entry: the one in memory when it is the same.
    fn decoded(&self, entry: &Entry) -> Result<Arc<Object>, StoreError> {
        match self.objects.get(&entry.key) {
            Some(object) if object.revision == entry.revision => Ok(Arc::clone(object)),
            _ => Object::from_entry(entry).map(Arc::new),
        }
    }

    fn join(&mut self, scope: Scope, queue_events: usize) -> mpsc::Receiver<Arc<Event>> {
        let (events_tx, events_rx) = mpsc::channel(queue_events);
        self.watchers.retain(|(_, watcher)| !watcher.is_closed());
        self.watchers.push((scope, events_tx));
        events_rx
    }

    /// A watcher whose queue is full loses its sender: it reads what it has and then the end.
    fn tell(&mut self, event: &Arc<Event>) {
        self.watchers.retain(|(scope, watcher)| {
            !scope.has(&event.object.key) || watcher.try_send(Arc::clone(event)).is_ok()
        });
    }

    fn remember(&mut self, event: Arc<Event>, ring_events: usize) {
        self.ring.push_back(event);
        if self.ring.len() > ring_events
            && let Some(gone) = self.ring.pop_front()
        {
            self.oldest = gone.revision;
        }
    }
}

impl Scope {
    fn has(&self, key: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Under(prefix) => key.starts_with(&**prefix),
            Scope::Only(only) => **only == *key,
        }
    }
}

impl Listing {
    /// The values alone.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.objects.iter().map(|object| &object.value)
    }
}
