//! How replicas are divided among the clusters chosen: all for each (Duplicated), or Webster's method
//! over weights that are stated (static) or are the room that clusters have (dynamic, aggregated).
//!
//! Numbers are exactly Karmada's, draws included: users must get the same result. Sums do not wrap.

mod estimated;
mod webster;

pub use webster::{Party, later_name_wins, webster};

use estimated::ByRoom;

use super::Outcome;
use super::candidate::Candidate;
use super::report::{Division, DivisionKind, Mode, Seat};
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

/// What a division is about.
#[derive(Clone, Copy, Debug)]
pub struct DivideInput<'a> {
    /// The binding's spec; its `clusters` are the previous result.
    pub spec: &'a BindingSpec,
    /// The placement.
    pub placement: &'a Placement,
    /// Whether a person asked for a fresh placement.
    pub fresh: bool,
    /// Whether the affinity term in force has overflow tiers.
    pub tiered: bool,
    /// Also name candidates that get nothing.
    pub empty_workload_propagation: bool,
}

/// A result, sorted by name, and its arithmetic: one division per overflow tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divided {
    /// Clusters and their replicas.
    pub clusters: Vec<TargetCluster>,
    /// How they came about.
    pub divisions: Vec<Division>,
}

impl Divided {
    fn append(&mut self, other: Self) {
        self.clusters.extend(other.clusters);
        self.clusters.sort_by(|a, b| a.name.cmp(&b.name));
        self.divisions.extend(other.divisions);
    }
}

/// Divides the template's replicas among the candidates.
///
/// # Errors
/// The outcome that stands for the failure.
pub fn divide(input: &DivideInput<'_>, candidates: &[Candidate<'_>]) -> Result<Divided, Outcome> {
    let spec = input.spec;
    if candidates.is_empty() {
        return Err(failure(
            "SchedulerError",
            "no clusters available to schedule",
        ));
    }
    if !is_divided(spec) {
        return Ok(undivided(candidates));
    }
    let strategy = Strategy::of(input.placement);
    let mut divided = match strategy {
        Strategy::Duplicated => duplicated(candidates, spec.replicas),
        Strategy::StaticWeight => static_weight(candidates, input),
        Strategy::DynamicWeight | Strategy::Aggregated => ByRoom {
            spec,
            aggregated: strategy == Strategy::Aggregated,
            fresh: input.fresh,
            tiered: input.tiered,
        }
        .divide(candidates)
        .map_err(|message| failure("Unschedulable", &message))?,
        Strategy::Unknown => return Err(failure("SchedulerError", &unknown(input.placement))),
    };
    if input.empty_workload_propagation {
        add_empty(&mut divided.clusters, candidates);
    }
    Ok(divided)
}

/// Whether the template's replicas are divided: it has replicas or says what one needs, and not
/// several components.
#[must_use]
pub fn is_divided(spec: &BindingSpec) -> bool {
    (spec.replicas > 0 || spec.replica_requirements.is_some()) && spec.components.len() <= 1
}

fn failure(reason: &'static str, message: &str) -> Outcome {
    Outcome::Unschedulable {
        reason,
        message: format!("failed to assign replicas: {message}"),
    }
}

fn unknown(placement: &Placement) -> String {
    let strategy = placement.replica_scheduling.clone().unwrap_or_default();
    format!(
        "unsupported replica scheduling strategy, replicaSchedulingType: {}, \
         replicaDivisionPreference: {}, please try another scheduling strategy",
        strategy.replica_scheduling_type, strategy.replica_division_preference
    )
}

/// Every candidate as it is, without replicas.
fn undivided(candidates: &[Candidate<'_>]) -> Divided {
    let seats = candidates.iter().map(|c| seat(c, 0, 0)).collect();
    settle(DivisionKind::Undivided, None, 0, false, seats)
}

/// All replicas for every candidate.
fn duplicated(candidates: &[Candidate<'_>], replicas: i32) -> Divided {
    let seats = candidates.iter().map(|c| seat(c, 0, replicas)).collect();
    settle(DivisionKind::Duplicated, None, replicas, false, seats)
}

/// By stated weights: a cluster's weight is the largest of the rules that match it, clusters without
/// one get nothing, and where no candidate has one all weigh the same. The previous result does not
/// matter.
fn static_weight(candidates: &[Candidate<'_>], input: &DivideInput<'_>) -> Divided {
    let strategy = input.placement.replica_scheduling.as_ref();
    let preferences = strategy.and_then(|s| s.weight_preference.as_ref());
    let weights: Vec<i64> = candidates
        .iter()
        .map(|candidate| stated_weight(candidate.cluster, preferences))
        .collect();
    let unstated = weights.iter().all(|&weight| weight == 0);
    let mut seats: Vec<Seat> = candidates
        .iter()
        .zip(&weights)
        .map(|(candidate, &weight)| seat(candidate, if unstated { 1 } else { weight }, 0))
        .collect();
    let later_name_wins = later_name_wins(&input.spec.resource.uid);
    let parties: Vec<Party<'_>> = seats
        .iter()
        .map(|s| Party {
            name: &s.cluster,
            votes: s.weight,
        })
        .collect();
    let replicas = input.spec.replicas;
    let won = webster(replicas, &parties, later_name_wins);
    for (seat, replicas) in seats.iter_mut().zip(won) {
        seat.replicas = replicas;
    }
    let kind = DivisionKind::StaticWeight;
    settle(kind, None, replicas, later_name_wins, seats)
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

fn seat(candidate: &Candidate<'_>, weight: i64, replicas: i32) -> Seat {
    Seat {
        cluster: candidate.name().to_owned(),
        weight,
        kept: 0,
        replicas,
    }
}

/// Sorts by name, so that a result never differs from an equal one by order, and drops shares of
/// nothing.
fn settle(
    kind: DivisionKind,
    mode: Option<Mode>,
    replicas: i32,
    later_name_wins: bool,
    mut seats: Vec<Seat>,
) -> Divided {
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
        mode,
        replicas,
        later_name_wins,
        seats,
    };
    Divided {
        clusters,
        divisions: vec![division],
    }
}

/// Adds the candidates that got nothing, with 0 replicas.
fn add_empty(clusters: &mut Vec<TargetCluster>, candidates: &[Candidate<'_>]) {
    for candidate in candidates {
        if !clusters.iter().any(|c| c.name == candidate.name()) {
            clusters.push(TargetCluster {
                name: candidate.name().to_owned(),
                ..TargetCluster::default()
            });
        }
    }
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
}
