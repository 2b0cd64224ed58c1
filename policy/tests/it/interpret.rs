//! Interpretation: what an apply leaves out, what a rollout looks like at the front door, and
//! properties over anything a member may hold.

use flotilla_policy::api::AggregatedStatusItem;
use flotilla_policy::interpret::{self, Health, registry::INTERPRETERS};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NOW: &str = "2026-01-01T00:00:00Z";

/// What the apply of `desired` sends, given what the member has.
fn check_leave_out(mut desired: Value, observed: Option<Value>, sent: &Value) {
    interpret::leave_out(&mut desired, observed.as_ref());
    assert_eq!(&desired, sent);
}

fn deployment(spec: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "labels": { "resourcetemplate.karmada.io/retain-replicas": "true" } },
        "spec": spec,
    })
}

fn applied_by(manager: &str, operation: &str) -> Value {
    json!([{
        "manager": manager,
        "operation": operation,
        "fieldsV1": { "f:spec": { "f:replicas": {} } },
    }])
}

#[test]
fn a_create_sends_everything() {
    let desired = deployment(&json!({ "replicas": 3 }));
    check_leave_out(desired.clone(), None, &desired);
}

#[test]
fn replicas_that_the_member_scales_are_left_out() {
    let observed = deployment(&json!({ "replicas": 7 }));
    let sent = deployment(&json!({}));
    check_leave_out(deployment(&json!({ "replicas": 3 })), Some(observed), &sent);
}

#[test]
fn replicas_of_an_unlabelled_template_are_sent() {
    let mut desired = deployment(&json!({ "replicas": 3 }));
    desired["metadata"] = json!({});
    let observed = deployment(&json!({ "replicas": 7 }));
    check_leave_out(desired.clone(), Some(observed), &desired);
}

#[test]
fn a_field_our_apply_owns_keeps_its_observed_value() {
    let desired = deployment(&json!({ "replicas": 3 }));
    let mut observed = deployment(&json!({ "replicas": 7 }));
    for (manager, operation, sent) in [
        ("flotilla", "Apply", json!({ "replicas": 7 })),
        ("flotilla", "Update", json!({})),
        ("other", "Apply", json!({})),
    ] {
        observed["metadata"]["managedFields"] = applied_by(manager, operation);
        check_leave_out(desired.clone(), Some(observed.clone()), &deployment(&sent));
    }
}

#[test]
fn what_members_allocate_is_left_out() {
    let core = |kind: &str, spec: Value| json!({ "apiVersion": "v1", "kind": kind, "spec": spec });
    check_leave_out(
        core(
            "Service",
            json!({ "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "a": 1 }),
        ),
        Some(core(
            "Service",
            json!({ "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"] }),
        )),
        &core("Service", json!({ "a": 1 })),
    );
    check_leave_out(
        core("PersistentVolumeClaim", json!({ "volumeName": "mine" })),
        Some(core("PersistentVolumeClaim", json!({ "volumeName": "pv" }))),
        &core("PersistentVolumeClaim", json!({})),
    );
    check_leave_out(
        core(
            "PersistentVolume",
            json!({ "claimRef": { "name": "mine" } }),
        ),
        Some(core(
            "PersistentVolume",
            json!({ "claimRef": { "name": "c" } }),
        )),
        &core("PersistentVolume", json!({})),
    );
    check_leave_out(
        core(
            "Pod",
            json!({ "nodeName": "n", "containers": [{ "name": "a", "volumeMounts": [] }] }),
        ),
        Some(core(
            "Pod",
            json!({ "nodeName": "m", "containers": [{ "name": "a" }] }),
        )),
        &core("Pod", json!({ "containers": [{ "name": "a" }] })),
    );
}

#[test]
fn labels_a_job_made_up_are_left_out() {
    let job = |spec: Value| json!({ "apiVersion": "batch/v1", "kind": "Job", "spec": spec });
    let template = |labels: Value| json!({ "metadata": { "labels": labels } });
    let observed = json!({
        "selector": { "matchLabels": { "uid": "x" } },
        "template": template(json!({ "uid": "x", "app": "a" })),
    });
    check_leave_out(
        job(json!({ "parallelism": 2, "template": template(json!({ "app": "a" })) })),
        Some(job(observed)),
        &job(json!({ "parallelism": 2, "template": { "metadata": {} } })),
    );
}

#[test]
fn pull_secrets_of_the_member_stay() {
    let account = |pulls: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "secrets": [{ "name": "ours" }],
            "imagePullSecrets": pulls,
        })
    };
    check_leave_out(
        account(json!([{ "name": "a" }])),
        Some(account(json!([{ "name": "b" }]))),
        &account(json!([{ "name": "a" }, { "name": "b" }])),
    );
}

