//! What a real server fills in when nothing was said: the same for every profile, since nothing here
//! is allocated or looked up.
//!
//! Most of it is a table of paths; what depends on other fields lies in the files beside it. It runs
//! on decoded objects, so that "missing" is one thing.

mod objects;
mod pods;
mod table;

use serde_json::{Map, Value};

use super::{Kind, Profile};
use crate::schema::structural;

/// Fills in the defaults of a decoded object.
pub fn apply(kind: &Kind, _profile: Profile, object: &mut Value) {
    if kind.custom {
        structural::default(kind.schema(), object);
        return;
    }
    let key = (kind.group.as_str(), kind.kind.as_str());
    objects::before(key, object);
    for path in table::template_paths(key) {
        if let Some(template) = object.pointer_mut(path) {
            pods::template(template);
        }
    }
    if key == ("", "Pod") {
        pods::template(object);
        pods::pod(object);
    }
    table::apply(key, object);
    objects::after(key, object);
}

/// The object at a key, made when it is missing.
pub(in crate::kinds) fn object_at<'a>(
    value: &'a mut Value,
    key: &str,
) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let object = value.as_object_mut().expect("just made one");
    let inner = object
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    inner.as_object_mut().expect("just made one")
}

/// Sets a field that is missing, or an empty text.
pub(in crate::kinds) fn set_missing(
    object: &mut Map<String, Value>,
    key: &str,
    value: impl Into<Value>,
) {
    let unsaid = |value: &Value| value.is_null() || value == "";
    if object.get(key).is_none_or(unsaid) {
        object.insert(key.to_owned(), value.into());
    }
}

/// The text of a field, or the empty one.
pub(in crate::kinds) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
