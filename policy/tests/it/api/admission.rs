//! Admission beyond what the vectors show: our own kinds, bindings, warnings, reading.

use flotilla_policy::api::registry::find;
use flotilla_policy::api::{Admission, AdmissionContext, KINDS, admit, normalise};
use serde_json::{Value, json};

const CTX: AdmissionContext<'_> = AdmissionContext {
    uuid: "00000000-0000-4000-8000-000000000000",
    now: "2026-01-02T03:04:05Z",
};
const FLEET: &str = "fleet.flotilla.dev";
const POLICY: &str = "policy.karmada.io";
const WORK: &str = "work.karmada.io";

fn judge(
    group: &str,
    kind: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<Value, Vec<String>> {
    let info = find(group, kind).expect("a kind");
    match admit(info, object.clone(), old, &CTX) {
        Admission::Allowed { object, .. } => Ok(object),
        Admission::Denied { errors } => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

/// Checks that the object is refused for these fields and no other.
fn refused(group: &str, kind: &str, object: &Value, fields: &[&str]) {
    let errors = judge(group, kind, object, None).expect_err("refused");
    let named: Vec<&str> = errors
        .iter()
        .filter_map(|e| e.split_once(": "))
        .map(|e| e.0)
        .collect();
    assert_eq!(named, fields, "{object}: {errors:?}");
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("a parent")[key] = value;
    object
}

fn token() -> Value {
    json!({
        "apiVersion": "fleet.flotilla.dev/v1alpha1", "kind": "JoinToken",
        "metadata": {"name": "m1"},
        "spec": {"clusterName": "m1", "secretHash": "0".repeat(64), "expiresAt": CTX.now},
    })
}

#[test]
fn join_tokens() {
    let stored = judge(FLEET, "JoinToken", &token(), None).expect("allowed");
    assert_eq!(stored["spec"]["profile"], "workloads");
    assert_eq!(
        judge(FLEET, "JoinToken", &stored, Some(&stored)),
        Ok(stored.clone())
    );
    let changed = with(stored.clone(), "/spec/profile", json!("platform"));
    let errors = judge(FLEET, "JoinToken", &changed, Some(&stored)).expect_err("refused");
    assert_eq!(errors, ["spec: never changes after create"]);
    let used = with(
        stored.clone(),
        "/status",
        json!({"usedBy": "ab", "usedAt": CTX.now}),
    );
    assert_eq!(
        judge(FLEET, "JoinToken", &used, Some(&stored)),
        Ok(used.clone())
    );

    let refused = |pointer: &str, value: Value, field: &str| {
        refused(FLEET, "JoinToken", &with(token(), pointer, value), &[field]);
    };
    refused("/spec/clusterName", json!("M1"), "spec.clusterName");
    refused(
        "/spec/clusterName",
        json!("m".repeat(49)),
        "spec.clusterName",
    );
    refused("/spec/secretHash", json!("F".repeat(64)), "spec.secretHash");
    refused("/spec/secretHash", json!("secret"), "spec.secretHash");
    refused("/spec/expiresAt", json!("tomorrow"), "spec.expiresAt");
    refused("/spec/profile", json!("root"), "spec.profile");
    refused("/spec/labels", json!({"a b": "c"}), "spec.labels");
    refused("/spec/region", json!("a b"), "spec.region");
    refused("/spec/zones", json!(["ok", "a b"]), "spec.zones[1]");
}

#[test]
fn enrolments() {
    let enrolment = json!({
        "metadata": {"name": "m1"},
        "spec": {"clusterUid": "u", "identityKey": "A".repeat(43) + "="},
    });
    let stored = judge(FLEET, "Enrolment", &enrolment, None).expect("allowed");
    assert_eq!(stored["spec"]["state"], "Active");
    let refused = |pointer: &str, value: Value, field: &str| {
        refused(
            FLEET,
            "Enrolment",
            &with(enrolment.clone(), pointer, value),
            &[field],
        );
    };
    refused("/metadata/name", json!("m.1"), "metadata.name");
    refused(
        "/spec/identityKey",
        json!("A".repeat(44)),
        "spec.identityKey",
    );
    refused("/spec/state", json!("Maybe"), "spec.state");
    refused("/spec/clusterUid", json!(""), "spec.clusterUid");
}

#[test]
fn removals() {
    let entry = json!({"cluster": "m1", "workId": "w", "templateUid": "t", "madeAt": 7});
    let removal = json!({
        "metadata": {"name": "binding-uid"},
        "spec": {
            "resource": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c"},
            "entries": [entry],
        },
    });
    assert_eq!(judge(FLEET, "Removal", &removal, None), Ok(removal.clone()));
    let twice = with(removal.clone(), "/spec/entries", json!([entry, entry]));
    refused(FLEET, "Removal", &twice, &["spec.entries[1]"]);
    let negative = with(
        removal,
        "/spec/entries",
        json!([with(entry, "/madeAt", json!(-1))]),
    );
    refused(FLEET, "Removal", &negative, &["spec.entries[0].madeAt"]);
}

#[test]
fn epoch_lists() {
    let epoch = |incarnation: u64, term: u64, nonce: &str| json!({"incarnation": incarnation, "term": term, "nonce": nonce, "revision": 1});
    let list = |epochs: Value| json!({"metadata": {"name": "fleet"}, "spec": {"epochs": epochs}});
    let (one, two) = ("0".repeat(16), "1".repeat(16));
    let good = list(json!([epoch(1, 1, &one), epoch(1, 2, &two)]));
    assert_eq!(judge(FLEET, "EpochList", &good, None), Ok(good.clone()));
    let refused = |object: Value, field: &str| refused(FLEET, "EpochList", &object, &[field]);
    refused(
        with(good, "/metadata/name", json!("other")),
        "metadata.name",
    );
    refused(list(json!([epoch(1, 1, "x")])), "spec.epochs[0].nonce");
    refused(
        list(json!([epoch(1, 1, &one), epoch(1, 2, &one)])),
        "spec.epochs[1].nonce",
    );
    refused(
        list(json!([epoch(1, 2, &one), epoch(1, 2, &two)])),
        "spec.epochs[1].term",
    );
    refused(
        list(json!([epoch(2, 1, &one), epoch(1, 2, &two)])),
        "spec.epochs[1].incarnation",
    );
}

fn binding() -> Value {
    json!({
        "metadata": {"name": "web-deployment", "namespace": "default"},
        "spec": {"resource": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    })
}

#[test]
fn bindings() {
    let label = "resourcebinding.karmada.io/permanent-id";
    let stored = judge(WORK, "ResourceBinding", &binding(), None).expect("allowed");
    assert_eq!(stored["metadata"]["labels"][label], CTX.uuid);
    assert_eq!(stored["spec"]["conflictResolution"], "Abort");
    let named = with(binding(), "/metadata/labels", json!({label: "the hub's"}));
    let stored = judge(WORK, "ResourceBinding", &named, None).expect("allowed");
    assert_eq!(stored["metadata"]["labels"][label], "the hub's");

    let twice = json!([{"name": "a", "replicas": 1}, {"name": "a", "replicas": 1}]);
    let twice = with(binding(), "/spec/components", twice);
    refused(
        WORK,
        "ResourceBinding",
        &twice,
        &["spec.components[1].name"],
    );
    let dependencies = "resourcebinding.karmada.io/dependencies";
    let broken = with(
        binding(),
        "/metadata/annotations",
        json!({dependencies: "[{"}),
    );
    let field = format!("metadata.annotations[{dependencies}]");
    refused(WORK, "ResourceBinding", &broken, &[&field]);
    let numbers = json!({"resourceRequest": {"cpu": 2, "memory": "1Gi"}});
    let numbers = with(binding(), "/spec/replicaRequirements", numbers);
    assert!(
        judge(WORK, "ResourceBinding", &numbers, None).is_ok(),
        "a quantity may be a number"
    );
}

fn policy() -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}], "placement": {}},
    })
}

