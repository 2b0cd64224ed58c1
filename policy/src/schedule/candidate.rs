//! Clusters that fit, with what choosing and dividing look at, in the one order that both start
//! from: overflow tier, then score, then room, then name.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::divide::Strategy;
use crate::api::{BindingSpec, Cluster, ClusterAffinityTerm, Placement};
use crate::model::selectors::cluster_matches;

/// Score of a cluster that already holds the workload.
const SCORE_OF_TARGET: i64 = 100;

/// Tier of a cluster that matches neither the term nor one of its overflows.
const TIER_OF_OTHERS: usize = 1000;

/// One cluster that fits.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Preference among equals: clusters that hold the workload come first.
    pub score: i64,
    /// Replicas that would fit now.
    pub allocatable: i64,
    /// Replicas that would fit if the workload left first.
    pub available: i64,
    /// 0 for the affinity itself, then its overflows in order.
    pub tier: usize,
}

impl<'a> Candidate<'a> {
    /// Name of the cluster.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.cluster.metadata.name
    }
}

/// Candidates in order. `estimates` holds the replicas that would fit by cluster; absent or negative
/// means that nothing is known, which counts as room for all.
#[must_use]
pub fn candidates<'a>(
    spec: &BindingSpec,
    term: Option<&ClusterAffinityTerm>,
    clusters: &[&'a Cluster],
    estimates: &BTreeMap<String, i32>,
) -> Vec<Candidate<'a>> {
    let mut made: Vec<Candidate<'a>> = clusters
        .iter()
        .map(|cluster| {
            let name = cluster.metadata.name.as_str();
            let held: Vec<i64> = spec
                .clusters
                .iter()
                .filter(|target| target.name == name)
                .map(|target| i64::from(target.replicas))
                .collect();
            let allocatable = allocatable(spec, estimates.get(name).copied());
            Candidate {
                cluster,
                score: if held.is_empty() { 0 } else { SCORE_OF_TARGET },
                allocatable,
                available: allocatable + held.first().copied().unwrap_or(0),
                tier: tier(spec, term, cluster),
            }
        })
        .collect();
    sort(&mut made);
    made
}

/// Brings candidates into their order.
pub fn sort(candidates: &mut [Candidate<'_>]) {
    candidates.sort_by_key(|c| (c.tier, Reverse(c.score), Reverse(c.available), c.name()));
}

fn allocatable(spec: &BindingSpec, estimate: Option<i32>) -> i64 {
    if spec.replicas == 0 && spec.components.is_empty() {
        return i64::from(i32::MAX);
    }
    match estimate {
        Some(n) if (0..i32::MAX).contains(&n) => i64::from(n),
        _ => i64::from(spec.replicas),
    }
}

fn tier(spec: &BindingSpec, term: Option<&ClusterAffinityTerm>, cluster: &Cluster) -> usize {
    let (false, Some(term)) = (has_single_affinity(spec), term) else {
        return 0;
    };
    let tiers = term.overflow_affinities.iter().map(|tier| &tier.affinity);
    std::iter::once(&term.affinity)
        .chain(tiers)
        .position(|affinity| cluster_matches(affinity, cluster))
        .unwrap_or(TIER_OF_OTHERS)
}

fn has_single_affinity(spec: &BindingSpec) -> bool {
    spec.placement
        .as_ref()
        .is_some_and(|p| p.cluster_affinity.is_some())
}

/// Whether a decision looks at estimates: they are then needed for every cluster that fits.
pub(super) fn looks_at_estimates(spec: &BindingSpec, placement: &Placement) -> bool {
    let by_room = matches!(
        Strategy::of(placement),
        Strategy::DynamicWeight | Strategy::Aggregated
    );
    let divided_by_room = by_room && spec.components.len() <= 1;
    let has_replicas = spec.replicas > 0 || !spec.components.is_empty();
    has_replicas && (divided_by_room || super::select::is_spread(placement))
}
