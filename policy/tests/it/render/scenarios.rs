//! One scenario per kind of override at least: what a rule changes, as `flotilla why` tells it.

use expect_test::{Expect, expect};
use flotilla_policy::api::Overriders;
use flotilla_policy::overriding::{OverrideList, ResolvedRule};
use flotilla_policy::render::overrides::registry::KINDS;
use flotilla_policy::render::{Assignment, render};
use serde_json::{Value, json};

/// One rule on one template, and what it changed.
struct Scenario {
    kind: &'static str,
    overriders: Value,
    expected: Expect,
}

fn scenarios() -> Vec<Scenario> {
    [containers(), maps(), documents()]
        .into_iter()
        .flatten()
        .collect()
}

fn scenario(kind: &'static str, overriders: Value, expected: Expect) -> Scenario {
    Scenario {
        kind,
        overriders,
        expected,
    }
}

fn containers() -> Vec<Scenario> {
    vec![
        scenario(
            "imageOverrider",
            json!({"imageOverrider": [
                {"component": "Registry", "operator": "replace", "value": "mirror.example.com"},
                {"component": "Tag", "operator": "add", "value": "-fips"},
            ]}),
            expect![[r#"
                /spec/template/spec/containers/0/image: "quay.io/shop/web:1@sha256:50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c" -> "mirror.example.com/shop/web:1@sha256:50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c"
                /spec/template/spec/containers/0/image: "mirror.example.com/shop/web:1@sha256:50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c" -> "mirror.example.com/shop/web:1-fips"
            "#]],
        ),
        scenario(
            "imageOverrider",
            json!({"imageOverrider": [{
                "component": "Tag", "operator": "replace", "value": "2",
                "predicate": {"path": "/spec/template/spec/initContainers/0/image"},
            }]}),
            expect![[r#"
                /spec/template/spec/initContainers/0/image: "busybox:1" -> "busybox:2"
            "#]],
        ),
        scenario(
            "imageOverrider",
            json!({"imageOverrider": [{"component": "Host", "operator": "add", "value": "x"}]}),
            expect![[r#"
                cluster edge: OverridePolicy/shop/p rule 0: imageOverrider[0]: unknown component "Host"
            "#]],
        ),
        scenario(
            "commandOverrider",
            json!({"commandOverrider": [
                {"containerName": "web", "operator": "remove", "value": ["--debug"]},
            ]}),
            expect![[r#"
                /spec/template/spec/containers/0/command: ["serve","--debug"] -> ["serve"]
            "#]],
        ),
        scenario(
            "argsOverrider",
            json!({"argsOverrider": [
                {"containerName": "web", "operator": "add", "value": ["--region=edge"]},
                {"containerName": "absent", "operator": "add", "value": ["--never"]},
            ]}),
            expect![[r#"
                /spec/template/spec/containers/0/args: - -> ["--region=edge"]
            "#]],
        ),
    ]
}

fn maps() -> Vec<Scenario> {
    vec![
        scenario(
            "labelsOverrider",
            json!({"labelsOverrider": [
                {"operator": "add", "value": {"example.com/zone": "a"}},
                {"operator": "replace", "value": {"absent": "x", "app": "shop"}},
            ]}),
            expect![[r#"
                /metadata/labels/example.com~1zone: - -> "a"
                /metadata/labels/app: "web" -> "shop"
            "#]],
        ),
        scenario(
            "annotationsOverrider",
            json!({"annotationsOverrider": [{"operator": "remove", "value": {"note": ""}}]}),
            expect![[r#"
                /metadata/annotations/note: "n" -> -
            "#]],
        ),
    ]
}

fn documents() -> Vec<Scenario> {
    vec![
        scenario(
            "fieldOverrider",
            json!({"fieldOverrider": [{"fieldPath": "/data/x", "json": [
                {"subPath": "/a", "operator": "remove"},
            ]}]}),
            expect![[r#"
                cluster edge: OverridePolicy/shop/p rule 0: fieldOverrider[0]: fieldOverrider is not supported
            "#]],
        ),
        scenario(
            "plaintext",
            json!({"plaintext": [
                {"path": "/spec/replicas", "operator": "replace", "value": 9},
                {"path": "/spec/template/spec/containers/-", "operator": "add",
                 "value": {"name": "side"}},
                {"path": "/spec/template/spec/containers/-1/image", "operator": "add",
                 "value": "side:1"},
            ]}),
            expect![[r#"
                /spec/replicas: 2 -> 9
                /spec/template/spec/containers/1: - -> {"name":"side"}
                /spec/template/spec/containers/-1/image: - -> "side:1"
            "#]],
        ),
        scenario(
            "plaintext",
            json!({"plaintext": [
                {"path": "/spec/replicas", "operator": "remove"},
                {"path": "/spec/paused", "operator": "replace", "value": true},
            ]}),
            expect![[r#"
                cluster edge: OverridePolicy/shop/p rule 0: plaintext[1]: there is nothing at /spec/paused
            "#]],
        ),
        scenario(
            "plaintext",
            json!({"plaintext": [{"path": "/kind", "operator": "replace", "value": "Pod"}]}),
            expect![[r#"
                cluster edge: OverridePolicy/shop/p rule 0: plaintext: an override may not change kind
            "#]],
        ),
    ]
}

fn check(overriders: &Value, expected: &Expect) {
    let template = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7",
            "labels": {"app": "web"}, "annotations": {"note": "n"},
        },
        "spec": {"replicas": 6, "template": {"spec": {
            "containers": [{
                "name": "web", "command": ["serve", "--debug"],
                "image": "quay.io/shop/web:1@sha256:50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c",
            }],
            "initContainers": [{"name": "init", "image": "busybox:1"}],
        }}},
        "status": {"replicas": 6},
    });
    let rule = ResolvedRule {
        policy: "OverridePolicy/shop/p".into(),
        rule: 0,
        overriders: serde_json::from_value(overriders.clone()).expect("overriders"),
    };
    let assignment = Assignment {
        cluster: "edge".into(),
        replicas: Some(2),
        ..Assignment::default()
    };
    let text = match render(&template, &OverrideList { rules: vec![rule] }, &assignment) {
        Err(error) => format!("{error}\n"),
        Ok(rendered) => rendered
            .changes
            .iter()
            .map(|c| {
                let show = |v: &Option<Value>| v.as_ref().map_or("-".into(), Value::to_string);
                format!("{}: {} -> {}\n", c.path, show(&c.from), show(&c.to))
            })
            .collect(),
    };
    expected.assert_eq(&text);
}

#[test]
fn each_kind_changes_what_it_says() {
    for scenario in scenarios() {
        check(&scenario.overriders, &scenario.expected);
    }
}

/// A new kind of override comes with a scenario.
#[test]
fn each_kind_has_a_scenario() {
    let scenarios = scenarios();
    for kind in KINDS {
        let own = scenarios.iter().filter(|s| s.kind == kind.field);
        assert!(own.count() > 0, "{} has no scenario", kind.field);
    }
    assert!(
        scenarios.iter().all(|s| s.overriders[s.kind].is_array()),
        "a scenario of its kind"
    );
}

/// Kinds are applied in one order, and none is forgotten: as many as the API type has fields.
#[test]
fn registry_holds_every_kind_once() {
    let fields: Vec<_> = KINDS.iter().map(|k| k.field).collect();
    let full = json!({
        "plaintext": [{}], "imageOverrider": [{}], "commandOverrider": [{}], "argsOverrider": [{}],
        "labelsOverrider": [{}], "annotationsOverrider": [{}], "fieldOverrider": [{}],
    });
    let typed: Overriders = serde_json::from_value(full).unwrap();
    let known = serde_json::to_value(typed).unwrap();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    let mut known: Vec<_> = known
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    known.sort_unstable();
    assert_eq!(sorted, known);
    assert_eq!(fields.first(), Some(&"imageOverrider"));
    assert_eq!(
        fields.last(),
        Some(&"plaintext"),
        "plaintext sees what all others did"
    );
}
