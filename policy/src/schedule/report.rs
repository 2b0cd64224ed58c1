//! What scheduling says about itself: why it decided at all, what each plugin said about each
//! cluster, and the arithmetic of the division. Small values that the command line shows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::select::Region;

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
    /// It was never decided before.
    NeverDecided,
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
            Self::NeverDecided => "decided: for the first time",
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
    /// Which of the clusters that fit were not chosen; empty where all are used.
    pub selection: Selection,
    /// How replicas were divided, one per overflow tier; empty when the run did not get there.
    pub divisions: Vec<Division>,
    /// How the run ended.
    pub result: AttemptResult,
}

impl Attempt {
    pub(super) fn new(affinity_name: &str) -> Self {
        Self {
            affinity_name: affinity_name.to_owned(),
            verdicts: Vec::new(),
            selection: Selection::default(),
            divisions: Vec::new(),
            result: AttemptResult::Decided,
        }
    }
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
    /// It fits, but its region is not used.
    RegionLeftOut,
    /// It fits, but enough clusters are used already.
    EnoughClusters,
}

/// What spread constraints did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Clusters that fit and are not used, sorted by name.
    pub left_out: Vec<LeftOut>,
    /// Regions, sorted by name; empty unless regions are chosen.
    pub regions: Vec<Region>,
}

/// A cluster that fits and is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Name of the cluster.
    pub cluster: String,
    /// Why.
    pub code: Code,
}

/// The arithmetic of a division.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Division {
    /// The rule.
    pub kind: DivisionKind,
    /// What was divided, where the rule looks at room.
    pub mode: Option<Mode>,
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
    /// By room.
    DynamicWeight,
    /// By room, among as few clusters as can hold all.
    Aggregated,
    /// Not divided: the kind has no replicas, or several components.
    Undivided,
}

/// What a division by room divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Nothing: the previous result has the right sum.
    Unchanged,
    /// What is added, by room.
    ScaleUp,
    /// All, by the previous result.
    ScaleDown,
    /// All, by room, as if nothing were placed.
    Fresh,
    /// Nothing: earlier tiers hold all.
    NotReached,
}

/// One cluster's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Name of the cluster.
    pub cluster: String,
    /// Its weight; 0 = it did not take part.
    pub weight: i64,
    /// Replicas it kept whatever the division.
    pub kept: i32,
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
        self.selection.fmt(f)?;
        self.divisions.iter().try_for_each(|d| d.fmt(f))?;
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

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for region in &self.regions {
            let Region { name, score, .. } = region;
            let used = if region.chosen { "used" } else { "not used" };
            writeln!(f, "  region {name}: score {score}, {used}")?;
        }
        for left_out in &self.left_out {
            let why = match left_out.code {
                Code::RegionLeftOut => "its region is not used",
                _ => "enough clusters are used",
            };
            writeln!(f, "  {}: not chosen, {why}", left_out.cluster)?;
        }
        Ok(())
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replicas = self.replicas;
        match self.kind {
            DivisionKind::Undivided => return writeln!(f, "not divided"),
            DivisionKind::Duplicated => return writeln!(f, "{replicas} replicas in every cluster"),
            DivisionKind::StaticWeight => write!(f, "{replicas} replicas by static weight")?,
            DivisionKind::DynamicWeight => write!(f, "{replicas} replicas by room")?,
            DivisionKind::Aggregated => write!(f, "{replicas} replicas by room in few clusters")?,
        }
        match self.mode {
            None => writeln!(f)?,
            Some(Mode::Unchanged) => writeln!(f, ": as before")?,
            Some(Mode::ScaleUp) => writeln!(f, ": what is added")?,
            Some(Mode::ScaleDown) => writeln!(f, ": all, in proportion to before")?,
            Some(Mode::Fresh) => writeln!(f, ": all afresh")?,
            Some(Mode::NotReached) => writeln!(f, ": earlier tiers hold all")?,
        }
        self.seats.iter().try_for_each(|seat| seat.fmt(f))?;
        match (self.has_draw(), self.later_name_wins) {
            (false, _) => Ok(()),
            (true, true) => writeln!(f, "  a draw goes to the later name"),
            (true, false) => writeln!(f, "  a draw goes to the earlier name"),
        }
    }
}

impl Division {
    /// Whether equal weights got unequal shares.
    fn has_draw(&self) -> bool {
        let mut shares: BTreeMap<i64, BTreeSet<i32>> = BTreeMap::new();
        for seat in self.seats.iter().filter(|seat| seat.weight > 0) {
            let share = seat.replicas - seat.kept;
            shares.entry(seat.weight).or_default().insert(share);
        }
        shares.values().any(|shares| shares.len() > 1)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            weight,
            kept,
            replicas,
        } = self;
        match kept {
            0 => writeln!(f, "  {cluster}: weight {weight} -> {replicas}"),
            kept => {
                let more = replicas - kept;
                writeln!(
                    f,
                    "  {cluster}: weight {weight} -> {kept} + {more} = {replicas}"
                )
            }
        }
    }
}
