//! Rules that several kinds share: selectors of resources and clusters, permanent ids, label maps.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ClusterAffinity, FieldError, FieldSelector, ResourceSelector, StringMap, names};
use crate::model::manifest;

/// The typed spec of an object that passed its schema.
pub(super) fn spec_of<S: DeserializeOwned>(object: &Value) -> Result<S, Vec<FieldError>> {
    let spec = object.get("spec").cloned().unwrap_or_default();
    serde_json::from_value(spec).map_err(|e| vec![FieldError::new("spec", e.to_string())])
}

/// Gives each selector of a namespaced policy the policy's namespace when it names none.
pub(super) fn fill_selector_namespaces(object: &mut Value) {
    let namespace = manifest::namespace(object).to_owned();
    if namespace.is_empty() {
        return;
    }
    for selector in list_mut(object, &["spec", "resourceSelectors"]) {
        if manifest::text(selector, &["namespace"]).is_empty() && selector.is_object() {
            manifest::map_mut(selector, &[])
                .insert("namespace".to_owned(), namespace.clone().into());
        }
    }
}

/// The items of the list at a path of keys; nothing where there is no list.
pub(super) fn list_mut<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut [Value] {
    let list = path
        .iter()
        .try_fold(object, |value, key| value.get_mut(key))
        .and_then(Value::as_array_mut);
    list.map_or(&mut [], Vec::as_mut_slice)
}

/// Selectors name a kind, and in a namespaced policy nothing outside its namespace.
pub(super) fn check_selectors(
    selectors: &[ResourceSelector],
    namespace: &str,
    errors: &mut Vec<FieldError>,
) {
    for (i, selector) in selectors.iter().enumerate() {
        let field = |name: &str| format!("spec.resourceSelectors[{i}].{name}");
        for (name, text) in [
            ("apiVersion", &selector.api_version),
            ("kind", &selector.kind),
        ] {
            if text.is_empty() {
                errors.push(FieldError::new(field(name), "must not be empty"));
            }
        }
        if !namespace.is_empty() && selector.namespace != namespace {
            let message = format!("must be the policy's own namespace, \"{namespace}\"");
            errors.push(FieldError::new(field("namespace"), message));
        }
    }
}

/// The field selector knows three keys and two operators.
pub(super) fn check_affinity(
    field: &str,
    affinity: &ClusterAffinity,
    errors: &mut Vec<FieldError>,
) {
    let Some(FieldSelector { match_expressions }) = &affinity.field_selector else {
        return;
    };
    for (i, requirement) in match_expressions.iter().enumerate() {
        let field = |name: &str| format!("{field}.fieldSelector.matchExpressions[{i}].{name}");
        if !matches!(requirement.key.as_str(), "provider" | "region" | "zone") {
            let message = format!("\"{}\" is not provider, region or zone", requirement.key);
            errors.push(FieldError::new(field("key"), message));
        }
        if !matches!(requirement.operator.as_str(), "In" | "NotIn") {
            let message = format!("\"{}\" is not In or NotIn", requirement.operator);
            errors.push(FieldError::new(field("operator"), message));
        }
    }
}

/// The permanent id is there and never changes.
pub(super) fn check_permanent_id(
    label: &str,
    new: &Value,
    old: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    let id = |object| manifest::labels(object).remove(label).unwrap_or_default();
    let new_id = id(new);
    let field = format!("metadata.labels[{label}]");
    if old.is_some_and(|old| id(old) != new_id) {
        errors.push(FieldError::new(field, "is set on create and never changes"));
    } else if new_id.is_empty() {
        errors.push(FieldError::new(field, "is required"));
    }
}

/// Legal label keys and values.
pub(super) fn check_labels(field: &str, labels: &StringMap, errors: &mut Vec<FieldError>) {
    for (key, value) in labels {
        if !names::is_label_key(key) {
            errors.push(FieldError::new(field, format!("\"{key}\" is no label key")));
        }
        check_label_value(field, value, errors);
    }
}

/// A legal label value.
pub(super) fn check_label_value(field: &str, value: &str, errors: &mut Vec<FieldError>) {
    if !names::is_label_value(value) {
        errors.push(FieldError::new(
            field,
            format!("\"{value}\" is no label value"),
        ));
    }
}

/// A legal label key.
pub(super) fn check_label_key(field: &str, key: &str, errors: &mut Vec<FieldError>) {
    if !names::is_label_key(key) {
        errors.push(FieldError::new(field, format!("\"{key}\" is no label key")));
    }
}

/// A JSON pointer.
pub(super) fn check_pointer(field: &str, pointer: &str, errors: &mut Vec<FieldError>) {
    if !names::is_json_pointer(pointer) {
        let message = format!("\"{pointer}\" is no JSON pointer: it must be empty or start with /");
        errors.push(FieldError::new(field, message));
    }
}
