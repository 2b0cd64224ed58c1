//! Reading and writing manifests as JSON values. Decides nothing; never fails on a missing field.

use serde_json::{Map, Value};

use crate::api::StringMap;

/// `apiVersion`, or empty.
#[must_use]
pub fn api_version(object: &Value) -> &str {
    text(object, &["apiVersion"])
}

/// `kind`, or empty.
#[must_use]
pub fn kind(object: &Value) -> &str {
    text(object, &["kind"])
}

/// `metadata.name`, or empty.
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

/// `metadata.namespace`, or empty.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

/// `metadata.uid`, or empty.
#[must_use]
pub fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// API group of an `apiVersion`; empty for the core group.
#[must_use]
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The value at a path of keys.
#[must_use]
pub fn get<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, key| value.get(key))
}

/// The text at a path of keys, or empty.
#[must_use]
pub fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    get(object, path).and_then(Value::as_str).unwrap_or("")
}

/// The integer at a path of keys; a float or a text is none.
#[must_use]
pub fn int(object: &Value, path: &[&str]) -> Option<i64> {
    get(object, path).and_then(Value::as_i64)
}

/// `metadata.labels`; entries that are not text are left out.
#[must_use]
pub fn labels(object: &Value) -> StringMap {
    string_map(get(object, &["metadata", "labels"]))
}

/// `metadata.annotations`; entries that are not text are left out.
#[must_use]
pub fn annotations(object: &Value) -> StringMap {
    string_map(get(object, &["metadata", "annotations"]))
}

fn string_map(value: Option<&Value>) -> StringMap {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}

/// The map at a path of keys, made when absent (also in place of a value that is no map).
pub fn map_mut<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut value = object;
    for key in path {
        value = make_map(value).entry(*key).or_insert(Value::Null);
    }
    make_map(value)
}

fn make_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map above"),
    }
}

/// Removes the value at a path of keys; absent is fine.
pub fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents
        .iter()
        .try_fold(object, |value, key| value.get_mut(key))?;
    parent.as_object_mut()?.remove(*last)
}
