//! The generated CustomResourceDefinitions: what they are as a whole, and rules each must keep.

use expect_test::expect_file;
use flotilla_policy::api::{KINDS, crds};
use serde_json::Value;

#[test]
fn crds_are_as_committed() {
    let text = serde_json::to_string_pretty(&crds()).expect("a CRD is JSON");
    expect_file!["../../goldens/crds.json"].assert_eq(&(text + "\n"));
}

#[test]
fn every_kind_has_its_crd() {
    let names: Vec<String> = crds()
        .iter()
        .map(|crd| {
            crd["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let kinds: Vec<String> = KINDS.iter().map(|info| info.crd_name()).collect();
    assert_eq!(names, kinds);
    for name in kinds {
        let (plural, group) = name.split_once('.').expect("plural.group");
        assert!(!plural.is_empty() && group.contains('.'), "{name}");
    }
}

#[test]
fn every_schema_is_structural() {
    for info in KINDS {
        check_node(info.kind, (info.schema)());
    }
}

/// What the API server demands of a structural schema.
fn check_node(at: &str, node: &Value) {
    let schema = node.as_object().expect(at);
    let free = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let either = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    assert!(
        schema.contains_key("type") || free || either,
        "{at} has no type"
    );
    for forbidden in [
        "$ref", "$schema", "$defs", "title", "anyOf", "oneOf", "allOf", "nullable",
    ] {
        assert!(!schema.contains_key(forbidden), "{at} has {forbidden}");
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        assert!(
            ["int32", "int64", "date-time"].contains(&format),
            "{at}: {format}"
        );
    }
    assert!(
        !(schema.contains_key("properties") && schema.contains_key("additionalProperties")),
        "{at} has properties and additionalProperties"
    );
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, child) in properties.into_iter().flatten() {
        check_node(&format!("{at}.{name}"), child);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(key) {
            check_node(&format!("{at}.{key}"), child);
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        assert!(
            properties.is_some_and(|p| p.contains_key(name)),
            "{at} requires unknown {name}"
        );
    }
}
