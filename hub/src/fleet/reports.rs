//! What agents report: statuses, capacity, liveness, settled removals. In memory, relearned after a
//! restart; coalesced, so a slow reader costs memory for one value per work and no more.
//!
//! Sessions write; controllers take what changed. Nothing here is believed about placement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use flotilla_policy::api::ClusterStatus;
use flotilla_proto::ids::{Generation, WorkId};
use flotilla_proto::v1;
use serde_json::Value;
use tokio::sync::watch;

use super::share::ClusterName;

/// Last status of one work in one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkReport {
    /// Generation it is about.
    pub generation: Generation,
    /// Fence and count of the agent leader that said it; older ones lose.
    pub order: (u64, u64),
    /// Whether the manifest is in the member.
    pub applied: bool,
    /// Why not.
    pub message: String,
    /// Health.
    pub health: v1::HealthState,
    /// Why.
    pub health_reason: String,
    /// Status as the interpreter reported it.
    pub status: Option<Value>,
    /// Paths that overrides changed.
    pub changed: Vec<String>,
}

/// Whether a cluster's agent is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// A session is up.
    Connected,
    /// The session ended or fell silent.
    Lost {
        /// CamelCase reason.
        reason: &'static str,
    },
}

/// A removal that a cluster acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settled {
    /// Where.
    pub cluster: ClusterName,
    /// Which work.
    pub id: WorkId,
    /// Which removal of it.
    pub made_at: u64,
}

/// How much is known, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clusters with a live session.
    pub connected: u64,
    /// Clusters whose session ended.
    pub lost: u64,
    /// Works with a report.
    pub works: u64,
    /// Of those, works that are in their member.
    pub applied: u64,
}

#[derive(Debug, Default)]
struct State {
    works: BTreeMap<ClusterName, BTreeMap<WorkId, WorkReport>>,
    capacity: BTreeMap<ClusterName, ClusterStatus>,
    liveness: BTreeMap<ClusterName, Liveness>,
    held: BTreeMap<ClusterName, usize>,
    dirty_works: BTreeSet<(ClusterName, WorkId)>,
    dirty_clusters: BTreeSet<ClusterName>,
    settled: BTreeSet<Settled>,
}

/// All reports, with what changed since it was last taken.
#[derive(Debug)]
pub struct Reports {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }
}

impl Reports {
    /// Takes a status in; an older one than the held changes nothing.
    pub fn work(&self, cluster: &ClusterName, id: WorkId, report: WorkReport) {
        self.change(|state| {
            let works = state.works.entry(cluster.clone()).or_default();
            if works.get(&id).is_some_and(|held| held.order > report.order) {
                return false;
            }
            if works.insert(id, report.clone()).as_ref() == Some(&report) {
                return false;
            }
            state.dirty_works.insert((cluster.clone(), id))
        });
    }

    /// Forgets a work that is gone from a cluster.
    pub fn forget_work(&self, cluster: &ClusterName, id: WorkId) {
        self.change(|state| {
            let works = state.works.get_mut(cluster);
            works.is_some_and(|works| works.remove(&id).is_some())
                && state.dirty_works.insert((cluster.clone(), id))
        });
    }

    /// Takes measured capacity in.
    pub fn capacity(&self, cluster: &ClusterName, status: ClusterStatus) {
        self.change(|state| {
            state.capacity.insert(cluster.clone(), status);
            state.dirty_clusters.insert(cluster.clone())
        });
    }

    /// Says whether the agent is there.
    pub fn liveness(&self, cluster: &ClusterName, liveness: Liveness) {
        self.change(|state| {
            let old = state.liveness.insert(cluster.clone(), liveness.clone());
            old.as_ref() != Some(&liveness) && state.dirty_clusters.insert(cluster.clone())
        });
    }

    /// Says how many works of a cluster wait for a person.
    pub fn held(&self, cluster: &ClusterName, count: usize) {
        self.change(|state| {
            let old = state.held.insert(cluster.clone(), count).unwrap_or(0);
            old != count && state.dirty_clusters.insert(cluster.clone())
        });
    }

    /// How many works of a cluster wait for a person.
    #[must_use]
    pub fn held_in(&self, cluster: &ClusterName) -> usize {
        self.lock().held.get(cluster).copied().unwrap_or(0)
    }

    /// Takes an acknowledgement in.
    pub fn settle(&self, settled: Settled) {
        self.change(|state| state.settled.insert(settled));
    }

    /// Forgets a cluster that was detached.
    pub fn forget(&self, cluster: &ClusterName) {
        self.change(|state| {
            state.works.remove(cluster);
            state.capacity.remove(cluster);
            state.liveness.remove(cluster);
            state.held.remove(cluster);
            true
        });
    }

    /// Wakes on any change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Works whose report changed since the last call.
    #[must_use]
    pub fn take_works(&self) -> BTreeSet<(ClusterName, WorkId)> {
        std::mem::take(&mut self.lock().dirty_works)
    }

    /// Clusters whose capacity or liveness changed since the last call.
    #[must_use]
    pub fn take_clusters(&self) -> BTreeSet<ClusterName> {
        std::mem::take(&mut self.lock().dirty_clusters)
    }

    /// Acknowledgements since the last call.
    #[must_use]
    pub fn take_settled(&self) -> BTreeSet<Settled> {
        std::mem::take(&mut self.lock().settled)
    }

    /// The report of one work.
    #[must_use]
    pub fn get(&self, cluster: &ClusterName, id: WorkId) -> Option<WorkReport> {
        self.lock().works.get(cluster)?.get(&id).cloned()
    }

    /// Measured capacity and liveness of one cluster.
    #[must_use]
    pub fn cluster(&self, cluster: &ClusterName) -> (Option<ClusterStatus>, Option<Liveness>) {
        let state = self.lock();
        (
            state.capacity.get(cluster).cloned(),
            state.liveness.get(cluster).cloned(),
        )
    }

    /// How much is known.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        let connected = state
            .liveness
            .values()
            .filter(|l| **l == Liveness::Connected)
            .count();
        let works = state.works.values().flat_map(BTreeMap::values);
        Counts {
            connected: connected as u64,
            lost: (state.liveness.len() - connected) as u64,
            works: works.clone().count() as u64,
            applied: works.filter(|w| w.applied).count() as u64,
        }
    }

    fn change(&self, f: impl FnOnce(&mut State) -> bool) {
        let changed = f(&mut self.lock());
        if changed {
            self.changed.send_modify(|n| *n += 1);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
