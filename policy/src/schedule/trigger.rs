//! Whether there is a reason to decide. Without one the previous result stands, even if clusters
//! changed labels or taints: running workloads are not moved by what only a new one would heed.

use std::collections::BTreeMap;

use super::divide::Strategy;
use super::filter::is_workload;
use super::report::Trigger;
use super::{ScheduleView, time};
use crate::api::{BindingSpec, Cluster, ClusterAffinityTerm, Placement};

/// The first reason that applies.
pub(super) fn reason_to_decide(view: &ScheduleView<'_>) -> Trigger {
    let spec = view.spec;
    let Some(placement) = spec.placement.as_ref() else {
        return Trigger::NoPlacement;
    };
    if spec.suspension.as_ref().and_then(|s| s.scheduling) == Some(true) {
        return Trigger::Suspended;
    }
    let observed_term = view.status.scheduler_observed_affinity_name.as_str();
    let Some(applied) = view.applied_placement else {
        return Trigger::NeverDecided;
    };
    if placement_changed(placement, applied, observed_term) {
        Trigger::PlacementChanged
    } else if replicas_changed(spec, placement) {
        Trigger::ReplicasChanged
    } else if reschedule_triggered(view) {
        Trigger::RescheduleTriggered
    } else if !is_workload(spec) || Strategy::of(placement) == Strategy::Duplicated {
        Trigger::AlwaysDecided
    } else {
        match gone(spec, view.clusters) {
            clusters if clusters.is_empty() => Trigger::NothingChanged,
            clusters => Trigger::TargetsGone { clusters },
        }
    }
}

/// Among several affinity terms only the one in force counts: others do not move what runs. Beside
/// a term in force a change of the workload affinity alone does not count either.
fn placement_changed(placement: &Placement, applied: &Placement, observed_term: &str) -> bool {
    if placement == applied {
        return false;
    }
    placement.cluster_affinity != applied.cluster_affinity
        || placement.cluster_tolerations != applied.cluster_tolerations
        || placement.spread_constraints != applied.spread_constraints
        || placement.replica_scheduling != applied.replica_scheduling
        || terms_changed(
            &placement.cluster_affinities,
            &applied.cluster_affinities,
            observed_term,
        )
}

fn terms_changed(now: &[ClusterAffinityTerm], applied: &[ClusterAffinityTerm], name: &str) -> bool {
    let find = |terms: &[ClusterAffinityTerm]| {
        terms
            .iter()
            .find(|term| term.affinity_name == name)
            .cloned()
    };
    match (find(now), find(applied)) {
        (Some(now), Some(applied)) => now != applied,
        _ => true,
    }
}

/// Whether the previous result does not add up to the replicas wanted. Several components are not
/// divided, so for them only an empty result counts.
fn replicas_changed(spec: &BindingSpec, placement: &Placement) -> bool {
    let Some(strategy) = placement.replica_scheduling.as_ref() else {
        return false;
    };
    if spec.components.len() > 1 {
        return spec.clusters.is_empty();
    }
    match strategy.replica_scheduling_type.as_str() {
        "Duplicated" => spec.clusters.iter().any(|c| c.replicas != spec.replicas),
        "Divided" => {
            let sum: i64 = spec.clusters.iter().map(|c| i64::from(c.replicas)).sum();
            sum != i64::from(spec.replicas)
        }
        _ => false,
    }
}

/// Whether a person asked for a fresh placement after the last decision.
pub(super) fn reschedule_triggered(view: &ScheduleView<'_>) -> bool {
    match (
        &view.spec.reschedule_triggered_at,
        &view.status.last_scheduled_time,
    ) {
        (Some(triggered), Some(last)) => time::is_after(triggered, last),
        _ => false,
    }
}

/// Clusters of the previous result that are being deleted or do not exist.
fn gone(spec: &BindingSpec, clusters: &[&Cluster]) -> Vec<String> {
    let alive: BTreeMap<&str, bool> = clusters
        .iter()
        .map(|c| (c.metadata.name.as_str(), !c.metadata.is_deleting()))
        .collect();
    let mut gone: Vec<String> = spec
        .clusters
        .iter()
        .filter(|target| alive.get(target.name.as_str()) != Some(&true))
        .map(|target| target.name.clone())
        .collect();
    gone.sort();
    gone
}
