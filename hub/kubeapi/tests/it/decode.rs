//! Decoding: strict types, unknown and duplicate fields, and how empty fields show.

use flotilla_kubeapi::quantity;
use flotilla_kubeapi::schema::decode::{FieldValidation, decode, parse};
use serde_json::json;

use crate::schemas::kind;

fn check(group: &str, name: &str, body: &str, mode: FieldValidation, expected: &str) {
    let kind = kind(group, name);
    let mut found = Vec::new();
    let result = parse(body.as_bytes(), false, &mut found)
        .and_then(|value| decode(&kind, value, mode, &mut found));
    let shown = match result {
        Ok(value) => found.into_iter().fold(value.to_string(), |text, warning| {
            format!("{text}\n{warning}")
        }),
        Err(status) => format!("{} {}", status.code, status.message),
    };
    assert_eq!(shown, expected, "{body}");
}

#[test]
fn empty_fields() {
    check(
        "",
        "ConfigMap",
        r#"{"metadata":{"name":"a","namespace":"","labels":null,"creationTimestamp":null},"data":{}}"#,
        FieldValidation::Strict,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#,
    );
    check(
        "apps",
        "Deployment",
        r#"{"metadata":{"labels":{"a":null}},"spec":{"replicas":0,"paused":false,"template":{"spec":{"containers":[null]}}}}"#,
        FieldValidation::Strict,
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"labels": {"a": ""}},
            "spec": {
                "replicas": 0, "selector": null, "strategy": {},
                "template": {
                    "metadata": {},
                    "spec": {"containers": [{"name": "", "resources": {}}]},
                },
            },
            "status": {},
        })
        .to_string(),
    );
}

#[test]
fn wrong_types() {
    let refused = |what: &str| {
        format!("400 Deployment in version \"v1\" cannot be handled as a Deployment: {what}")
    };
    let cases = [
        (
            r#"{"spec":{"replicas":"two"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":"x"}"#,
            "json: cannot unmarshal string into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{"name":"c"}}}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            r#"{"metadata":{"creationTimestamp":"bad"}}"#,
            "parsing time \"bad\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"bad\"",
        ),
        (
            r#"{"spec":{"replicas":2.0}}"#,
            "json: cannot unmarshal number 2.0 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
    ];
    for (body, why) in cases {
        check(
            "apps",
            "Deployment",
            body,
            FieldValidation::Ignore,
            &refused(why),
        );
    }
}

#[test]
fn unknown_and_duplicate_fields() {
    let body = r#"{"kind":"ConfigMap","metadata":{"name":"x","foo":1,"name":"y"},"data":{"k":"1","k":"2"},"data":{"z":"1"},"zzz":1}"#;
    let stored = r#"{"apiVersion":"v1","data":{"k":"2","z":"1"},"kind":"ConfigMap","metadata":{"name":"y"}}"#;
    let found = [
        "duplicate field \"metadata.name\"",
        "duplicate field \"data.k\"",
        "duplicate field \"data\"",
        "unknown field \"metadata.foo\"",
        "unknown field \"zzz\"",
    ];
    check("", "ConfigMap", body, FieldValidation::Ignore, stored);
    let warned = format!("{stored}\n{}", found.join("\n"));
    check("", "ConfigMap", body, FieldValidation::Warn, &warned);
    let refused = format!(
        "400 ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {}",
        found.join(", ")
    );
    check("", "ConfigMap", body, FieldValidation::Strict, &refused);
}

#[test]
fn quantities() {
    for (text, canonical) in [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024", "1024"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1e3"),
        ("12e6", "12e6"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1500m", "-1500m"),
        ("0.0001", "100u"),
        ("1536Ki", "1536Ki"),
        ("100k", "100k"),
        (".5Mi", "512Ki"),
    ] {
        let parsed = quantity::parse(text).map(quantity::Quantity::to_text);
        assert_eq!(parsed.as_deref(), Some(canonical), "{text}");
    }
    assert_eq!(
        quantity::parse("0.0001").unwrap().milli_up().to_text(),
        "1m"
    );
    for text in ["", "x", "1x", "1.2.3", "-", "true", "1 Gi", "1ki"] {
        assert_eq!(quantity::parse(text), None, "{text}");
    }
}
