//! Invariants of any decision. Tests run them after every plan; in production a violation is
//! counted. Never changes a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::api::TargetCluster;
use crate::matching::{Claim, MatchReport, MatchVerdict};
use crate::schedule::{
    Attempt, AttemptResult, Division, DivisionKind, Outcome, Report, ScheduleView, Verdict,
};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The result names a cluster twice.
    DuplicateCluster(String),
    /// The result names a cluster that no filter saw.
    UnknownCluster(String),
    /// The result names a cluster that a filter rejected.
    RejectedClusterSelected(String),
    /// A cluster that fits neither takes part nor is left out with a reason.
    UnexplainedCluster(String),
    /// A share is negative.
    NegativeReplicas(String),
    /// Divided replicas do not add up.
    ReplicasNotConserved {
        /// Replicas wanted.
        wanted: i64,
        /// Replicas given out.
        given: i64,
    },
    /// A cluster has no verdict, or more than one.
    VerdictCount(String),
    /// A reason against a cluster has no text.
    SilentRejection(String),
    /// The report's last run and the outcome say different things.
    ReportDisagrees,
    /// Not exactly the claiming policy is reported as the winner.
    ClaimDisagrees,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateCluster(name) => write!(f, "cluster {name} is in the result twice"),
            Self::UnknownCluster(name) => write!(f, "cluster {name} was never filtered"),
            Self::RejectedClusterSelected(name) => write!(f, "rejected cluster {name} was chosen"),
            Self::UnexplainedCluster(name) => write!(f, "cluster {name} fits and is ignored"),
            Self::NegativeReplicas(name) => write!(f, "cluster {name} gets negative replicas"),
            Self::ReplicasNotConserved { wanted, given } => {
                write!(f, "{given} replicas given out, {wanted} wanted")
            }
            Self::VerdictCount(name) => write!(f, "cluster {name} has not exactly one verdict"),
            Self::SilentRejection(name) => write!(f, "cluster {name} was rejected without a text"),
            Self::ReportDisagrees => write!(f, "report and outcome disagree"),
            Self::ClaimDisagrees => write!(f, "claim and report disagree"),
        }
    }
}

/// Invariants of a scheduling decision that do not hold.
#[must_use]
pub fn schedule(view: &ScheduleView<'_>, outcome: &Outcome, report: &Report) -> Vec<Violation> {
    let mut violations = Vec::new();
    for attempt in &report.attempts {
        check_verdicts(view, &attempt.verdicts, &mut violations);
    }
    let last = report.attempts.last();
    let Outcome::Decided { clusters, .. } = outcome else {
        if last.is_some_and(|a| a.result == AttemptResult::Decided) {
            violations.push(Violation::ReportDisagrees);
        }
        return violations;
    };
    let Some(last) = last.filter(|a| a.result == AttemptResult::Decided) else {
        violations.push(Violation::ReportDisagrees);
        return violations;
    };
    check_targets(clusters, &last.verdicts, &mut violations);
    check_divisions(view, clusters, &last.divisions, &mut violations);
    check_selection(clusters, last, &mut violations);
    violations
}

fn check_verdicts(view: &ScheduleView<'_>, verdicts: &[Verdict], violations: &mut Vec<Violation>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(&verdict.cluster).or_default() += 1;
        if verdict.rejections.iter().any(|r| r.text.is_empty()) {
            violations.push(Violation::SilentRejection(verdict.cluster.clone()));
        }
    }
    for cluster in view.clusters {
        let name = &cluster.metadata.name;
        if counts.get(name.as_str()) != Some(&1) {
            violations.push(Violation::VerdictCount(name.clone()));
        }
    }
}

fn check_targets(
    clusters: &[TargetCluster],
    verdicts: &[Verdict],
    violations: &mut Vec<Violation>,
) {
    let fits: BTreeMap<&str, bool> = verdicts
        .iter()
        .map(|v| (v.cluster.as_str(), v.fits()))
        .collect();
    let mut seen = BTreeSet::new();
    for target in clusters {
        let name = || target.name.clone();
        if !seen.insert(target.name.as_str()) {
            violations.push(Violation::DuplicateCluster(name()));
        }
        match fits.get(target.name.as_str()) {
            None => violations.push(Violation::UnknownCluster(name())),
            Some(false) => violations.push(Violation::RejectedClusterSelected(name())),
            Some(true) => {}
        }
        if target.replicas < 0 {
            violations.push(Violation::NegativeReplicas(name()));
        }
    }
}

fn check_divisions(
    view: &ScheduleView<'_>,
    clusters: &[TargetCluster],
    divisions: &[Division],
    violations: &mut Vec<Violation>,
) {
    let each = i64::from(view.spec.replicas);
    let wanted = match divisions.first().map(|d| (d.kind, d.seats.len())) {
        None => {
            violations.push(Violation::ReportDisagrees);
            return;
        }
        Some((DivisionKind::Undivided, _)) => 0,
        Some((DivisionKind::Duplicated, seats)) => each * seats as i64,
        Some(_) => each,
    };
    let given = clusters.iter().map(|c| i64::from(c.replicas)).sum();
    if given != wanted {
        violations.push(Violation::ReplicasNotConserved { wanted, given });
    }
    let shares: BTreeMap<&str, i32> = divisions
        .iter()
        .flat_map(|d| &d.seats)
        .map(|s| (s.cluster.as_str(), s.replicas))
        .collect();
    let differs = |target: &TargetCluster| {
        let share = shares.get(target.name.as_str()).copied();
        share.unwrap_or(0) != target.replicas
    };
    if clusters.iter().any(differs) {
        violations.push(Violation::ReportDisagrees);
    }
}

/// Every cluster that fits either takes part in the division or is left out with a reason.
fn check_selection(clusters: &[TargetCluster], last: &Attempt, violations: &mut Vec<Violation>) {
    let left_out: BTreeSet<&str> = last
        .selection
        .left_out
        .iter()
        .map(|l| l.cluster.as_str())
        .collect();
    for target in clusters {
        if left_out.contains(target.name.as_str()) {
            violations.push(Violation::RejectedClusterSelected(target.name.clone()));
        }
    }
    let seats = last.divisions.iter().flat_map(|d| &d.seats);
    let seated: BTreeSet<&str> = seats.map(|s| s.cluster.as_str()).collect();
    for verdict in last.verdicts.iter().filter(|v| v.fits()) {
        let name = verdict.cluster.as_str();
        if seated.contains(name) == left_out.contains(name) {
            violations.push(Violation::UnexplainedCluster(name.to_owned()));
        }
    }
}

/// Invariants of a matching decision that do not hold.
#[must_use]
pub fn matching(claim: &Claim, report: &MatchReport) -> Vec<Violation> {
    let winners: Vec<_> = report
        .candidates
        .iter()
        .filter(|c| matches!(c.verdict, MatchVerdict::Won | MatchVerdict::Kept))
        .map(|c| &c.policy)
        .collect();
    let agrees = match claim {
        Claim::Policy(policy) => winners == [policy],
        Claim::None | Claim::Ignored(_) => winners.is_empty(),
    };
    if agrees {
        Vec::new()
    } else {
        vec![Violation::ClaimDisagrees]
    }
}
