//! One run per affinity term: filter, choose, divide, and the way on to the next term when a run
//! fails.

use std::collections::BTreeMap;

use super::candidate::{candidates, looks_at_estimates};
use super::divide::{DivideInput, divide};
use super::filter::{self, FilterInput};
use super::report::{Attempt, AttemptResult, Report, Trigger};
use super::select::{select, steady};
use super::trigger::reschedule_triggered;
use super::{Outcome, ScheduleView};
use crate::api::{Cluster, ClusterAffinityTerm, Placement, TargetCluster};

/// Tries the affinity terms in order. The first error decides when all fail.
pub(super) fn run(view: &ScheduleView<'_>, placement: &Placement, report: &mut Report) -> Outcome {
    if placement.workload_affinity.is_some() {
        return Outcome::Unsupported {
            fields: vec!["workloadAffinity"],
        };
    }
    let clusters = by_name(view.clusters);
    let mut first_failure = None;
    for term in terms(view, placement) {
        let input = FilterInput::new(view.spec, placement, term);
        let mut attempt = Attempt::new(term.map_or("", |t| t.affinity_name.as_str()));
        let outcome = match run_term(view, &input, &clusters, (&report.trigger, &mut attempt)) {
            Ok(clusters) => Outcome::Decided {
                clusters,
                affinity_name: attempt.affinity_name.clone(),
            },
            Err(outcome) => outcome,
        };
        attempt.result = result(&outcome);
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
        .filter(|_| !reschedule_triggered(view))
        .unwrap_or(0);
    terms[start..].iter().map(Some).collect()
}

fn run_term(
    view: &ScheduleView<'_>,
    input: &FilterInput<'_>,
    clusters: &[&Cluster],
    (trigger, attempt): (&Trigger, &mut Attempt),
) -> Result<Vec<TargetCluster>, Outcome> {
    let (spec, placement) = (view.spec, input.placement);
    attempt.verdicts = filter::run(input, clusters);
    let verdicts = clusters.iter().zip(&attempt.verdicts);
    let fit: Vec<&Cluster> = verdicts
        .filter(|(_, verdict)| verdict.fits())
        .map(|(cluster, _)| *cluster)
        .collect();
    if fit.is_empty() {
        return Err(Outcome::NoFit {
            message: filter::no_fit_message(&attempt.verdicts),
        });
    }
    let nothing = BTreeMap::new();
    let estimates = match view.estimates {
        Some(estimates) => estimates,
        None if looks_at_estimates(spec, placement) => {
            let clusters = fit.iter().map(|c| c.metadata.name.clone()).collect();
            return Err(Outcome::Needs { clusters });
        }
        None => &nothing,
    };
    let candidates = candidates(spec, input.term, &fit, estimates);
    let mut selected =
        select(spec, placement, &candidates).map_err(|message| Outcome::Unschedulable {
            reason: "SchedulerError",
            message: format!("failed to select clusters: {message}"),
        })?;
    if *trigger == Trigger::AlwaysDecided {
        selected = steady(spec, placement, &candidates, selected);
    }
    let (chosen, selection) = selected;
    attempt.selection = selection;
    let overflows = |t: &ClusterAffinityTerm| !t.overflow_affinities.is_empty();
    let division = DivideInput {
        spec,
        placement,
        fresh: reschedule_triggered(view),
        tiered: input.term.is_some_and(overflows),
        empty_workload_propagation: view.options.empty_workload_propagation,
    };
    let divided = divide(&division, &chosen)?;
    attempt.divisions = divided.divisions;
    Ok(divided.clusters)
}

fn result(outcome: &Outcome) -> AttemptResult {
    match outcome {
        Outcome::NoFit { message } => AttemptResult::NoFit {
            message: message.clone(),
        },
        Outcome::Unschedulable { message, .. } => AttemptResult::Unschedulable {
            message: message.clone(),
        },
        Outcome::Needs { .. } => AttemptResult::Needs,
        Outcome::Unchanged | Outcome::Decided { .. } | Outcome::Unsupported { .. } => {
            AttemptResult::Decided
        }
    }
}
