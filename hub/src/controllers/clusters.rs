//! One member as the front door shows it: Ready, what it measures, its taints; and its leaving.
//!
//! Liveness is what the sessions say; labels, provider, region and zones are people's and never
//! touched. Detaching a cluster keeps its workloads; draining one is asked for by an annotation and
//! said to be over by a condition.

mod leaving;
mod status;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::driver::{Controller, Moment, Planned};
use super::writes::Write;
use crate::durable;
use crate::fleet::reports::{Liveness, Reports};
use crate::fleet::share::ClusterName;
use crate::front_door::index::{ClusterView, Index};
use flotilla_policy::api::{Cluster, ClusterStatus};

/// A hub that just started waits so long for a cluster's agent before it calls it lost: as long as an
/// agent backs off at most, and half as long again.
const FIRST_SESSION_MAX: Duration = Duration::from_secs(90);
/// Keeps a Cluster until the hub has let go of it.
const FINALIZER: &str = flotilla_policy::model::marks::CLUSTER_FINALIZER;

/// The clusters controller.
pub struct Clusters {
    index: Arc<Index>,
    reports: Arc<Reports>,
}

impl Clusters {
    /// Over the index and the agents' reports.
    #[must_use]
    pub fn new(index: Arc<Index>, reports: Arc<Reports>) -> Self {
        Self { index, reports }
    }
}

impl Controller for Clusters {
    type Key = String;
    const NAME: &'static str = "clusters";

    fn take(&self) -> BTreeSet<String> {
        let mut names = self.index.take_clusters();
        let reported = self.reports.take_clusters();
        names.extend(reported.iter().map(|name| name.as_str().to_owned()));
        names
    }

    fn plan(&self, name: &String, moment: &Moment) -> Planned {
        let view = self.index.cluster_view(name);
        let Some(cluster) = view.cluster.clone() else {
            if self.index.take_gone(name) {
                // Whoever comes back under this name begins anew.
                self.reports.forget(&ClusterName::new(name));
            }
            return Planned::Nothing;
        };
        let (measured, liveness) = self.reports.cluster(&ClusterName::new(name));
        let held = self.reports.held_in(&ClusterName::new(name));
        let said = Said {
            measured,
            liveness,
            held,
        };
        plan(&view, &cluster, &said, moment)
    }
}

/// What the cluster's agent says.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// What it measures.
    pub measured: Option<ClusterStatus>,
    /// Whether it is there.
    pub liveness: Option<Liveness>,
    /// Works that wait for a person.
    pub held: usize,
}

/// Plans about one cluster.
#[must_use]
pub fn plan(view: &ClusterView, cluster: &Cluster, said: &Said, moment: &Moment) -> Planned {
    if cluster.metadata.is_deleting() {
        return leaving::plan(view, cluster);
    }
    let ready = status::readiness(cluster, said, moment.running);
    let mut writes = Vec::new();
    let mut wanted = cluster.clone();
    if !wanted.metadata.finalizers.iter().any(|f| f == FINALIZER) {
        wanted.metadata.finalizers.push(FINALIZER.to_owned());
    }
    if let Some(ready) = &ready {
        status::set_taints(&mut wanted.spec.taints, ready);
    }
    let key = durable::Key::global(durable::CLUSTER, &cluster.metadata.name);
    if wanted != *cluster {
        // The status follows when this write was read back: both carry the object's version.
        writes.push(replace(Write::Replace, key, &wanted));
        return Planned::Write(writes);
    }
    wanted.status = status::wanted(view, cluster, said, ready.as_ref(), &moment.now);
    if wanted.status != cluster.status {
        writes.push(replace(Write::ReplaceStatus, key, &wanted));
    }
    match (writes.is_empty(), ready) {
        (false, _) => Planned::Write(writes),
        // Only silence has to be looked at again by time: whatever an agent says wakes the key.
        (true, None) if said.liveness.is_none() => {
            Planned::Later(FIRST_SESSION_MAX.saturating_sub(moment.running))
        }
        (true, _) => Planned::Nothing,
    }
}

fn replace(
    write: impl FnOnce(durable::Key, serde_json::Value) -> Write,
    key: durable::Key,
    cluster: &Cluster,
) -> Write {
    // Our own types are always JSON.
    write(key, serde_json::to_value(cluster).unwrap_or_default())
}
