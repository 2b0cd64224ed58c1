//! Which policy holds a template and where it goes: policy's decisions, written as one binding.
//!
//! One write per decision: the binding with its clusters already set, what was dropped remembered in
//! the same write. Claim marks on the template and events follow off the path. A template that is
//! not there takes nothing away; a binding that is being deleted leaves a Removal behind.

mod draft;
mod namespaces;
mod removal;
mod spec;
mod why;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_policy::api::{Cluster, PropagationPolicy, ResourceBinding, support};
use flotilla_policy::assigning::Conflict;
use flotilla_policy::matching::{Claim, PolicyRef, PolicyView, Scope, claim, claim_of};
use flotilla_policy::model::manifest;
use flotilla_policy::schedule::{
    Outcome, Report, ScheduleOptions, ScheduleView, ScheduledCondition, schedule,
};

use super::driver::{Controller, Moment, Planned};
use super::writes::{Note, Write};
use crate::front_door::binding::Binding;
use crate::front_door::index::{Decision, Index, PlacementView, is_draining};
use crate::front_door::keys::{BindingKey, TemplateKey};
use crate::front_door::template::Template;

use draft::Draft;

pub use draft::binding_names;

/// Acknowledgements of many clusters come together; one write strikes them all.
const STRIKE_GATHER: Duration = Duration::from_millis(50);
/// Claim marks on a template are for people and tools: they wait until the members have their share,
/// so that their write does not compete with the path, and a template that is gone by then costs none.
const MARKS_WAIT: Duration = Duration::from_millis(200);

/// The placement controller.
pub struct Placement {
    index: Arc<Index>,
}

impl Placement {
    /// Over the index.
    #[must_use]
    pub fn new(index: Arc<Index>) -> Self {
        Self { index }
    }
}

impl Controller for Placement {
    type Key = TemplateKey;
    const NAME: &'static str = "placement";

    fn take(&self) -> BTreeSet<TemplateKey> {
        self.index.take_placement()
    }

    fn plan(&self, key: &TemplateKey, moment: &Moment) -> Planned {
        let view = self.index.placement_view(key);
        let plan = plan(&view, moment);
        if let Some((key, news)) = plan.decision {
            let held = self.index.decision(&key).unwrap_or_default();
            self.index.decide(&key, news.over(held));
        }
        if !plan.writes.is_empty() && moment.waited < plan.wait {
            return Planned::Later(plan.wait - moment.waited);
        }
        match plan.writes {
            writes if writes.is_empty() => Planned::Nothing,
            writes => Planned::Write(writes),
        }
    }
}

impl Decision {
    /// What is said anew, over what was said before.
    fn over(self, held: Self) -> Self {
        Self {
            observed_generation: self.observed_generation,
            condition: self.condition.or(held.condition),
            affinity_name: self.affinity_name.or(held.affinity_name),
            scheduled_at: self.scheduled_at.or(held.scheduled_at),
            is_renamed: self.is_renamed,
        }
    }
}

/// What is to be done about one template.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes, those on the path first.
    pub writes: Vec<Write>,
    /// What is said about the binding.
    pub decision: Option<(BindingKey, Decision)>,
    /// How long the writes may wait for more to come: zero for what a member waits for.
    pub wait: Duration,
}

/// Plans about one template.
#[must_use]
pub fn plan(view: &PlacementView, moment: &Moment) -> Plan {
    let binding = view.binding.as_deref();
    if let Some(binding) = binding.filter(|b| b.is_deleting()) {
        return removal::plan(view, binding);
    }
    let Some(template) = view.template.as_deref() else {
        return binding.map_or_else(Plan::default, |b| left_behind(view, b));
    };
    // Its binding goes first.
    if let Some(binding) = binding.filter(|b| b.object.spec.resource.uid != template.uid) {
        return left_behind(view, binding);
    }
    if binding.is_none() && (template.deleting || view.is_namespace_deleting) {
        return Plan::default();
    }
    let standing = binding.and_then(Binding::claim).or_else(|| {
        let head = &template.head;
        claim_of(&manifest::labels(head), &manifest::annotations(head))
    });
    let policies = PolicyView {
        propagation: &refs(&view.policies),
        cluster: &refs(&view.cluster_policies),
    };
    let (claim, _) = claim(&template.head, standing.as_ref(), &policies);
    match claim {
        Claim::Policy(policy) => match find(view, &policy) {
            Some(found) => claimed(view, template, &policy, &found, moment),
            None => Plan::default(),
        },
        Claim::None | Claim::Ignored(_) if namespaces::is_spread(template) => {
            namespaces::plan(view, template, moment)
        }
        Claim::None | Claim::Ignored(_) => unclaimed(view, template),
    }
}

