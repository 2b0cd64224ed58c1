//! A binding's spec as its policy and its template want it; clusters are decided elsewhere.

use flotilla_policy::api::{BindingSpec, ObjectReference, PropagationSpec, Suspension};

use crate::front_door::template::Template;

/// The spec wanted, with the clusters and the requests of people that stand.
pub(super) fn wanted(
    standing: &BindingSpec,
    template: &Template,
    policy: &PropagationSpec,
) -> BindingSpec {
    let scheduling = standing.suspension.as_ref().and_then(|s| s.scheduling);
    let suspension = match (&policy.suspension, scheduling) {
        (None, None) => None,
        (suspension, scheduling) => Some(Suspension {
            scheduling,
            ..suspension.clone().unwrap_or_default()
        }),
    };
    BindingSpec {
        resource: reference(template),
        replicas: template.replicas,
        replica_requirements: template.requirements.clone(),
        placement: Some(policy.placement.clone()),
        propagate_deps: policy.propagate_deps,
        scheduler_name: policy.scheduler_name.clone(),
        failover: policy.failover.clone(),
        conflict_resolution: policy.conflict_resolution.clone(),
        preserve_resources_on_deletion: policy.preserve_resources_on_deletion,
        suspension,
        ..standing.clone()
    }
}

/// What a binding says about the template it is for.
pub(super) fn reference(template: &Template) -> ObjectReference {
    ObjectReference {
        api_version: template.gvk.api_version(),
        kind: template.key.kind.clone(),
        namespace: template.key.namespace.clone(),
        name: template.key.name.clone(),
        uid: template.uid.clone(),
        resource_version: template.resource_version.clone(),
    }
}
