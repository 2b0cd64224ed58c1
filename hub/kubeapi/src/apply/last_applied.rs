//! The annotation in which a client-side `kubectl apply` keeps its last config.
//!
//! When such an object goes over to server-side apply, conflicts over what the annotation says are
//! none, and the annotation follows, so that going back loses nothing. Other clients are left alone.

use serde_json::{Map, Value};

use super::compare::compare;
use super::managers::Identity;
use super::typed::fields;
use super::updater::Conflicts;
use crate::schema::Schema;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager that this is about.
const KUBECTL: &str = "kubectl";

/// All annotations of an object together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    let text = object["metadata"]["annotations"][ANNOTATION].as_str()?;
    (!text.is_empty()).then_some(text)
}

/// All conflicts are over what the annotation says and what still stands in the object.
pub(super) fn excuses(
    schema: Schema<'_>,
    live: &Value,
    conflicts: &Conflicts,
    manager: &Identity,
) -> bool {
    if manager.name != KUBECTL {
        return false;
    }
    let said = annotation(live).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(said) = said.filter(|said| said["apiVersion"] == live["apiVersion"]) else {
        return false;
    };
    let changes = compare(Some(schema), &said, live);
    let allowed = fields(Some(schema), &said)
        .difference(&changes.modified)
        .difference(&changes.added)
        .difference(&changes.removed);
    conflicts.set().difference(&allowed).is_empty()
}

/// Lets the annotation say what was applied, where the live object has one.
pub(super) fn keep(live: &Value, config: &Value, manager: &Identity, object: &mut Value) {
    if manager.name != KUBECTL || annotation(live).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(annotations)) = config.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), Value::String(written(&config)));
    if size(annotations) > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
}

fn size(annotations: &Map<String, Value>) -> usize {
    let sizes = annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len));
    sizes.sum()
}

/// JSON as clients in Go write it: characters that mean something in HTML are escaped.
fn written(config: &Value) -> String {
    let mut text = String::new();
    for character in config.to_string().chars() {
        match character {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            other => text.push(other),
        }
    }
    text.push('\n');
    text
}