fn refs(policies: &[Arc<PropagationPolicy>]) -> Vec<&PropagationPolicy> {
    policies.iter().map(AsRef::as_ref).collect()
}

fn find(view: &PlacementView, policy: &PolicyRef) -> Option<Arc<PropagationPolicy>> {
    let table = match policy.scope {
        Scope::Namespaced => &view.policies,
        Scope::Cluster => &view.cluster_policies,
    };
    let found = table.iter().find(|p| p.metadata.name == policy.name);
    found.cloned()
}

/// The binding of a template that is not there. Seen to be deleted, it takes its binding with it: what
/// the garbage collector would do, without its wait for new kinds and its slow way through many. Not
/// seen, or with the owner taken off to orphan the binding, it takes nothing away.
fn left_behind(view: &PlacementView, binding: &Binding) -> Plan {
    if !view.is_deletion_seen || !binding.is_owned() {
        return keep(view, binding);
    }
    let metadata = &binding.object.metadata;
    Plan {
        writes: vec![Write::Delete {
            key: binding.key.door_key(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
        }],
        ..Plan::default()
    }
}

/// The binding as it stands, without what was acknowledged or detached.
fn keep(view: &PlacementView, binding: &Binding) -> Plan {
    let draft = Draft::of(view, binding);
    let written = draft.write(None);
    let strikes = !written.is_empty();
    Plan {
        decision: written.is_empty().then(|| observed(binding)),
        writes: written,
        wait: strike_wait(strikes),
    }
}

fn observed(binding: &Binding) -> (BindingKey, Decision) {
    let decision = Decision {
        observed_generation: binding.object.metadata.generation,
        ..Decision::default()
    };
    (binding.key.clone(), decision)
}

/// No policy holds the template: marks go, binding and workloads stay.
fn unclaimed(view: &PlacementView, template: &Template) -> Plan {
    let marks = draft::template_patch(template, &draft::no_marks());
    let Some(binding) = view.binding.as_deref() else {
        return Plan {
            writes: marks.into_iter().collect(),
            ..Plan::default()
        };
    };
    let mut draft = Draft::of(view, binding);
    let was_claimed = draft.set_marks(&draft::no_marks());
    let mut writes = draft.write(None);
    let decision = writes.is_empty().then(|| observed(binding));
    let is_strike_only = !writes.is_empty() && !was_claimed;
    writes.extend(marks);
    Plan {
        writes,
        decision,
        wait: strike_wait(is_strike_only),
    }
}

/// A policy holds the template.
fn claimed(
    view: &PlacementView,
    template: &Template,
    policy: &PolicyRef,
    found: &PropagationPolicy,
    moment: &Moment,
) -> Plan {
    let mut draft = Draft::for_template(view, template);
    let marks = flotilla_policy::matching::claim_marks(policy);
    draft.set_marks(&marks);
    let refused = refusal(template, found);
    let (condition, decided) = match refused {
        Some(condition) => (Some(condition), None),
        None => {
            draft.set_spec(&spec::wanted(draft.spec(), template, &found.spec));
            let decided = decide(view, &draft);
            draft.settle(view, &decided.outcome);
            draft.set_why(why::summary(policy, &decided));
            (decided.outcome.condition(), Some(decided))
        }
    };
    let mut writes = draft.write(Some(moment.term));
    let on_path = !writes.is_empty();
    let key = draft.key().clone();
    let is_fresh = decided.as_ref().is_some_and(Decided::is_fresh);
    let wait = claimed_wait(&draft, on_path);
    if !on_path {
        writes.extend(draft::template_patch(template, &marks));
    }
    writes.extend(note(view, template, condition.as_ref()));
    let generation = view
        .binding
        .as_ref()
        .and_then(|b| b.object.metadata.generation);
    let decision = Decision {
        observed_generation: generation.filter(|_| !on_path),
        scheduled_at: (is_fresh || on_path && decided.is_some()).then(|| moment.now.clone()),
        affinity_name: decided.and_then(|d| d.affinity_name()),
        condition,
        is_renamed: draft.is_renamed(),
    };
    Plan {
        wait,
        decision: Some((key, decision)),
        writes,
    }
}

/// What is written for a binding goes at once, but for mere acknowledgements; its read-back plans the
/// template again, and then the marks follow.
fn claimed_wait(draft: &Draft, on_path: bool) -> Duration {
    match on_path {
        true => strike_wait(draft.is_strike_only()),
        false => MARKS_WAIT,
    }
}

fn strike_wait(is_strike_only: bool) -> Duration {
    match is_strike_only {
        true => STRIKE_GATHER,
        false => Duration::ZERO,
    }
}

/// Why nothing can be decided: what the policy asks is not built, or the template cannot be read.
fn refusal(template: &Template, policy: &PropagationPolicy) -> Option<ScheduledCondition> {
    let unsupported = support::unsupported(&policy.spec);
    let (reason, message) = if let Some(trouble) = &template.trouble {
        (
            "SchedulerError",
            format!("the template is malformed: {trouble}"),
        )
    } else if let Err(trouble) = &template.body {
        (
            "SchedulerError",
            format!("the template cannot be sent: {trouble}"),
        )
    } else if !unsupported.is_empty() {
        let fields: Vec<String> = unsupported.iter().map(ToString::to_string).collect();
        ("Unsupported", fields.join("; "))
    } else {
        return None;
    };
    Some(ScheduledCondition {
        status: "False",
        reason,
        message,
    })
}

/// What scheduling said.
struct Decided {
    outcome: Outcome,
    report: Report,
    draining: Vec<String>,
}

impl Decided {
    /// Whether a person asked for a fresh placement.
    fn is_fresh(&self) -> bool {
        self.report.trigger == flotilla_policy::schedule::Trigger::RescheduleTriggered
    }

    fn affinity_name(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Decided { affinity_name, .. } => Some(affinity_name.clone()),
            _ => None,
        }
    }
}

