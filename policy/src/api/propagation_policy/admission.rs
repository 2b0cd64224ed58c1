//! Defaults and rules of PropagationPolicy and ClusterPropagationPolicy.
//!
//! They are Karmada's. What Karmada accepts and this slice cannot do yet is accepted here as well:
//! `support` lists it, and a condition refuses it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    ApplicationFailoverBehavior, ClusterAffinityTerm, FailoverBehavior, Placement, PropagationSpec,
    SpreadConstraint, StatePreservation, Suspension, WorkloadAffinity,
};
use crate::api::admission::set_permanent_id;
use crate::api::checks::{
    check_affinity, check_label_key, check_permanent_id, check_selectors, fill_selector_namespaces,
    list_mut, spec_of,
};
use crate::api::{ClusterAffinity, FieldError, Moment, support};
use crate::model::{manifest, marks};

const GRACE_PERIOD_SECONDS: i64 = 600;

pub(super) fn namespaced_defaults(object: &mut Value, moment: Moment<'_>) {
    fill_selector_namespaces(object);
    defaults(object);
    set_permanent_id(object, moment, marks::POLICY_ID);
}

pub(super) fn cluster_defaults(object: &mut Value, moment: Moment<'_>) {
    defaults(object);
    set_permanent_id(object, moment, marks::CLUSTER_POLICY_ID);
}

fn defaults(object: &mut Value) {
    let imports_service = list_mut(object, &["spec", "resourceSelectors"])
        .iter()
        .any(|s| {
            s["kind"] == "ServiceImport" && s["apiVersion"] == "multicluster.x-k8s.io/v1alpha1"
        });
    if imports_service {
        manifest::map_mut(object, &["spec"]).insert("propagateDeps".to_owned(), json!(true));
    }
    for constraint in list_mut(object, &["spec", "placement", "spreadConstraints"]) {
        fill_spread_constraint(constraint);
    }
    fill_replica_scheduling(object);
    fill_application_failover(object);
}

fn fill_spread_constraint(constraint: &mut Value) {
    if !constraint.is_object() {
        return;
    }
    let is_empty = |name: &str| manifest::text(constraint, &[name]).is_empty();
    let by_nothing = is_empty("spreadByField") && is_empty("spreadByLabel");
    let no_minimum = constraint.get("minGroups").is_none_or(|n| *n == 0);
    let fields = manifest::map_mut(constraint, &[]);
    if by_nothing {
        fields.insert("spreadByField".to_owned(), json!("cluster"));
    }
    if no_minimum {
        fields.insert("minGroups".to_owned(), json!(1));
    }
}

fn fill_replica_scheduling(object: &mut Value) {
    let path = ["spec", "placement", "replicaScheduling"];
    if !manifest::get(object, &path).is_some_and(Value::is_object) {
        return;
    }
    let fields = manifest::map_mut(object, &path);
    let preference = fields
        .get("replicaDivisionPreference")
        .and_then(Value::as_str);
    let unset = preference.is_none_or(str::is_empty);
    if unset && fields.get("replicaSchedulingType") == Some(&json!("Divided")) {
        fields.insert("replicaDivisionPreference".to_owned(), json!("Weighted"));
    }
    let weights = [&path[..], &["weightPreference", "staticWeightList"]].concat();
    for rule in list_mut(object, &weights) {
        if let Some(rule) = rule.as_object_mut() {
            rule.entry("targetCluster").or_insert_with(|| json!({}));
        }
    }
}

fn fill_application_failover(object: &mut Value) {
    let path = ["spec", "failover", "application"];
    if !manifest::get(object, &path).is_some_and(Value::is_object) {
        return;
    }
    let fields = manifest::map_mut(object, &path);
    fields
        .entry("decisionConditions")
        .or_insert_with(|| json!({}));
    if fields.get("purgeMode") == Some(&json!("Gracefully")) {
        fields
            .entry("gracePeriodSeconds")
            .or_insert_with(|| json!(GRACE_PERIOD_SECONDS));
    }
}

pub(super) fn validate_namespaced(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    validate(new, old, marks::POLICY_ID)
}

pub(super) fn validate_cluster(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    validate(new, old, marks::CLUSTER_POLICY_ID)
}

fn validate(new: &Value, old: Option<&Value>, id_label: &str) -> Vec<FieldError> {
    let spec: PropagationSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    check_permanent_id(id_label, new, old, &mut errors);
    let scheduler = |object| manifest::text(object, &["spec", "schedulerName"]);
    if old.is_some_and(|old| scheduler(old) != spec.scheduler_name) {
        errors.push(FieldError::new(
            "spec.schedulerName",
            "never changes after create",
        ));
    }
    check_selectors(
        &spec.resource_selectors,
        manifest::namespace(new),
        &mut errors,
    );
    check_preemption(&spec, &mut errors);
    check_placement(&spec.placement, &mut errors);
    check_failover(&spec, &mut errors);
    check_suspension(spec.suspension.as_ref(), &mut errors);
    errors
}