fn item(cluster: &str, status: Value) -> AggregatedStatusItem {
    AggregatedStatusItem {
        cluster_name: cluster.to_owned(),
        status: Some(status),
        applied: true,
        ..AggregatedStatusItem::default()
    }
}

/// A member's object as its agent sees it, made from that generation of the template.
fn member(kind: &str, template_generation: i64, observed: i64) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "generation": 4,
            "annotations": {
                "resourcetemplate.karmada.io/generation": template_generation.to_string(),
            },
        },
        "spec": { "replicas": 2 },
        "status": {
            "observedGeneration": observed,
            "replicas": 2,
            "readyReplicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
        },
    })
}

#[test]
fn a_rollout_is_seen_when_every_member_has_caught_up() {
    for kind in ["Deployment", "StatefulSet", "ReplicaSet"] {
        let template = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": { "generation": 2 },
            "status": { "observedGeneration": 1, "conditions": [{ "type": "Kept" }] },
        });
        let up = |object: &Value| interpret::status(object).unwrap().unwrap();
        let ready = item("ready", up(&member(kind, 2, 4)));
        for (behind, seen) in [
            (member(kind, 1, 4), 1),
            (member(kind, 2, 3), 1),
            (member(kind, 2, 4), 2),
        ] {
            let items = [ready.clone(), item("other", up(&behind))];
            let status = interpret::aggregate(&template, &items, NOW)
                .unwrap()
                .unwrap();
            assert_eq!(status["observedGeneration"], seen, "{kind} {behind}");
            assert_eq!(status["replicas"], 4);
            assert_eq!(status["conditions"][0]["type"], "Kept");
        }
    }
}

#[test]
fn an_unhealthy_object_says_why() {
    let mut object = member("Deployment", 2, 3);
    let reason = |object: &Value| interpret::health(object).reason;
    assert_eq!(reason(&object), "generation 4 not observed yet, last was 3");
    object["status"]["observedGeneration"] = json!(4);
    assert_eq!(interpret::health(&object).health, Health::Healthy);
    object["status"]["availableReplicas"] = json!(1);
    assert_eq!(reason(&object), "1 of 2 updated replicas available");
    object["status"]["availableReplicas"] = json!("many");
    assert_eq!(interpret::health(&object).health, Health::Unknown);
    assert_eq!(reason(&object), "status.availableReplicas: want an integer");
}

#[test]
fn old_pods_and_nodes_not_updated_are_unhealthy() {
    let mut object = member("Deployment", 2, 4);
    object["status"]["replicas"] = json!(3);
    assert_eq!(interpret::health(&object).reason, "1 old replicas remain");
    let mut object = member("DaemonSet", 2, 4);
    object["status"] = json!({
        "observedGeneration": 4,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": 2,
        "numberAvailable": 3,
    });
    assert_eq!(interpret::health(&object).reason, "2 of 3 pods updated");
}

#[test]
fn a_request_of_nothing_asks_for_nothing() {
    let requests = json!({ "cpu": "0", "memory": 0, "unknown": "1" });
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": { "containers": [{ "name": "a", "resources": { "requests": requests } }] },
    });
    let found = interpret::replicas(&pod).unwrap().unwrap();
    assert_eq!((found.replicas, found.requirements), (1, None));
}

#[test]
fn nonsense_of_one_member_hides_no_other() {
    let template = json!({ "apiVersion": "batch/v1", "kind": "Job" });
    let items = [
        item("a", json!({ "active": "x" })),
        item("b", json!({ "active": 2 })),
        item("c", json!("text")),
    ];
    let status = interpret::aggregate(&template, &items, NOW).unwrap();
    assert_eq!(status, Some(json!({ "active": 2 })));
}

