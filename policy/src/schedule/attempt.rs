//! One run per affinity term: filter, divide, and the way on to the next term when a run fails.

use super::divide::{self, Strategy};
use super::filter::{self, FilterInput};
use super::report::{Attempt, AttemptResult, Report};
use super::trigger;
use super::{Outcome, ScheduleView};
use crate::api::{Cluster, ClusterAffinityTerm, Placement};

/// Tries the affinity terms in order. The first error decides when all fail.
pub(super) fn run(view: &ScheduleView<'_>, placement: &Placement, report: &mut Report) -> Outcome {
    let fields = unsupported(view, placement);
    if !fields.is_empty() {
        return Outcome::Unsupported { fields };
    }
    let clusters = by_name(view.clusters);
    let mut first_failure = None;
    for term in terms(view, placement) {
        let name = term.map_or("", |t| t.affinity_name.as_str());
        let input = FilterInput::new(view.spec, placement, term);
        let (attempt, outcome) = attempt(view, &input, &clusters, name);
        report.attempts.push(attempt);
        match outcome {
            Outcome::NoFit { .. } | Outcome::Unschedulable { .. } => {
                first_failure.get_or_insert(outcome);
            }
            _ => return outcome,
        }
    }
    first_failure.unwrap_or(Outcome::Unchanged)
}

/// Sorted, so that no result depends on the order of the input.
fn by_name<'a>(clusters: &[&'a Cluster]) -> Vec<&'a Cluster> {
    let mut clusters = clusters.to_vec();
    clusters.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    clusters
}

/// The terms to try, from the one in force on; from the first after a request for a fresh
/// placement. A placement without terms is one run without a term.
fn terms<'a>(
    view: &ScheduleView<'_>,
    placement: &'a Placement,
) -> Vec<Option<&'a ClusterAffinityTerm>> {
    let terms = &placement.cluster_affinities;
    if terms.is_empty() {
        return vec![None];
    }
    let observed = &view.status.scheduler_observed_affinity_name;
    let start = terms
        .iter()
        .position(|t| &t.affinity_name == observed)
        .filter(|_| !trigger::reschedule_triggered(view))
        .unwrap_or(0);
    terms[start..].iter().map(Some).collect()
}

/// What the placement asks for and is not built yet.
fn unsupported(view: &ScheduleView<'_>, placement: &Placement) -> Vec<&'static str> {
    let strategy = Strategy::of(placement);
    let spread = !placement.spread_constraints.is_empty() && !ignores_spread(placement);
    let overflow = placement
        .cluster_affinities
        .iter()
        .any(|t| !t.overflow_affinities.is_empty());
    let estimated = divide::is_divided(view.spec)
        && matches!(strategy, Strategy::DynamicWeight | Strategy::Aggregated);
    let checks = [
        (overflow, "clusterAffinities.overflowAffinities"),
        (
            estimated && strategy == Strategy::Aggregated,
            "replicaScheduling.replicaDivisionPreference: Aggregated",
        ),
        (
            estimated && strategy == Strategy::DynamicWeight,
            "replicaScheduling.weightPreference.dynamicWeight",
        ),
        (spread, "spreadConstraints"),
        (placement.workload_affinity.is_some(), "workloadAffinity"),
    ];
    checks
        .into_iter()
        .filter_map(|(used, field)| used.then_some(field))
        .collect()
}

/// Stated weights name the clusters already: spread constraints are left aside then. A weight
/// preference that is present but empty states none.
fn ignores_spread(placement: &Placement) -> bool {
    Strategy::of(placement) == Strategy::StaticWeight
        && placement
            .replica_scheduling
            .as_ref()
            .and_then(|s| s.weight_preference.as_ref())
            .is_none_or(|p| !p.static_weight_list.is_empty())
}

fn attempt(
    view: &ScheduleView<'_>,
    input: &FilterInput<'_>,
    clusters: &[&Cluster],
    name: &str,
) -> (Attempt, Outcome) {
    let verdicts = filter::run(input, clusters);
    let candidates: Vec<&Cluster> = clusters
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| verdict.fits())
        .map(|(cluster, _)| *cluster)
        .collect();
    let mut division = None;
    let outcome = if candidates.is_empty() {
        Outcome::NoFit {
            message: filter::no_fit_message(&verdicts),
        }
    } else {
        match divide::divide(view.spec, input.placement, &candidates, view.options) {
            Ok((clusters, arithmetic)) => {
                division = Some(arithmetic);
                Outcome::Decided {
                    clusters,
                    affinity_name: name.to_owned(),
                }
            }
            Err(outcome) => outcome,
        }
    };
    let result = match &outcome {
        Outcome::NoFit { message } => AttemptResult::NoFit {
            message: message.clone(),
        },
        Outcome::Unschedulable { message, .. } => AttemptResult::Unschedulable {
            message: message.clone(),
        },
        Outcome::Needs { .. } => AttemptResult::Needs,
        _ => AttemptResult::Decided,
    };
    let attempt = Attempt {
        affinity_name: name.to_owned(),
        verdicts,
        division,
        result,
    };
    (attempt, outcome)
}
