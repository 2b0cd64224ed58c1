//! How replicas are divided among clusters that fit. Availability never matters for the rules here:
//! all replicas for each (Duplicated), or Webster's method over stated weights (static weight).
//!
//! Numbers are exactly Karmada's, draws included: users must get the same result.

mod webster;

pub use webster::{Party, later_name_wins, webster};

use super::report::{Division, DivisionKind, Seat};
use super::{Outcome, ScheduleOptions};
use crate::api::{BindingSpec, Cluster, ClusterPreferences, Placement, TargetCluster};
use crate::model::selectors::cluster_matches;

/// How a placement divides replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every cluster gets all.
    Duplicated,
    /// By stated weights.
    StaticWeight,
    /// By how many replicas would fit.
    DynamicWeight,
    /// Into as few clusters as can hold them.
    Aggregated,
    /// A combination that means nothing; admission refuses it.
    Unknown,
}

impl Strategy {
    /// The placement's strategy; none stated means Duplicated.
    #[must_use]
    pub fn of(placement: &Placement) -> Self {
        let Some(strategy) = &placement.replica_scheduling else {
            return Self::Duplicated;
        };
        let preference = strategy.replica_division_preference.as_str();
        match (strategy.replica_scheduling_type.as_str(), preference) {
            ("Duplicated", _) => Self::Duplicated,
            ("Divided", "Aggregated") => Self::Aggregated,
            ("Divided", "Weighted") => {
                let dynamic = |p: &ClusterPreferences| !p.dynamic_weight.is_empty();
                if strategy.weight_preference.as_ref().is_some_and(dynamic) {
                    Self::DynamicWeight
                } else {
                    Self::StaticWeight
                }
            }
            _ => Self::Unknown,
        }
    }
}

/// Whether the template's replicas are divided: it has replicas or says what one needs, and not
/// several components.
#[must_use]
pub fn is_divided(spec: &BindingSpec) -> bool {
    (spec.replicas > 0 || spec.replica_requirements.is_some()) && spec.components.len() <= 1
}

/// Divides the template's replicas among the candidates.
///
/// # Errors
/// The outcome that stands for the failure.
pub fn divide(
    spec: &BindingSpec,
    placement: &Placement,
    candidates: &[&Cluster],
    options: ScheduleOptions,
) -> Result<(Vec<TargetCluster>, Division), Outcome> {
    let (mut clusters, division) = if !is_divided(spec) {
        undivided(candidates)
    } else {
        match Strategy::of(placement) {
            Strategy::Duplicated => duplicated(candidates, spec.replicas),
            Strategy::StaticWeight => {
                let strategy = placement.replica_scheduling.as_ref();
                let preferences = strategy.and_then(|s| s.weight_preference.as_ref());
                static_weight(candidates, spec, preferences)
            }
            Strategy::DynamicWeight | Strategy::Aggregated | Strategy::Unknown => {
                return Err(unknown_strategy(placement));
            }
        }
    };
    if options.empty_workload_propagation {
        add_empty(&mut clusters, candidates);
    }
    Ok((clusters, division))
}

fn unknown_strategy(placement: &Placement) -> Outcome {
    let strategy = placement.replica_scheduling.clone().unwrap_or_default();
    Outcome::Unschedulable {
        reason: "SchedulerError",
        message: format!(
            "failed to assign replicas: unsupported replica scheduling strategy, \
             replicaSchedulingType: {}, replicaDivisionPreference: {}, \
             please try another scheduling strategy",
            strategy.replica_scheduling_type, strategy.replica_division_preference
        ),
    }
}

/// Every candidate as it is, without replicas.
fn undivided(candidates: &[&Cluster]) -> (Vec<TargetCluster>, Division) {
    let shares = candidates.iter().map(|c| seat(c, 0, 0)).collect();
    settle(DivisionKind::Undivided, 0, false, shares)
}

/// All replicas for every candidate.
fn duplicated(candidates: &[&Cluster], replicas: i32) -> (Vec<TargetCluster>, Division) {
    let shares = candidates.iter().map(|c| seat(c, 0, replicas)).collect();
    settle(DivisionKind::Duplicated, replicas, false, shares)
}

/// By stated weights: a cluster's weight is the largest of the rules that match it, clusters without
/// one get nothing, and where no candidate has one all weigh the same. The previous result does not
/// matter.
fn static_weight(
    candidates: &[&Cluster],
    spec: &BindingSpec,
    preferences: Option<&ClusterPreferences>,
) -> (Vec<TargetCluster>, Division) {
    let stated: Vec<i64> = candidates
        .iter()
        .map(|cluster| stated_weight(cluster, preferences))
        .collect();
    let unstated = stated.iter().all(|&weight| weight == 0);
    let mut seats: Vec<Seat> = candidates
        .iter()
        .zip(&stated)
        .map(|(cluster, &weight)| seat(cluster, if unstated { 1 } else { weight }, 0))
        .collect();
    let later_name_wins = later_name_wins(&spec.resource.uid);
    let parties: Vec<Party<'_>> = seats
        .iter()
        .map(|s| Party {
            name: &s.cluster,
            votes: s.weight,
        })
        .collect();
    let won = webster(spec.replicas, &parties, later_name_wins);
    for (seat, replicas) in seats.iter_mut().zip(won) {
        seat.replicas = replicas;
    }
    settle(
        DivisionKind::StaticWeight,
        spec.replicas,
        later_name_wins,
        seats,
    )
}

fn stated_weight(cluster: &Cluster, preferences: Option<&ClusterPreferences>) -> i64 {
    preferences
        .into_iter()
        .flat_map(|p| &p.static_weight_list)
        .filter(|rule| cluster_matches(&rule.target_cluster, cluster))
        .map(|rule| rule.weight)
        .max()
        .unwrap_or(0)
        .max(0)
}

fn seat(cluster: &Cluster, weight: i64, replicas: i32) -> Seat {
    Seat {
        cluster: cluster.metadata.name.clone(),
        weight,
        replicas,
    }
}

/// Sorts by name, so that a result never differs from an equal one by order.
fn settle(
    kind: DivisionKind,
    replicas: i32,
    later_name_wins: bool,
    mut seats: Vec<Seat>,
) -> (Vec<TargetCluster>, Division) {
    seats.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    let clusters = seats
        .iter()
        .filter(|s| s.replicas > 0 || kind == DivisionKind::Undivided)
        .map(|s| TargetCluster {
            name: s.cluster.clone(),
            replicas: s.replicas,
            components: Vec::new(),
        })
        .collect();
    let division = Division {
        kind,
        replicas,
        later_name_wins,
        seats,
    };
    (clusters, division)
}

/// Adds the candidates that got nothing, with 0 replicas.
fn add_empty(clusters: &mut Vec<TargetCluster>, candidates: &[&Cluster]) {
    for candidate in candidates {
        let name = &candidate.metadata.name;
        if !clusters.iter().any(|c| &c.name == name) {
            clusters.push(TargetCluster {
                name: name.clone(),
                ..TargetCluster::default()
            });
        }
    }
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
}
