//! What the members say about one template, folded into its binding's status and its own.
//!
//! Rebuildable from agents at any time, hence written off the path and coalesced: at once for few
//! clusters, the slower the more there are. What a cluster said before is kept until it says something
//! else: a hub that just started erases nothing. Never changes a decision.

mod patch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_policy::api::{AggregatedStatusItem, BindingStatus, set_condition};
use flotilla_policy::interpret;
use flotilla_proto::convert::object::health_word;
use flotilla_proto::ids::WorkId;

use super::driver::{Controller, Moment, Planned};
use super::writes::Write;
use crate::fleet::reports::{Reports, WorkReport};
use crate::fleet::share::ClusterName;
use crate::front_door::index::{Index, StatusView};
use crate::front_door::keys::BindingKey;

/// The first reports of a new work's clusters come together; one write says them all.
const FIRST_REPORTS_GATHER: Duration = Duration::from_millis(500);
/// The garbage collector follows a deleted template within this; only then is one missing.
const MISSING_GRACE: Duration = Duration::from_secs(30);
/// Statuses of one binding beyond this are dropped, and a condition says so.
const STATUS_BYTES_MAX: usize = 256 << 10;
/// Changes of a binding over more clusters than these are gathered for so long.
const WINDOWS: [(usize, Duration); 2] = [
    (500, Duration::from_secs(10)),
    (100, Duration::from_secs(1)),
];

/// The aggregation controller.
pub struct Aggregation {
    index: Arc<Index>,
    reports: Arc<Reports>,
}

impl Aggregation {
    /// Over the index and the agents' reports.
    #[must_use]
    pub fn new(index: Arc<Index>, reports: Arc<Reports>) -> Self {
        Self { index, reports }
    }
}

impl Controller for Aggregation {
    type Key = BindingKey;
    const NAME: &'static str = "aggregation";

    fn take(&self) -> BTreeSet<BindingKey> {
        let mut keys = self.index.take_status();
        let works = self.reports.take_works();
        let places = works
            .into_iter()
            .filter_map(|(_, id)| self.index.place_of(id));
        keys.extend(places.map(|(key, _)| key));
        keys
    }

    fn plan(&self, key: &BindingKey, moment: &Moment) -> Planned {
        let Some(view) = self.index.status_view(key) else {
            return Planned::Nothing;
        };
        let said = |cluster: &str, id: WorkId| self.reports.get(&ClusterName::new(cluster), id);
        plan(&view, &said, moment)
    }
}

/// Plans about one binding; `said` is the last report of a work.
#[must_use]
pub fn plan(
    view: &StatusView,
    said: &dyn Fn(&str, WorkId) -> Option<WorkReport>,
    moment: &Moment,
) -> Planned {
    if view.binding.is_deleting() {
        return Planned::Nothing;
    }
    let (items, waiting) = items(view, said);
    // A decision whose write was not read back yet is about to be: one write says it all.
    let generation = view.binding.object.metadata.generation;
    let decision = view.decision.as_ref();
    let unread = decision.is_some_and(|d| d.observed_generation != generation);
    let window = window(items.len(), waiting || unread);
    let held = &view.binding.object.status;
    let mut wanted = held.clone();
    take_over_decision(view, &mut wanted);
    wanted.aggregated_status = items;
    let truncated = truncate(&mut wanted);
    let is_said = wanted
        .conditions
        .iter()
        .any(|c| c.type_ == "TemplateMissing");
    let grace = MISSING_GRACE.saturating_sub(moment.waited);
    let is_missing = view.is_missing && (is_said || grace.is_zero());
    set_conditions(view, &mut wanted, (truncated, is_missing), &moment.now);
    let mut writes = Vec::new();
    if wanted != *held {
        let mut object = view.binding.object.clone();
        object.status = wanted.clone();
        // A status of our own types is always JSON.
        if let Ok(object) = serde_json::to_value(object) {
            writes.push(Write::ReplaceStatus(view.binding.key.door_key(), object));
        }
    }
    writes.extend(template_status(view, &wanted, &moment.now));
    match writes {
        writes if writes.is_empty() && view.is_missing && !is_missing => Planned::Later(grace),
        writes if writes.is_empty() => Planned::Nothing,
        _ if moment.waited < window => Planned::Later(window - moment.waited),
        writes => Planned::Write(writes),
    }
}

/// One item per target, in the order of names; and whether a target has never said anything.
fn items(
    view: &StatusView,
    said: &dyn Fn(&str, WorkId) -> Option<WorkReport>,
) -> (Vec<AggregatedStatusItem>, bool) {
    let held = &view.binding.object.status.aggregated_status;
    let mut waiting = false;
    let mut items = Vec::new();
    for (cluster, work) in &view.works {
        let report = work.and_then(|id| said(cluster, id));
        let before = held.iter().find(|item| item.cluster_name == *cluster);
        match (report, before) {
            (Some(report), _) => items.push(item(cluster, report)),
            (None, Some(before)) => items.push(before.clone()),
            (None, None) => waiting = true,
        }
    }
    (items, waiting)
}

