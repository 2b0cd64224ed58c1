//! Which clusters fit: asks every filter about every cluster and keeps all reasons against it.
//! Clusters being deleted are no candidates; no filter is asked about them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::registry::FILTERS;
use super::report::{Code, Rejection, Verdict};
use crate::api::{BindingSpec, Cluster, ClusterAffinityTerm, Placement};

/// What filters read beside the cluster.
#[derive(Clone, Debug)]
pub(super) struct FilterInput<'a> {
    pub(super) spec: &'a BindingSpec,
    pub(super) placement: &'a Placement,
    /// The affinity term being tried.
    pub(super) term: Option<&'a ClusterAffinityTerm>,
    /// Whether replicas are divided at all.
    pub(super) is_workload: bool,
    targets: BTreeSet<&'a str>,
}

impl<'a> FilterInput<'a> {
    pub(super) fn new(
        spec: &'a BindingSpec,
        placement: &'a Placement,
        term: Option<&'a ClusterAffinityTerm>,
    ) -> Self {
        Self {
            spec,
            placement,
            term,
            is_workload: is_workload(spec),
            targets: spec.clusters.iter().map(|c| c.name.as_str()).collect(),
        }
    }

    /// Whether the cluster is in the previous result, be it with 0 replicas.
    pub(super) fn is_target(&self, cluster: &Cluster) -> bool {
        self.targets.contains(cluster.metadata.name.as_str())
    }
}

/// Whether the template has replicas: a kind without them goes to every cluster as it is.
pub(super) fn is_workload(spec: &BindingSpec) -> bool {
    spec.replicas > 0 || spec.replica_requirements.is_some() || !spec.components.is_empty()
}

/// The verdict on each cluster, in the order of `clusters`, with the binding's placement and the
/// affinity term of that name. No placement, and a name that is no term's, accept every cluster.
#[must_use]
pub fn verdicts(spec: &BindingSpec, affinity_name: &str, clusters: &[&Cluster]) -> Vec<Verdict> {
    let nothing = Placement::default();
    let placement = spec.placement.as_ref().unwrap_or(&nothing);
    let term = placement
        .cluster_affinities
        .iter()
        .find(|term| term.affinity_name == affinity_name);
    run(&FilterInput::new(spec, placement, term), clusters)
}

/// The verdict on each cluster, in the order of `clusters`.
pub(super) fn run(input: &FilterInput<'_>, clusters: &[&Cluster]) -> Vec<Verdict> {
    clusters
        .iter()
        .map(|cluster| Verdict {
            cluster: cluster.metadata.name.clone(),
            rejections: rejections(input, cluster),
        })
        .collect()
}

fn rejections(input: &FilterInput<'_>, cluster: &Cluster) -> Vec<Rejection> {
    if cluster.metadata.is_deleting() {
        return vec![Rejection {
            plugin: Cow::Borrowed(""),
            code: Code::Deleting,
            text: Cow::Borrowed("cluster is being deleted"),
        }];
    }
    FILTERS
        .iter()
        .filter_map(|plugin| (plugin.filter)(input, cluster))
        .collect()
}

/// Text of the condition when no cluster fits: each cluster counts with its first reason, and
/// reasons are sorted as texts.
#[must_use]
pub fn no_fit_message(verdicts: &[Verdict]) -> String {
    let mut histogram: BTreeMap<&str, usize> = BTreeMap::new();
    for rejection in verdicts.iter().filter_map(|v| v.rejections.first()) {
        if rejection.code != Code::Deleting {
            *histogram.entry(&rejection.text).or_default() += 1;
        }
    }
    let mut reasons: Vec<String> = histogram
        .into_iter()
        .map(|(text, count)| format!("{count} {text}"))
        .collect();
    reasons.sort();
    if reasons.is_empty() {
        reasons.push("no cluster exists".to_owned());
    }
    let all = verdicts.len();
    format!("0/{all} clusters are available: {}.", reasons.join(", "))
}