#[test]
fn errors_name_the_field() {
    let refused = |pointer: &str, value: Value, fields: &[&str]| {
        refused(
            POLICY,
            "PropagationPolicy",
            &with(policy(), pointer, value),
            fields,
        );
    };
    refused(
        "/spec/placement/clusterTolerations",
        json!([{"tolerationSeconds": "5"}]),
        &["spec.placement.clusterTolerations[0].tolerationSeconds"],
    );
    refused(
        "/spec/priority",
        json!(3_000_000_000_i64),
        &["spec.priority"],
    );
    refused("/spec/placement", json!([]), &["spec.placement"]);
    refused("/spec", json!(null), &["spec"]);
    refused("/kind", json!("Secret"), &["kind"]);
    let info = find(POLICY, "PropagationPolicy").expect("a kind");
    assert!(matches!(
        admit(info, json!([]), None, &CTX),
        Admission::Denied { .. }
    ));
}

#[test]
fn an_empty_choice_is_not_chosen() {
    let empty = with(policy(), "/spec/conflictResolution", json!(""));
    let empty = with(empty, "/spec/activationPreference", json!(""));
    let stored = judge(POLICY, "PropagationPolicy", &empty, None).expect("allowed");
    assert_eq!(stored["spec"]["conflictResolution"], "Abort");
    assert_eq!(stored["spec"].get("activationPreference"), None);
}

