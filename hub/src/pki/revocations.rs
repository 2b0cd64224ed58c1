//! Clusters' standing, as the front door last showed it: asked in the handshake, for each message and by
//! a sweep of live sessions.
//!
//! A cluster that is not here is unknown, not allowed: the scope check reads its enrolment first.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::records::Standing;
use crate::fleet::share::ClusterName;

/// Standing per cluster.
#[derive(Debug)]
pub struct Revocations {
    known: Mutex<BTreeMap<ClusterName, Option<Standing>>>,
    changed: watch::Sender<u64>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }
}

impl Revocations {
    /// Says what an Enrolment's `spec.state` is now.
    pub fn set(&self, cluster: &ClusterName, standing: Standing) {
        self.put(cluster, Some(standing));
    }

    /// Says that an Enrolment was deleted: its sessions end, and nobody comes in by it.
    pub fn set_deleted(&self, cluster: &ClusterName) {
        self.put(cluster, None);
    }

    /// Whether a cluster is known to be shut out.
    #[must_use]
    pub fn denies(&self, cluster: &ClusterName) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(cluster)
            .is_some_and(|standing| *standing != Some(Standing::Active))
    }

    /// Wakes when a standing changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn put(&self, cluster: &ClusterName, standing: Option<Standing>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let old = known.insert(cluster.clone(), standing);
        drop(known);
        if old != Some(standing) {
            self.changed.send_modify(|n| *n += 1);
        }
    }
}
