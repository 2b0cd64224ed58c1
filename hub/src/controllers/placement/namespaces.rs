//! Namespaces go where their objects go: one ClusterResourceBinding over all clusters that bindings of
//! the namespace name.
//!
//! It only grows while the namespace exists, and what goes with it is never the members' namespace.
//! A policy of a person that claims the Namespace, or the label that skips it, comes first.

use std::collections::BTreeSet;

use flotilla_policy::api::{BindingSpec, TargetCluster};
use flotilla_policy::assigning::Conflict;
use flotilla_policy::matching::is_ignored_namespace;
use flotilla_policy::model::{manifest, marks};
use flotilla_policy::schedule::{SCHEDULED_MESSAGE, ScheduledCondition};

use super::draft::{self, Draft};
use super::{Plan, conflict_text, keep, spec};
use crate::controllers::driver::Moment;
use crate::front_door::index::{Decision, PlacementView, is_draining};
use crate::front_door::template::Template;

/// In the label of bindings that says who manages them.
const MANAGER: &str = "flotilla-namespaces";

/// Whether the template is a Namespace that follows its objects.
pub(super) fn is_spread(template: &Template) -> bool {
    template.key.is_namespace() && !is_ignored_namespace(&template.key.name)
}

pub(super) fn plan(view: &PlacementView, template: &Template, moment: &Moment) -> Plan {
    let labels = manifest::labels(&template.head);
    let is_skipped = labels
        .get(marks::SKIP_NAMESPACE)
        .is_some_and(|v| v == "true");
    let standing: BTreeSet<&str> = view
        .binding
        .iter()
        .flat_map(|b| b.targets())
        .map(|t| t.name.as_str())
        .collect();
    let is_open = |name: &str| {
        let cluster = view.clusters.iter().find(|c| c.metadata.name == name);
        cluster.is_some_and(|c| !is_draining(c) && !c.metadata.is_deleting())
    };
    let needed = view
        .needed_in
        .iter()
        .map(String::as_str)
        .filter(|n| is_open(n));
    let wanted: BTreeSet<&str> = needed.chain(standing).collect();
    if is_skipped || template.deleting || wanted.is_empty() {
        return view
            .binding
            .as_deref()
            .map_or_else(Plan::default, |b| keep(view, b));
    }
    let mut draft = Draft::for_template(view, template);
    let marks = draft::no_marks();
    draft.set_marks(&marks);
    draft.set_label(marks::BINDING_MANAGED_BY, MANAGER);
    draft.set_spec(&BindingSpec {
        resource: spec::reference(template),
        conflict_resolution: conflict_text(Conflict::Overwrite).to_owned(),
        preserve_resources_on_deletion: Some(true),
        placement: None,
        ..draft.spec().clone()
    });
    draft.set_clusters(
        view,
        wanted
            .into_iter()
            .map(|name| TargetCluster {
                name: name.to_owned(),
                ..TargetCluster::default()
            })
            .collect(),
    );
    let mut writes = draft.write(Some(moment.term));
    let on_path = !writes.is_empty();
    let generation = view
        .binding
        .as_ref()
        .and_then(|b| b.object.metadata.generation);
    let decision = Decision {
        observed_generation: generation.filter(|_| !on_path),
        condition: Some(ScheduledCondition {
            status: "True",
            reason: "Success",
            message: SCHEDULED_MESSAGE.to_owned(),
        }),
        affinity_name: None,
        scheduled_at: on_path.then(|| moment.now.clone()),
        is_renamed: draft.is_renamed(),
    };
    writes.extend(draft::template_patch(template, &marks));
    Plan {
        wait: super::strike_wait(draft.is_strike_only()),
        decision: Some((draft.key().clone(), decision)),
        writes,
    }
}