fn check_preemption(spec: &PropagationSpec, errors: &mut Vec<FieldError>) {
    if spec.preemption != "Always" {
        return;
    }
    for (i, selector) in spec.resource_selectors.iter().enumerate() {
        if selector.name.is_empty() {
            let field = format!("spec.resourceSelectors[{i}].name");
            let message =
                "must be set when preemption is Always, lest it takes more than was meant";
            errors.push(FieldError::new(field, message));
        }
    }
}

fn check_placement(placement: &Placement, errors: &mut Vec<FieldError>) {
    let field = "spec.placement";
    if let Some(affinity) = &placement.cluster_affinity {
        if !placement.cluster_affinities.is_empty() {
            let field = format!("{field}.clusterAffinities");
            errors.push(FieldError::new(
                field,
                "cannot stand beside clusterAffinity",
            ));
        }
        check_affinity(&format!("{field}.clusterAffinity"), affinity, errors);
    }
    check_terms(placement, errors);
    for (i, toleration) in placement.cluster_tolerations.iter().enumerate() {
        if matches!(toleration.operator.as_str(), "Lt" | "Gt") {
            let field = format!("{field}.clusterTolerations[{i}].operator");
            let message = format!("\"{}\" is not Exists or Equal", toleration.operator);
            errors.push(FieldError::new(field, message));
        }
    }
    check_spread(&placement.spread_constraints, errors);
    check_weights(placement, errors);
    check_workload_affinity(placement.workload_affinity.as_ref(), errors);
}

fn check_terms(placement: &Placement, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (i, term) in placement.cluster_affinities.iter().enumerate() {
        let field = format!("spec.placement.clusterAffinities[{i}]");
        let name_field = format!("{field}.affinityName");
        check_label_key(&name_field, &term.affinity_name, errors);
        if !names.insert(&term.affinity_name) {
            let message = format!("\"{}\" stands here twice", term.affinity_name);
            errors.push(FieldError::new(name_field, message));
        }
        check_affinity(&field, &term.affinity, errors);
        if !term.overflow_affinities.is_empty() {
            check_overflow(&field, term, placement, errors);
        }
    }
}

fn check_overflow(
    field: &str,
    term: &ClusterAffinityTerm,
    placement: &Placement,
    errors: &mut Vec<FieldError>,
) {
    let list = format!("{field}.overflowAffinities");
    if !divides_by_capacity(placement) {
        let message = "works only with dynamicWeight or Aggregated division";
        errors.push(FieldError::new(&list, message));
    }
    if term.affinity == ClusterAffinity::default() {
        let message = "needs an affinity of the term itself that says which clusters come first";
        errors.push(FieldError::new(&list, message));
    }
    let mut names = BTreeSet::from([&term.affinity_name]);
    for (i, tier) in term.overflow_affinities.iter().enumerate() {
        let name_field = format!("{list}[{i}].affinityName");
        check_label_key(&name_field, &tier.affinity_name, errors);
        if !names.insert(&tier.affinity_name) {
            let message = format!("\"{}\" stands in this term twice", tier.affinity_name);
            errors.push(FieldError::new(name_field, message));
        }
        check_affinity(&format!("{list}[{i}]"), &tier.affinity, errors);
    }
}

fn divides_by_capacity(placement: &Placement) -> bool {
    let Some(strategy) = &placement.replica_scheduling else {
        return false;
    };
    let dynamic = |w: &super::ClusterPreferences| !w.dynamic_weight.is_empty();
    strategy.replica_scheduling_type == "Divided"
        && (strategy.replica_division_preference == "Aggregated"
            || strategy.weight_preference.as_ref().is_some_and(dynamic))
}

fn check_spread(constraints: &[SpreadConstraint], errors: &mut Vec<FieldError>) {
    let list = "spec.placement.spreadConstraints";
    let mut fields = BTreeSet::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let field = |name: &str| format!("{list}[{i}].{name}");
        let by_field = constraint.spread_by_field.as_str();
        if !by_field.is_empty() && !constraint.spread_by_label.is_empty() {
            let message = "cannot stand beside spreadByField";
            errors.push(FieldError::new(field("spreadByLabel"), message));
        }
        if constraint.min_groups < 0 {
            errors.push(FieldError::new(field("minGroups"), "must be at least 0"));
        }
        if constraint.max_groups < 0 {
            errors.push(FieldError::new(field("maxGroups"), "must be at least 0"));
        } else if constraint.max_groups > 0 && constraint.max_groups < constraint.min_groups {
            errors.push(FieldError::new(
                field("maxGroups"),
                "must be at least minGroups",
            ));
        }
        if !by_field.is_empty() && !fields.insert(by_field) {
            let message = format!("\"{by_field}\" stands here twice");
            errors.push(FieldError::new(field("spreadByField"), message));
        }
    }
    if !fields.is_empty() && !fields.contains("cluster") {
        let message = "a constraint by cluster must stand beside constraints by other fields";
        errors.push(FieldError::new(list, message));
    }
}

