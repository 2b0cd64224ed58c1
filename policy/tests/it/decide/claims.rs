//! What matching says to people.

use expect_test::{Expect, expect};
use flotilla_policy::api::{ClusterPropagationPolicy, PropagationPolicy};
use flotilla_policy::check as invariants;
use flotilla_policy::matching::{
    Claim, ClaimRef, IgnoreReason, PolicyView, Scope, claim, is_propagatable,
};
use serde_json::{Value, json};

use super::mk;

fn template() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "default", "name": "web", "labels": {"app": "web"}},
    })
}

fn mk_policy(namespace: &str, name: &str, priority: i32, selector: Value) -> Value {
    let mut selector = selector;
    selector["apiVersion"] = json!("apps/v1");
    selector["kind"] = json!("Deployment");
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}")},
        "spec": {"placement": {}, "priority": priority, "resourceSelectors": [selector]},
    })
}

fn check(policies: &[Value], current: Option<&ClaimRef>, expected: Expect) {
    let is_cluster = |p: &&Value| p["metadata"]["namespace"] == json!("");
    let namespaced: Vec<PropagationPolicy> = policies
        .iter()
        .filter(|p| !is_cluster(p))
        .cloned()
        .map(mk)
        .collect();
    let cluster: Vec<ClusterPropagationPolicy> = policies
        .iter()
        .filter(is_cluster)
        .cloned()
        .map(mk)
        .collect();
    let view = PolicyView {
        propagation: &namespaced.iter().collect::<Vec<_>>(),
        cluster: &cluster.iter().collect::<Vec<_>>(),
    };
    let (claim, report) = claim(&template(), current, &view);
    assert_eq!(invariants::matching(&claim, &report), []);
    expected.assert_eq(&report.to_string());
}

fn policies() -> Vec<Value> {
    let mut deleting = mk_policy("default", "going", 9, json!({"name": "web"}));
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut other_kind = mk_policy("default", "services", 9, json!({}));
    other_kind["spec"]["resourceSelectors"][0]["kind"] = json!("Service");
    vec![
        mk_policy("", "wide", 100, json!({"name": "web"})),
        mk_policy("default", "p2", 1, json!({"name": "web"})),
        mk_policy("default", "p10", 1, json!({"name": "web"})),
        mk_policy("default", "labels", 1, json!({"labelSelector": {}})),
        mk_policy("default", "low", -1, json!({"name": "web"})),
        mk_policy("default", "api", 7, json!({"name": "api"})),
        mk_policy("elsewhere", "high", 50, json!({"name": "web"})),
        deleting,
        other_kind,
    ]
}

#[test]
fn every_policy_hears_why() {
    check(
        &policies(),
        None,
        expect![[r#"
            PropagationPolicy default/going: is being deleted (priority 9, by name)
            PropagationPolicy default/p10: claims the template (priority 1, by name)
            PropagationPolicy default/p2: equal otherwise, the smaller name wins (priority 1, by name)
            PropagationPolicy default/labels: selector is less exact (priority 1, by labels)
            PropagationPolicy default/low: priority is lower (priority -1, by name)
            PropagationPolicy default/api: no selector matches
            ClusterPropagationPolicy wide: a namespaced policy comes first (priority 100, by name)
            1 more policies select other kinds
        "#]],
    );
}

#[test]
fn a_claim_stays_although_others_are_better() {
    let low = ClaimRef {
        scope: Scope::Namespaced,
        namespace: "default".to_owned(),
        name: "low".to_owned(),
        permanent_id: "an older one".to_owned(),
    };
    check(
        &policies()[1..5],
        Some(&low),
        expect![[r#"
            PropagationPolicy default/p10: another policy already holds the template (priority 1, by name)
            PropagationPolicy default/p2: another policy already holds the template (priority 1, by name)
            PropagationPolicy default/labels: another policy already holds the template (priority 1, by labels)
            PropagationPolicy default/low: keeps the template (priority -1, by name)
        "#]],
    );
    let gone = ClaimRef {
        name: "gone".to_owned(),
        ..low
    };
    check(
        &policies()[4..5],
        Some(&gone),
        expect![[r#"
            PropagationPolicy default/gone held the template and lost it
            PropagationPolicy default/low: claims the template (priority -1, by name)
        "#]],
    );
}

#[test]
fn some_objects_are_not_for_policies() {
    let mut ignored = template();
    ignored["metadata"]["namespace"] = json!("kube-system");
    let (claimed, _) = claim(&ignored, None, &PolicyView::default());
    assert_eq!(claimed, Claim::Ignored(IgnoreReason::Namespace));

    let labelled = mk(json!({"resourcetemplate.karmada.io/claimed-by": "mcs"}));
    let none = mk(json!({}));
    let cases = [
        (
            "work.karmada.io/v1alpha1",
            "Work",
            "default",
            &none,
            Err(IgnoreReason::OwnKind),
        ),
        (
            "fleet.flotilla.dev/v1alpha1",
            "Removal",
            "",
            &none,
            Err(IgnoreReason::OwnKind),
        ),
        (
            "v1",
            "Event",
            "default",
            &none,
            Err(IgnoreReason::LocalKind),
        ),
        (
            "events.k8s.io/v1",
            "Event",
            "default",
            &none,
            Err(IgnoreReason::LocalKind),
        ),
        (
            "coordination.k8s.io/v1",
            "Lease",
            "default",
            &none,
            Err(IgnoreReason::LocalKind),
        ),
        (
            "v1",
            "Service",
            "default",
            &labelled,
            Err(IgnoreReason::ClaimedElsewhere),
        ),
        (
            "v1",
            "Service",
            "karmada-es-m1",
            &none,
            Err(IgnoreReason::Namespace),
        ),
        ("v1", "Service", "kube", &none, Ok(())),
        ("example.com/v1", "Event", "default", &none, Ok(())),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "",
            &none,
            Ok(()),
        ),
    ];
    for (api_version, kind, namespace, labels, expected) in cases {
        let found = is_propagatable(api_version, kind, namespace, labels);
        assert_eq!(found, expected, "{api_version} {kind} {namespace}");
    }
}
