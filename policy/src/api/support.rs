//! What a policy can ask for and this version cannot do: accepted by the API, refused by a condition
//! that names the field, never ignored.
//!
//! When a feature is built, its line here goes.

use super::{
    FieldError, OverrideSpec, Overriders, Placement, PropagationSpec, ReplicaSchedulingStrategy,
};

const NOT_BUILT: &str = "is not supported by this version";

/// The scheduler that is built in.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The fields of a propagation policy that ask for what is not built; none = it can be placed.
#[must_use]
pub fn unsupported(spec: &PropagationSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let scheduler = spec.scheduler_name.as_str();
    for (asked, field) in [
        (spec.propagate_deps, "propagateDeps"),
        (spec.preemption == "Always", "preemption"),
        (!spec.dependent_overrides.is_empty(), "dependentOverrides"),
        (
            !matches!(scheduler, "" | DEFAULT_SCHEDULER),
            "schedulerName",
        ),
        (asks_failover(spec), "failover"),
        (spec.activation_preference == "Lazy", "activationPreference"),
        (spec.schedule_priority.is_some(), "schedulePriority"),
    ] {
        if asked {
            errors.push(FieldError::new(format!("spec.{field}"), NOT_BUILT));
        }
    }
    unsupported_placement(&spec.placement, &mut errors);
    errors
}

fn asks_failover(spec: &PropagationSpec) -> bool {
    let failover = spec.failover.as_ref();
    failover.is_some_and(|f| f.application.is_some() || f.cluster.is_some())
}

fn unsupported_placement(placement: &Placement, errors: &mut Vec<FieldError>) {
    for (i, term) in placement.cluster_affinities.iter().enumerate() {
        if !term.overflow_affinities.is_empty() {
            let field = format!("spec.placement.clusterAffinities[{i}].overflowAffinities");
            errors.push(FieldError::new(field, NOT_BUILT));
        }
    }
    if !placement.spread_constraints.is_empty() {
        errors.push(FieldError::new(
            "spec.placement.spreadConstraints",
            NOT_BUILT,
        ));
    }
    if let Some(strategy) = &placement.replica_scheduling {
        unsupported_division(strategy, errors);
    }
    if placement.workload_affinity.is_some() {
        errors.push(FieldError::new(
            "spec.placement.workloadAffinity",
            NOT_BUILT,
        ));
    }
}

fn unsupported_division(strategy: &ReplicaSchedulingStrategy, errors: &mut Vec<FieldError>) {
    if strategy.replica_scheduling_type == "Duplicated" {
        return;
    }
    let field = |name: &str| format!("spec.placement.replicaScheduling.{name}");
    if strategy.replica_division_preference == "Aggregated" {
        let field = field("replicaDivisionPreference");
        errors.push(FieldError::new(field, format!("Aggregated {NOT_BUILT}")));
    }
    let weights = strategy.weight_preference.as_ref();
    if weights.is_some_and(|w| !w.dynamic_weight.is_empty()) {
        let field = field("weightPreference.dynamicWeight");
        errors.push(FieldError::new(field, NOT_BUILT));
    }
}

/// The fields of an override policy that ask for what is not built; none = it can be applied.
#[must_use]
pub fn unsupported_overrides(spec: &OverrideSpec) -> Vec<FieldError> {
    let rules = spec.override_rules.iter().enumerate();
    rules
        .map(|(i, rule)| {
            (
                format!("spec.overrideRules[{i}].overriders"),
                &rule.overriders,
            )
        })
        .chain([("spec.overriders".to_owned(), &spec.overriders)])
        .filter(
            |(
                _,
                Overriders {
                    field_overrider, ..
                },
            )| !field_overrider.is_empty(),
        )
        .map(|(field, _)| FieldError::new(format!("{field}.fieldOverrider"), NOT_BUILT))
        .collect()
}
