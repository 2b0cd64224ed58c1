//! Fields that a member decides: for a replace they are copied from the observed object, for an
//! apply they are left out of the desired one.

use serde_json::Value;

use super::read::{self, Read};

/// Field manager of the agent's server-side apply.
const FIELD_MANAGER: &str = "flotilla";

/// Copies a field from the observed object, when it is there.
pub(super) fn copy(desired: &mut Value, observed: &Value, path: &[&str]) -> Read<()> {
    let value = read::at(observed, path)?.clone();
    read::at(desired, path)?;
    if !value.is_null() {
        put(desired, path, value);
    }
    Ok(())
}

/// Sets a field whose parents are objects or absent; a parent of another type stays.
pub(super) fn put(object: &mut Value, path: &[&str], value: Value) {
    let mut slot = object;
    for key in path {
        if slot.is_null() {
            *slot = Value::Object(serde_json::Map::new());
        }
        let Some(map) = slot.as_object_mut() else {
            return;
        };
        slot = map.entry(*key).or_insert(Value::Null);
    }
    *slot = value;
}

/// Leaves a field out of an apply, when the observed object has it. A field that an earlier apply of
/// ours owns gets the observed value: left out, the API server would reset it.
pub(super) fn leave_out(desired: &mut Value, observed: &Value, path: &[&str]) {
    let Ok(value) = read::at(observed, path) else {
        return;
    };
    if value.is_null() {
        return;
    }
    if is_applied(observed, path) {
        put(desired, path, value.clone());
    } else {
        crate::model::manifest::remove(desired, path);
    }
}

/// Whether our last apply set the field.
fn is_applied(observed: &Value, path: &[&str]) -> bool {
    let entries = observed["metadata"]["managedFields"].as_array();
    entries.into_iter().flatten().any(|entry| {
        let ours = entry["manager"].as_str() == Some(FIELD_MANAGER)
            && entry["operation"].as_str() == Some("Apply")
            && entry["subresource"].as_str().unwrap_or_default().is_empty();
        let field = path.iter().try_fold(&entry["fieldsV1"], |fields, key| {
            fields.get(format!("f:{key}"))
        });
        ours && field.is_some()
    })
}