fn check_weights(placement: &Placement, errors: &mut Vec<FieldError>) {
    let strategy = placement.replica_scheduling.as_ref();
    let Some(weights) = strategy.and_then(|s| s.weight_preference.as_ref()) else {
        return;
    };
    for (i, rule) in weights.static_weight_list.iter().enumerate() {
        let list = "spec.placement.replicaScheduling.weightPreference.staticWeightList";
        let field = format!("{list}[{i}].targetCluster");
        check_affinity(&field, &rule.target_cluster, errors);
    }
}

fn check_workload_affinity(affinity: Option<&WorkloadAffinity>, errors: &mut Vec<FieldError>) {
    let Some(WorkloadAffinity {
        affinity,
        anti_affinity,
    }) = affinity
    else {
        return;
    };
    let field = "spec.placement.workloadAffinity";
    for (name, term) in [("affinity", affinity), ("antiAffinity", anti_affinity)] {
        if let Some(term) = term {
            let field = format!("{field}.{name}.groupByLabelKey");
            check_label_key(&field, &term.group_by_label_key, errors);
        }
    }
    if affinity.is_some() && affinity == anti_affinity {
        let message = "affinity and antiAffinity must group by different labels";
        errors.push(FieldError::new(field, message));
    }
}

fn check_failover(spec: &PropagationSpec, errors: &mut Vec<FieldError>) {
    let Some(FailoverBehavior {
        application,
        cluster,
    }) = &spec.failover
    else {
        return;
    };
    if let Some(application) = application {
        if !spec.propagate_deps {
            let message = "must be true beside failover.application";
            errors.push(FieldError::new("spec.propagateDeps", message));
        }
        check_application_failover(application, errors);
    }
    if let Some(kept) = cluster.as_ref().and_then(|c| c.state_preservation.as_ref()) {
        check_state_preservation("spec.failover.cluster", kept, errors);
    }
}

fn check_application_failover(
    application: &ApplicationFailoverBehavior,
    errors: &mut Vec<FieldError>,
) {
    let field = "spec.failover.application";
    let tolerated = application.decision_conditions.toleration_seconds;
    if tolerated.is_some_and(|seconds| seconds < 0) {
        let field = format!("{field}.decisionConditions.tolerationSeconds");
        errors.push(FieldError::new(field, "must be at least 0"));
    }
    let gracefully = application.purge_mode == "Gracefully";
    let grace = format!("{field}.gracePeriodSeconds");
    match application.grace_period_seconds {
        None if gracefully => errors.push(FieldError::new(grace, "is required with Gracefully")),
        Some(_) if !gracefully => {
            errors.push(FieldError::new(grace, "has a meaning only with Gracefully"));
        }
        Some(seconds) if seconds <= 0 => {
            errors.push(FieldError::new(grace, "must be greater than 0"));
        }
        _ => {}
    }
    if let Some(kept) = &application.state_preservation {
        check_state_preservation(field, kept, errors);
    }
}

fn check_state_preservation(field: &str, kept: &StatePreservation, errors: &mut Vec<FieldError>) {
    for (i, rule) in kept.rules.iter().enumerate() {
        let field = format!("{field}.statePreservation.rules[{i}].aliasLabelName");
        check_label_key(&field, &rule.alias_label_name, errors);
    }
}

fn check_suspension(suspension: Option<&Suspension>, errors: &mut Vec<FieldError>) {
    let Some(suspension) = suspension else { return };
    let on_clusters = suspension.dispatching_on_clusters.as_ref();
    let some_clusters = on_clusters.is_some_and(|c| !c.cluster_names.is_empty());
    if suspension.dispatching == Some(true) && some_clusters {
        let field = "spec.suspension.dispatchingOnClusters";
        errors.push(FieldError::new(field, "cannot stand beside dispatching"));
    }
}

pub(super) fn warn(object: &Value) -> Vec<String> {
    let Ok(spec) = spec_of::<PropagationSpec>(object) else {
        return Vec::new();
    };
    let mut warnings: Vec<String> = support::unsupported(&spec)
        .iter()
        .map(ToString::to_string)
        .collect();
    if spec.association {
        warnings.push("spec.association: is deprecated and has no effect".to_owned());
    }
    warnings
}
