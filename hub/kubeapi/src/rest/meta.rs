//! Small questions about an object's metadata, and the fields that the server itself sets.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Letters of generated names: no vowels, so that no words come out.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Longest start of a generated name; five letters follow, within a label's 63.
const GENERATED_START_MAX: usize = 58;

/// A text of the metadata; empty = missing.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The metadata as a map; made when it is missing.
pub(super) fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata
        .as_object_mut()
        .expect("it was just made an object")
}

/// Sets a field of the metadata, or takes it away.
pub(super) fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let metadata = of(object);
    match value {
        Some(value) => metadata.insert(field.to_owned(), value),
        None => metadata.remove(field),
    };
}

/// Puts one object's field of the metadata into another.
pub(super) fn copy(from: &Value, to: &mut Value, field: &str) {
    let value = from["metadata"].get(field).filter(|value| !value.is_null());
    set(to, field, value.cloned());
}

/// The finalizers.
pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Sets the finalizers; an empty list is left out.
pub(super) fn set_finalizers(object: &mut Value, names: &[&str]) {
    set(
        object,
        "finalizers",
        (!names.is_empty()).then(|| json!(names)),
    );
}

/// It was asked to go.
pub(super) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Seconds until it may go; 0 = at once or not said.
pub(super) fn grace(object: &Value) -> i64 {
    let seconds = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    seconds.unwrap_or_default()
}

/// The generation; 0 = none.
pub(super) fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default()
}

/// Now, as Kubernetes writes times.
pub(super) fn now() -> String {
    time(Timestamp::now())
}

/// A time with whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A name from its start.
pub(super) fn generated(start: &str) -> String {
    let mut end = start.len().min(GENERATED_START_MAX);
    while !start.is_char_boundary(end) {
        end -= 1;
    }
    let random = uuid::Uuid::new_v4().into_bytes();
    // Version and variant bits of a v4 stand in bytes 6 and 8.
    let letters = random[..5].iter().map(|byte| {
        let index = usize::from(*byte) % LETTERS.len();
        char::from(LETTERS[index])
    });
    start[..end].chars().chain(letters).collect()
}

/// The object without what a write does not decide: to see whether anything changed.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        set(&mut object, "resourceVersion", None);
        object
    };
    bare(one) == bare(other)
}
