//! Where a template goes and how many replicas each cluster gets: filter, choose, divide.
//!
//! `schedule` first says whether there is a reason to decide at all (an unchanged binding stays as
//! it is, even if clusters changed labels or taints), then tries the affinity terms in order, never
//! going back to an earlier one except when a person asks for a fresh placement. Pure: estimates
//! are recorded inputs, and where they lack the outcome names what is needed.

mod attempt;
pub mod candidate;
pub mod divide;
mod filter;
mod plugins;
mod registry;
mod report;
pub mod select;
mod time;
mod trigger;

pub use filter::{no_fit_message, verdicts};
pub use registry::{FILTERS, FilterPlugin};
pub use report::{
    Attempt, AttemptResult, Code, Division, DivisionKind, LeftOut, Mode, Rejection, Report, Seat,
    Selection, Trigger, Verdict,
};

use std::collections::BTreeMap;

use crate::api::{BindingSpec, BindingStatus, Cluster, Placement, TargetCluster};

/// Message of the Scheduled condition of a binding that was decided.
pub const SCHEDULED_MESSAGE: &str = "Binding has been scheduled successfully.";

/// Everything a decision reads.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleView<'a> {
    /// The binding's spec; its `clusters` are the previous result.
    pub spec: &'a BindingSpec,
    /// The binding's status: the affinity term in force and the time of the last decision.
    pub status: &'a BindingStatus,
    /// The placement the previous result was decided for; none = never decided.
    pub applied_placement: Option<&'a Placement>,
    /// All clusters, in any order.
    pub clusters: &'a [&'a Cluster],
    /// Replicas that would fit, by cluster; none = not asked yet. A cluster that is absent cannot
    /// say and is taken to hold all.
    pub estimates: Option<&'a BTreeMap<String, i32>>,
    /// Choices of the installation.
    pub options: ScheduleOptions,
}

/// Choices of the installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleOptions {
    /// Also place the template in candidates that get no replica.
    pub empty_workload_propagation: bool,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to decide: the previous result stands.
    Unchanged,
    /// The new result, sorted by name. It may equal the previous one.
    Decided {
        /// Clusters and their replicas.
        clusters: Vec<TargetCluster>,
        /// Affinity term used; empty when the placement has none.
        affinity_name: String,
    },
    /// No cluster fits: the result becomes empty, nothing is tried again until something changes.
    NoFit {
        /// Text of the Scheduled condition.
        message: String,
    },
    /// Clusters fit but cannot take it: the previous result stands and it is tried again.
    Unschedulable {
        /// Reason of the Scheduled condition: `Unschedulable` or `SchedulerError`.
        reason: &'static str,
        /// Text of the Scheduled condition.
        message: String,
    },
    /// The placement uses what is not built yet: the previous result stands.
    Unsupported {
        /// Fields of the placement, sorted.
        fields: Vec<&'static str>,
    },
    /// Replicas that would fit are needed first, for these clusters.
    Needs {
        /// Names of the clusters, sorted.
        clusters: Vec<String>,
    },
}

/// The Scheduled condition that an outcome asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledCondition {
    /// `True` or `False`.
    pub status: &'static str,
    /// CamelCase reason.
    pub reason: &'static str,
    /// Text for people.
    pub message: String,
}

impl Outcome {
    /// The Scheduled condition; none where the one that stands is kept. A caller that is about to
    /// get the estimates keeps it for `Needs` too.
    #[must_use]
    pub fn condition(&self) -> Option<ScheduledCondition> {
        let (status, reason, message) = match self {
            Self::Unchanged => return None,
            Self::Decided { .. } => ("True", "Success", SCHEDULED_MESSAGE.to_owned()),
            Self::NoFit { message } => ("False", "NoClusterFit", message.clone()),
            Self::Unschedulable { reason, message } => ("False", *reason, message.clone()),
            Self::Needs { clusters } => (
                "False",
                "Unschedulable",
                format!("waiting for estimates of {}", clusters.join(", ")),
            ),
            Self::Unsupported { fields } => (
                "False",
                "SchedulerError",
                format!("not supported yet: {}", fields.join(", ")),
            ),
        };
        Some(ScheduledCondition {
            status,
            reason,
            message,
        })
    }
}

/// Decides where the binding's template goes.
#[must_use]
pub fn schedule(view: &ScheduleView<'_>) -> (Outcome, Report) {
    let trigger = trigger::reason_to_decide(view);
    let mut report = Report::new(trigger);
    let outcome = match view.spec.placement.as_ref() {
        Some(placement) if report.trigger.decides() => attempt::run(view, placement, &mut report),
        _ => Outcome::Unchanged,
    };
    (outcome, report)
}
