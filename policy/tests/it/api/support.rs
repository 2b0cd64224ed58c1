//! What is not built is named, field by field.

use flotilla_policy::api::support::{unsupported, unsupported_overrides};
use flotilla_policy::api::{OverrideSpec, PropagationSpec};
use serde_json::{Value, json};

fn check(spec: Value, expected: &[&str]) {
    let shown = spec.to_string();
    let spec: PropagationSpec = serde_json::from_value(spec).expect("a spec");
    let fields: Vec<String> = unsupported(&spec).into_iter().map(|e| e.field).collect();
    assert_eq!(fields, expected, "{shown}");
}

#[test]
fn what_is_built_is_not_named() {
    check(json!({}), &[]);
    check(
        json!({
            "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "priority": 3, "preemption": "Never", "conflictResolution": "Overwrite",
            "schedulerName": "default-scheduler", "preserveResourcesOnDeletion": true,
            "suspension": {"dispatching": true}, "failover": {}, "association": true,
            "placement": {
                "clusterAffinities": [{"affinityName": "a", "clusterNames": ["m1"]}],
                "clusterTolerations": [{"operator": "Exists"}],
                "replicaScheduling": {
                    "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
                    "weightPreference": {"staticWeightList": [{"weight": 1}]},
                },
            },
        }),
        &[],
    );
    // What has no effect asks for nothing.
    check(
        json!({"placement": {"replicaScheduling": {
            "replicaSchedulingType": "Duplicated", "replicaDivisionPreference": "Aggregated",
        }}}),
        &[],
    );
}

#[test]
fn what_is_not_built_is_named() {
    check(json!({"propagateDeps": true}), &["spec.propagateDeps"]);
    check(json!({"preemption": "Always"}), &["spec.preemption"]);
    check(
        json!({"dependentOverrides": ["a"]}),
        &["spec.dependentOverrides"],
    );
    check(json!({"schedulerName": "other"}), &["spec.schedulerName"]);
    check(json!({"failover": {"cluster": {}}}), &["spec.failover"]);
    check(
        json!({"activationPreference": "Lazy"}),
        &["spec.activationPreference"],
    );
    check(json!({"schedulePriority": {}}), &["spec.schedulePriority"]);
    check(
        json!({"placement": {"spreadConstraints": [{}], "workloadAffinity": {}}}),
        &[
            "spec.placement.spreadConstraints",
            "spec.placement.workloadAffinity",
        ],
    );
    check(
        json!({"placement": {"clusterAffinities": [
            {"affinityName": "a"},
            {"affinityName": "b", "overflowAffinities": [{"affinityName": "c"}]},
        ]}}),
        &["spec.placement.clusterAffinities[1].overflowAffinities"],
    );
    check(
        json!({"placement": {"replicaScheduling": {
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated",
            "weightPreference": {"dynamicWeight": "AvailableReplicas"},
        }}}),
        &[
            "spec.placement.replicaScheduling.replicaDivisionPreference",
            "spec.placement.replicaScheduling.weightPreference.dynamicWeight",
        ],
    );
}

#[test]
fn field_overriders_are_named() {
    let patch = json!([{"fieldPath": "/data/x"}]);
    let spec: OverrideSpec = serde_json::from_value(json!({
        "overrideRules": [{"overriders": {}}, {"overriders": {"fieldOverrider": patch}}],
        "overriders": {"fieldOverrider": patch},
    }))
    .expect("a spec");
    let fields: Vec<String> = unsupported_overrides(&spec)
        .into_iter()
        .map(|e| e.field)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.overrideRules[1].overriders.fieldOverrider",
            "spec.overriders.fieldOverrider"
        ]
    );
}
