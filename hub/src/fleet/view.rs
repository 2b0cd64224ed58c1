//! What a session may read and report: everything through the scope of its TLS channel.
//!
//! No other part of the fleet service touches `Shares` or `Reports`, so that no read or write can be
//! about another cluster.

use std::sync::Arc;

use flotilla_policy::api::ClusterStatus;
use flotilla_proto::digest::Digest;
use flotilla_proto::ids::WorkId;
use tokio::sync::watch;

use super::reports::{Liveness, Reports, Settled, WorkReport};
use super::share::{Body, Said, Shares};
use crate::pki::ClusterScope;

/// The shares, one cluster at a time.
#[derive(Clone)]
pub struct ScopedShares {
    shares: Arc<Shares>,
}

impl ScopedShares {
    /// Over all shares.
    #[must_use]
    pub fn new(shares: Arc<Shares>) -> Self {
        Self { shares }
    }

    pub(super) fn snapshot(&self, scope: &ClusterScope) -> Vec<(WorkId, Said)> {
        self.shares.snapshot(scope.cluster())
    }

    pub(super) fn take_dirty(&self, scope: &ClusterScope) -> Vec<(WorkId, Said)> {
        self.shares.take_dirty(scope.cluster())
    }

    pub(super) fn subscribe(&self, scope: &ClusterScope) -> watch::Receiver<u64> {
        self.shares.subscribe(scope.cluster())
    }

    /// A body, only while an assignment of the scope's cluster refers to it.
    pub(super) fn body(&self, scope: &ClusterScope, digest: Digest) -> Option<Arc<Body>> {
        self.shares.body(scope.cluster(), digest)
    }

    /// Door revision that the index has read, which no cluster owns.
    pub(super) fn revision(&self) -> u64 {
        self.shares.revision()
    }
}

/// The reports, one cluster at a time.
#[derive(Clone)]
pub struct ScopedReports {
    reports: Arc<Reports>,
}

impl ScopedReports {
    /// Over all reports.
    #[must_use]
    pub fn new(reports: Arc<Reports>) -> Self {
        Self { reports }
    }

    pub(super) fn work(&self, scope: &ClusterScope, id: WorkId, report: WorkReport) {
        self.reports.work(scope.cluster(), id, report);
    }

    pub(super) fn forget_work(&self, scope: &ClusterScope, id: WorkId) {
        self.reports.forget_work(scope.cluster(), id);
    }

    /// A leader that counts from the beginning: what the one before said must not shadow it.
    pub(super) fn forget_all(&self, scope: &ClusterScope) {
        self.reports.forget(scope.cluster());
    }

    pub(super) fn capacity(&self, scope: &ClusterScope, status: ClusterStatus) {
        self.reports.capacity(scope.cluster(), status);
    }

    pub(super) fn liveness(&self, scope: &ClusterScope, liveness: Liveness) {
        self.reports.liveness(scope.cluster(), liveness);
    }

    pub(super) fn held(&self, scope: &ClusterScope, count: usize) {
        self.reports.held(scope.cluster(), count);
    }

    pub(super) fn settle(&self, scope: &ClusterScope, id: WorkId, made_at: u64) {
        self.reports.settle(Settled {
            cluster: scope.cluster().clone(),
            id,
            made_at,
        });
    }
}