#[test]
fn what_bindings_alone_have_is_pruned_from_policies() {
    let suspended = with(policy(), "/spec/suspension", json!({"scheduling": true}));
    let stored = judge(POLICY, "PropagationPolicy", &suspended, None).expect("allowed");
    assert_eq!(stored["spec"]["suspension"], json!({}));
    let suspended = with(binding(), "/spec/suspension", json!({"scheduling": true}));
    let stored = judge(WORK, "ResourceBinding", &suspended, None).expect("allowed");
    assert_eq!(stored["spec"]["suspension"], json!({"scheduling": true}));
}

#[test]
fn warnings_name_what_is_accepted_but_not_done() {
    let warned = |kind: &str, object: Value| match admit(
        find(POLICY, kind).expect("a kind"),
        object,
        None,
        &CTX,
    ) {
        Admission::Allowed { warnings, .. } => warnings,
        Admission::Denied { errors } => panic!("{errors:?}"),
    };
    assert_eq!(warned("PropagationPolicy", policy()), Vec::<String>::new());
    let asking = with(policy(), "/spec/propagateDeps", json!(true));
    let asking = with(asking, "/spec/association", json!(true));
    assert_eq!(
        warned("PropagationPolicy", asking),
        [
            "spec.propagateDeps: is not supported by this version",
            "spec.association: is deprecated and has no effect",
        ]
    );
    let legacy = json!({"metadata": {"name": "o"}, "spec": {"targetCluster": {}}});
    assert_eq!(
        warned("ClusterOverridePolicy", legacy),
        ["spec.targetCluster: is deprecated, use overrideRules"]
    );
}

#[test]
fn reading_fills_defaults_once_and_makes_no_ids() {
    let spread = with(policy(), "/spec/placement/spreadConstraints", json!([{}]));
    let spread = with(spread, "/spec/failover", json!({"application": {}}));
    let spread = with(spread, "/spec/ofANewerHub", json!(true));
    let info = find(POLICY, "PropagationPolicy").expect("a kind");
    let read = normalise(info, spread);
    let expected = json!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default"}],
            "placement": {"spreadConstraints": [{"spreadByField": "cluster", "minGroups": 1}]},
            "failover": {"application": {
                "decisionConditions": {"tolerationSeconds": 300},
                "gracePeriodSeconds": 600, "purgeMode": "Gracefully",
            }},
            "priority": 0, "preemption": "Never", "conflictResolution": "Abort",
            "schedulerName": "default-scheduler", "ofANewerHub": true,
        },
    });
    assert_eq!(read, expected);
}

#[test]
fn defaults_of_every_kind_are_idempotent_and_stand_any_shape() {
    let shapes = [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"spec": null}),
        json!({"spec": []}),
        json!({"spec": {"resourceSelectors": {}, "taints": [1], "zone": "z",
        "resourceModels": [{"grade": 2, "ranges": [3]}, {"grade": 1}], "overrideRules": "x",
        "placement": {"spreadConstraints": ["x"], "replicaScheduling": {"weightPreference":
        {"staticWeightList": [{}, 1]}}}, "failover": {"application": {"purgeMode": ""}}}}),
    ];
    for info in KINDS {
        for shape in &shapes {
            let once = normalise(info, shape.clone());
            assert_eq!(normalise(info, once.clone()), once, "{} {shape}", info.kind);
            if let Admission::Allowed { object, .. } = admit(info, shape.clone(), None, &CTX) {
                assert_eq!(
                    judge(info.group, info.kind, &object, Some(&object)),
                    Ok(object)
                );
            }
        }
    }
}
