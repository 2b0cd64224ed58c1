//! What scheduling says about itself: why it decided at all, what each plugin said about each
//! cluster, and the arithmetic of the division. Small values that the command line shows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The whole account of one decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Why it decided, or why not.
    pub trigger: Trigger,
    /// One run per affinity term tried, in order.
    pub attempts: Vec<Attempt>,
}

impl Report {
    pub(super) fn new(trigger: Trigger) -> Self {
        Self {
            trigger,
            attempts: Vec::new(),
        }
    }
}

/// Why a decision was made, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "code")]
pub enum Trigger {
    /// Not decided: the binding has no placement.
    NoPlacement,
    /// Not decided: scheduling is suspended.
    Suspended,
    /// Not decided: nothing that matters changed.
    NothingChanged,
    /// The placement differs from the one last applied.
    PlacementChanged,
    /// The replicas of the result do not add up to what is wanted.
    ReplicasChanged,
    /// A person asked for a fresh placement.
    RescheduleTriggered,
    /// The result holds for every cluster that fits, so it is always computed.
    AlwaysDecided,
    /// Clusters of the result are gone or going.
    TargetsGone {
        /// Their names.
        clusters: Vec<String>,
    },
}

impl Trigger {
    /// Whether a decision is made.
    #[must_use]
    pub fn decides(&self) -> bool {
        !matches!(
            self,
            Self::NoPlacement | Self::Suspended | Self::NothingChanged
        )
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPlacement => "not decided: the binding has no placement",
            Self::Suspended => "not decided: scheduling is suspended",
            Self::NothingChanged => "not decided: nothing that matters changed",
            Self::PlacementChanged => "decided: the placement changed",
            Self::ReplicasChanged => "decided: the replicas wanted changed",
            Self::RescheduleTriggered => "decided: a fresh placement was asked for",
            Self::AlwaysDecided => "decided: goes to every cluster that fits",
            Self::TargetsGone { clusters } => {
                return write!(f, "decided: gone or going: {}", clusters.join(", "));
            }
        })
    }
}

/// One run over all clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Affinity term tried; empty when the placement has none.
    pub affinity_name: String,
    /// What the filters said, one per cluster, sorted by name.
    pub verdicts: Vec<Verdict>,
    /// How replicas were divided; absent when they were not.
    pub division: Option<Division>,
    /// How the run ended.
    pub result: AttemptResult,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "code")]
pub enum AttemptResult {
    /// With a result.
    Decided,
    /// No cluster fits.
    NoFit {
        /// Text of the condition.
        message: String,
    },
    /// Clusters fit but cannot take it.
    Unschedulable {
        /// Text of the condition.
        message: String,
    },
    /// Estimates are needed first.
    Needs,
}

/// What the filters said about one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Name of the cluster.
    pub cluster: String,
    /// Every reason against it, in the order of the plugins; empty = it fits.
    pub rejections: Vec<Rejection>,
}

impl Verdict {
    /// Whether the cluster fits.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.rejections.is_empty()
    }
}

/// One reason against a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Name of the plugin; empty when no plugin was asked.
    pub plugin: Cow<'static, str>,
    /// What kind of reason.
    pub code: Code,
    /// Text as in the Scheduled condition.
    pub text: Cow<'static, str>,
}

/// Kinds of reasons against a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    /// The cluster is being deleted.
    Deleting,
    /// The affinity in force does not accept it.
    AffinityMismatch,
    /// The workload is being moved away from it.
    Evicting,
    /// It has a taint that is not tolerated.
    UntoleratedTaint,
    /// It does not serve the template's kind.
    ApiNotServed,
    /// It lacks a property that replicas are spread by.
    PropertyMissing,
}

/// The arithmetic of a division.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Division {
    /// The rule.
    pub kind: DivisionKind,
    /// Replicas to give out.
    pub replicas: i32,
    /// Whether a draw goes to the later name (it depends on the template's UID).
    pub later_name_wins: bool,
    /// Who got what, sorted by name; clusters without a weight are listed with 0.
    pub seats: Vec<Seat>,
}

/// The rule of a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DivisionKind {
    /// Every cluster gets all replicas.
    Duplicated,
    /// By weights that the placement states.
    StaticWeight,
    /// Not divided: the kind has no replicas, or several components.
    Undivided,
}

/// One cluster's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Name of the cluster.
    pub cluster: String,
    /// Its weight.
    pub weight: i64,
    /// Replicas it gets.
    pub replicas: i32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.trigger)?;
        self.attempts.iter().try_for_each(|a| a.fmt(f))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.affinity_name.is_empty() {
            writeln!(f, "affinity term {}", self.affinity_name)?;
        }
        self.verdicts.iter().try_for_each(|v| v.fmt(f))?;
        if let Some(division) = &self.division {
            division.fmt(f)?;
        }
        match &self.result {
            AttemptResult::Decided => Ok(()),
            AttemptResult::NoFit { message } | AttemptResult::Unschedulable { message } => {
                writeln!(f, "{message}")
            }
            AttemptResult::Needs => writeln!(f, "waiting for estimates"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fits() {
            return writeln!(f, "  {}: fits", self.cluster);
        }
        for rejection in &self.rejections {
            match rejection.plugin.as_ref() {
                "" => writeln!(f, "  {}: {}", self.cluster, rejection.text)?,
                plugin => writeln!(f, "  {}: {} [{plugin}]", self.cluster, rejection.text)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DivisionKind::Undivided => return writeln!(f, "not divided"),
            DivisionKind::Duplicated => {
                return writeln!(f, "{} replicas in every cluster", self.replicas);
            }
            DivisionKind::StaticWeight => {
                writeln!(f, "{} replicas by static weight", self.replicas)?;
            }
        }
        for seat in &self.seats {
            let Seat {
                cluster,
                weight,
                replicas,
            } = seat;
            writeln!(f, "  {cluster}: weight {weight} -> {replicas}")?;
        }
        let mut equal: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
        for seat in &self.seats {
            equal.entry(seat.weight).or_default().push(seat.replicas);
        }
        let drawn = equal.values().any(|r| r.iter().min() != r.iter().max());
        match (drawn, self.later_name_wins) {
            (false, _) => Ok(()),
            (true, true) => writeln!(f, "  a draw goes to the later name"),
            (true, false) => writeln!(f, "  a draw goes to the earlier name"),
        }
    }
}
