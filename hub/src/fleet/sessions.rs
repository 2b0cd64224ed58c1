//! One place per cluster: the session with the highest fence has it.
//!
//! A Hello with a higher or an equal fence takes the place, and the older session ends; a lower fence is
//! refused. What a reign remembers of a cluster between sessions stands here too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use flotilla_proto::ids::WorkId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::session::ClusterMemory;
use super::share::ClusterName;
use crate::pki::ClusterScope;

/// Orders that wait for one session; a person gives few.
const ORDERS_MAX: usize = 16;

/// What a person tells a session.
#[derive(Clone, Debug)]
pub struct ReleaseOrder {
    /// Who or what allowed it.
    pub approval: String,
    /// Which works; none means all that are held.
    pub ids: Option<BTreeSet<WorkId>>,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    fence: u64,
    replaced: CancellationToken,
    orders: mpsc::Sender<ReleaseOrder>,
}

#[derive(Debug, Default)]
struct Place {
    taken: Option<Taken>,
    memory: Arc<Mutex<ClusterMemory>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    places: BTreeMap<ClusterName, Place>,
}

/// The places of one reign.
#[derive(Debug, Default)]
pub struct Sessions {
    state: Mutex<State>,
}

/// A session's hold on its cluster's place.
#[derive(Debug)]
pub struct Seat {
    sessions: Arc<Sessions>,
    cluster: ClusterName,
    number: u64,
    /// Fires when a newer session has the place.
    pub replaced: CancellationToken,
    /// What people tell this session.
    pub orders: mpsc::Receiver<ReleaseOrder>,
    /// What the reign remembers of the cluster.
    pub memory: Arc<Mutex<ClusterMemory>>,
}

/// A leader with a higher fence has the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowerFence {
    /// Its fence.
    pub held: u64,
}

impl Sessions {
    /// Takes a cluster's place.
    ///
    /// # Errors
    /// When a live session has a higher fence.
    pub fn claim(self: &Arc<Self>, scope: &ClusterScope, fence: u64) -> Result<Seat, LowerFence> {
        let replaced = CancellationToken::new();
        let (orders_tx, orders) = mpsc::channel(ORDERS_MAX);
        let cluster = scope.cluster().clone();
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        let place = state.places.entry(cluster.clone()).or_default();
        if let Some(taken) = &place.taken {
            if taken.fence > fence {
                return Err(LowerFence { held: taken.fence });
            }
            taken.replaced.cancel();
        }
        place.taken = Some(Taken {
            number,
            fence,
            replaced: replaced.clone(),
            orders: orders_tx,
        });
        let memory = Arc::clone(&place.memory);
        drop(state);
        Ok(Seat {
            sessions: Arc::clone(self),
            cluster,
            number,
            replaced,
            orders,
            memory,
        })
    }

    /// Lets held works of a cluster go on; false when no session of it is up.
    pub fn release(&self, cluster: &ClusterName, order: ReleaseOrder) -> bool {
        let state = self.lock();
        let taken = state.places.get(cluster).and_then(|p| p.taken.as_ref());
        taken.is_some_and(|taken| taken.orders.try_send(order).is_ok())
    }

    /// Clusters whose session is up.
    #[must_use]
    pub fn connected(&self) -> BTreeSet<ClusterName> {
        let state = self.lock();
        let taken = state.places.iter().filter(|(_, p)| p.taken.is_some());
        taken.map(|(cluster, _)| cluster.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Does something while the place is certainly ours; none when it is not any more.
    pub fn while_mine<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let state = self.sessions.lock();
        let place = state.places.get(&self.cluster);
        let taken = place.and_then(|p| p.taken.as_ref());
        taken.filter(|t| t.number == self.number).map(|_| f())
    }

    /// Gives the place up; false when a newer session has it.
    fn leave(&self) -> bool {
        let mut state = self.sessions.lock();
        let Some(place) = state.places.get_mut(&self.cluster) else {
            return false;
        };
        let mine = place
            .taken
            .as_ref()
            .is_some_and(|t| t.number == self.number);
        if mine {
            place.taken = None;
        }
        mine
    }

    /// Gives the place up, and says so while nobody can have taken it yet.
    pub fn leave_with(self, f: impl FnOnce()) {
        let mine = self.while_mine(f).is_some();
        if mine {
            self.leave();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}