/// Words that interpreters look for, so that random objects reach deep.
const WORDS: &[&str] = &[
    "spec",
    "status",
    "metadata",
    "template",
    "labels",
    "annotations",
    "generation",
    "replicas",
    "containers",
    "initContainers",
    "volumes",
    "resources",
    "requests",
    "limits",
    "cpu",
    "name",
    "env",
    "valueFrom",
    "conditions",
    "type",
    "phase",
    "loadBalancer",
    "ingress",
    "ip",
    "ports",
    "observedGeneration",
    "readyReplicas",
    "parallelism",
    "completions",
    "selector",
    "matchLabels",
    "secrets",
    "imagePullSecrets",
    "data",
    "clusterIP",
    "active",
    "startTime",
    "tolerations",
    "volumeMounts",
    "disruptedPods",
    "managedFields",
    "jobTemplate",
    "tls",
    "overhead",
    "affinity",
];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(WORDS).prop_map(str::to_owned)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-9_i64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
        prop::sample::select(vec!["True", "LoadBalancer", "1e9", "500m", NOW, "", "é"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(word(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Any object of any known kind.
fn object() -> impl Strategy<Value = Value> {
    let kinds: Vec<_> = INTERPRETERS.iter().flat_map(|i| i.kinds()).collect();
    let parts = (json_value(), json_value(), json_value());
    (prop::sample::select(kinds), parts).prop_map(|((api_version, kind), (spec, status, more))| {
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": more,
            "spec": spec,
            "status": status,
            "secrets": status["secrets"],
            "data": status["data"],
        })
    })
}

/// A status such as members have, of no particular kind, sometimes broken.
fn status() -> impl Strategy<Value = Value> {
    let count = prop_oneof![4 => (0_i64..5).prop_map(Value::from), 1 => json_value()];
    let counts = prop::collection::vec(count, 5);
    let phase = prop::sample::select(vec!["Bound", "Lost", "Failed", "Running", "Pending", ""]);
    let end = prop::sample::select(vec!["Complete", "Failed", "Ready"]);
    let address = prop::sample::select(vec!["10.0.0.9", "10.0.0.10", ""]);
    (counts, phase, end, address).prop_map(|(counts, phase, end, address)| {
        json!({
            "replicas": counts[0],
            "readyReplicas": counts[1],
            "active": counts[2],
            "currentHealthy": counts[3],
            "generation": counts[4],
            "observedGeneration": 3,
            "resourceTemplateGeneration": counts[0],
            "phase": phase,
            "conditions": [{ "type": end, "status": "True" }],
            "loadBalancer": { "ingress": [{ "ip": address, "ports": [counts[1]] }] },
        })
    })
}

fn items() -> impl Strategy<Value = Vec<AggregatedStatusItem>> {
    let status = prop::option::weighted(0.9, status());
    prop::collection::btree_map("[a-z]{1,3}", status, 0..5).prop_map(|members| {
        members
            .into_iter()
            .map(|(cluster_name, status)| AggregatedStatusItem {
                cluster_name,
                status,
                ..AggregatedStatusItem::default()
            })
            .collect()
    })
}

/// A template of any kind with a readable status.
fn template() -> impl Strategy<Value = Value> {
    let kinds: Vec<_> = INTERPRETERS.iter().flat_map(|i| i.kinds()).collect();
    (prop::sample::select(kinds), 0_i64..5).prop_map(|((api_version, kind), generation)| {
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": { "generation": generation },
            "spec": { "type": "LoadBalancer" },
        })
    })
}

proptest! {
    #[test]
    fn nothing_panics(object in object(), other in object(), items in items(), n in any::<i64>()) {
        let before = object.clone();
        let mut revised = object.clone();
        if !interpret::revise(&mut revised, n).unwrap_or(false) {
            prop_assert_eq!(&revised, &before);
        }
        let mut sent = object.clone();
        interpret::leave_out(&mut sent, Some(&other));
        let _ = interpret::replicas(&object);
        let _ = interpret::status(&object);
        let _ = interpret::health(&object);
        let _ = interpret::aggregate(&object, &items, NOW);
        let _ = interpret::dependencies(&object);
    }

    #[test]
    fn retaining_twice_retains_the_same(desired in object(), other in object()) {
        let mut observed = other;
        observed["kind"] = desired["kind"].clone();
        if let Ok(once) = interpret::retain(desired, &observed) {
            let twice = interpret::retain(once.clone(), &observed);
            prop_assert_eq!(twice.as_ref(), Ok(&once));
        }
    }

    #[test]
    fn the_order_of_items_does_not_matter(
        template in template(),
        items in items(),
        by in any::<prop::sample::Index>(),
    ) {
        let mut shuffled = items.clone();
        shuffled.reverse();
        let len = shuffled.len().max(1);
        if !shuffled.is_empty() {
            shuffled.rotate_left(by.index(len));
        }
        prop_assert_eq!(
            interpret::aggregate(&template, &items, NOW),
            interpret::aggregate(&template, &shuffled, NOW)
        );
    }

    #[test]
    fn aggregating_again_changes_nothing(mut template in template(), items in items()) {
        if let Ok(Some(status)) = interpret::aggregate(&template, &items, NOW) {
            template["status"] = status;
            let again = interpret::aggregate(&template, &items, "2027-01-01T00:00:00Z");
            prop_assert_eq!(again, Ok(None));
        }
    }

    #[test]
    fn what_goes_up_can_be_aggregated(template in template(), status in status()) {
        let mut object = template.clone();
        object["status"] = status;
        if let Ok(Some(up)) = interpret::status(&object) {
            let result = interpret::aggregate(&template, &[item("m", up)], NOW);
            prop_assert!(result.is_ok());
        }
    }
}