fn decide(view: &PlacementView, draft: &Draft) -> Decided {
    let (draining, open): (Vec<&Cluster>, Vec<&Cluster>) = view
        .clusters
        .iter()
        .map(AsRef::as_ref)
        .partition(|cluster| is_draining(cluster));
    let applied = view
        .binding
        .as_ref()
        .and_then(|b| b.applied_placement.as_ref());
    let object: &ResourceBinding = draft.object();
    let schedule_view = ScheduleView {
        spec: &object.spec,
        status: &object.status,
        // What an overtaken hub decided is decided again.
        applied_placement: applied.filter(|_| !view.is_stale),
        clusters: &open,
        estimates: None,
        options: ScheduleOptions::default(),
    };
    let (outcome, report) = schedule(&schedule_view);
    for violation in flotilla_policy::check::schedule(&schedule_view, &outcome, &report) {
        tracing::error!(template = %view.key, %violation, "a decision breaks an invariant");
    }
    Decided {
        outcome,
        report,
        draining: draining.iter().map(|c| c.metadata.name.clone()).collect(),
    }
}

/// Tells people when scheduling starts to fail, and when it works again.
fn note(
    view: &PlacementView,
    template: &Template,
    condition: Option<&ScheduledCondition>,
) -> Option<Write> {
    let condition = condition?;
    let conditions = view.binding.as_ref().map(|b| &b.object.status.conditions);
    let held = conditions.and_then(|c| c.iter().find(|c| c.type_ == "Scheduled"));
    let fails = condition.status == "False";
    let failed = held.is_some_and(|c| c.status == "False");
    let same = held.is_some_and(|c| c.reason == condition.reason && c.message == condition.message);
    // A new binding says so in its condition a moment later; the event waits for that.
    if view.binding.is_none() || same || (!fails && !failed) {
        return None;
    }
    Some(Write::Note(Note {
        gvk: template.gvk.clone(),
        key: template.key.clone(),
        uid: template.uid.clone(),
        is_warning: fails,
        reason: if fails {
            "ScheduleBindingFailed"
        } else {
            "ScheduleBindingSucceed"
        },
        message: condition.message.clone(),
    }))
}

/// Text of a conflict resolution in a binding.
fn conflict_text(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Abort => "Abort",
        Conflict::Overwrite => "Overwrite",
    }
}
