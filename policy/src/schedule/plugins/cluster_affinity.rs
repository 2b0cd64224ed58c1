//! Rejects clusters outside the affinity in force: the placement's single affinity, else the term
//! being tried with its overflow tiers (which count for workloads only). No affinity accepts all.

use std::borrow::Cow;

use crate::api::Cluster;
use crate::model::selectors::cluster_matches;
use crate::schedule::filter::FilterInput;
use crate::schedule::registry::FilterPlugin;
use crate::schedule::report::{Code, Rejection};

pub(in crate::schedule) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "ClusterAffinity",
    filter,
};

fn filter(input: &FilterInput<'_>, cluster: &Cluster) -> Option<Rejection> {
    let accepted = match (&input.placement.cluster_affinity, input.term) {
        (Some(affinity), _) => cluster_matches(affinity, cluster),
        (None, Some(term)) => {
            let overflows = || {
                term.overflow_affinities
                    .iter()
                    .any(|tier| cluster_matches(&tier.affinity, cluster))
            };
            cluster_matches(&term.affinity, cluster) || (input.is_workload && overflows())
        }
        (None, None) => true,
    };
    (!accepted).then_some(Rejection {
        plugin: Cow::Borrowed(PLUGIN.name),
        code: Code::AffinityMismatch,
        text: Cow::Borrowed("cluster(s) did not match the placement cluster affinity constraint"),
    })
}