fn item(cluster: &str, report: WorkReport) -> AggregatedStatusItem {
    AggregatedStatusItem {
        cluster_name: cluster.to_owned(),
        status: report.status,
        applied: report.applied,
        applied_message: report.message,
        health: health_word(report.health).to_owned(),
    }
}

fn window(clusters: usize, waiting: bool) -> Duration {
    let wide = WINDOWS.iter().find(|(more_than, _)| clusters > *more_than);
    let wide = wide.map_or(Duration::ZERO, |(_, window)| *window);
    if waiting {
        wide.max(FIRST_REPORTS_GATHER)
    } else {
        wide
    }
}

/// What placement said last: the generation it stands for, the affinity term, the time.
fn take_over_decision(view: &StatusView, status: &mut BindingStatus) {
    let Some(decision) = &view.decision else {
        return;
    };
    if let Some(generation) = decision.observed_generation {
        status.scheduler_observed_generation = generation;
    }
    if let Some(name) = &decision.affinity_name {
        status.scheduler_observed_affinity_name.clone_from(name);
    }
    if let Some(at) = &decision.scheduled_at {
        status.last_scheduled_time = Some(at.clone());
    }
}

/// Drops raw statuses while they are too large together; says whether it did.
fn truncate(status: &mut BindingStatus) -> bool {
    let bytes =
        |item: &AggregatedStatusItem| item.status.as_ref().map_or(0, |s| s.to_string().len());
    let total: usize = status.aggregated_status.iter().map(bytes).sum();
    if total <= STATUS_BYTES_MAX {
        return false;
    }
    for item in &mut status.aggregated_status {
        item.status = None;
    }
    true
}

fn set_conditions(
    view: &StatusView,
    status: &mut BindingStatus,
    (truncated, is_missing): (bool, bool),
    now: &str,
) {
    if let Some(condition) = view.decision.as_ref().and_then(|d| d.condition.as_ref()) {
        let said = (
            condition.status,
            condition.reason,
            condition.message.as_str(),
        );
        set_condition(&mut status.conditions, "Scheduled", said, now);
    }
    let applied = |name: &String| {
        let items = &status.aggregated_status;
        items.iter().any(|i| i.cluster_name == *name && i.applied)
    };
    let missing: Vec<_> = view
        .works
        .keys()
        .filter(|name| !applied(name))
        .cloned()
        .collect();
    if !view.works.is_empty() {
        let (said, text) = if missing.is_empty() {
            (
                ("True", "FullyAppliedSuccess"),
                "All works have been successfully applied".to_owned(),
            )
        } else {
            let names = missing.join(", ");
            (
                ("False", "FullyAppliedFailed"),
                format!("not applied in: {names}; see aggregatedStatus"),
            )
        };
        let said = (said.0, said.1, text.as_str());
        set_condition(&mut status.conditions, "FullyApplied", said, now);
    }
    let template = &view.binding.template;
    let missing = format!("{template} is not at the front door; what runs in the members stays");
    set_while(status, is_missing, ("TemplateMissing", &missing), now);
    let text = "raw statuses are too large together and were left out of aggregatedStatus";
    set_while(status, truncated, ("StatusTruncated", text), now);
}

/// A condition that is there only while it holds.
fn set_while(status: &mut BindingStatus, holds: bool, (type_, message): (&str, &str), now: &str) {
    if holds {
        set_condition(&mut status.conditions, type_, ("True", type_, message), now);
    } else {
        status.conditions.retain(|c| c.type_ != type_);
    }
}

/// The members' statuses as the template's own, for kinds that have such a thing.
fn template_status(view: &StatusView, status: &BindingStatus, now: &str) -> Option<Write> {
    let template = view.template.as_deref()?;
    let items = &status.aggregated_status;
    if items.is_empty() && template.status.is_none() {
        return None;
    }
    let source = &view.binding.object.spec.resource.uid;
    if template.deleting || *source != template.uid {
        return None;
    }
    let delivered = template.delivered_generation(&view.binding);
    let object = template.to_object(delivered)?;
    let mut wanted = match interpret::aggregate(&object, items, now) {
        Ok(wanted) => wanted?,
        Err(error) => {
            tracing::warn!(template = %template.key, %error, "statuses cannot be aggregated");
            return None;
        }
    };
    // Members have caught up with the body; that marks moved the generation since is none of theirs.
    if wanted["observedGeneration"] == delivered && delivered > 0 {
        wanted["observedGeneration"] = template.generation.into();
    }
    let held = template.status.clone().unwrap_or_default();
    let changes = patch::merge_patch(&held, &wanted)?;
    Some(Write::Patch {
        gvk: template.gvk.clone(),
        key: template.key.clone(),
        status: true,
        patch: serde_json::json!({"status": changes}),
    })
}
