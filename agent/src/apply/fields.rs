//! Field ownership of an adopted object: what other managers set by plain updates and we now apply is
//! taken from them, so that a field that leaves the template later leaves the object too.
//!
//! Pure; works on `managedFields` as the member returned them, all entries.

use flotilla_policy::model::manifest;
use serde_json::Value;

use crate::decisions::marks;

/// The object's entries without others' claims on what we apply; none when there are no such claims.
#[must_use]
pub fn taken_over(object: &Value) -> Option<Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let ours = entries.iter().find(|entry| {
        manifest::text(entry, &["manager"]) == marks::MEMBER_FIELD_MANAGER
            && manifest::text(entry, &["operation"]) == "Apply"
    })?;
    let mut made = Vec::with_capacity(entries.len());
    let mut changed = false;
    for entry in entries {
        let plain = manifest::text(entry, &["operation"]) == "Update"
            && manifest::text(entry, &["subresource"]).is_empty();
        let mut entry = entry.clone();
        if plain {
            changed |= subtract(&mut entry["fieldsV1"], &ours["fieldsV1"]);
        }
        let empty = entry["fieldsV1"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty);
        if !(plain && empty) {
            made.push(entry);
        }
    }
    changed.then_some(Value::Array(made))
}

/// Takes our fields out of theirs; whether any was there.
fn subtract(theirs: &mut Value, ours: &Value) -> bool {
    let (Some(theirs), Some(ours)) = (theirs.as_object_mut(), ours.as_object()) else {
        return false;
    };
    let mut changed = false;
    for (key, inner) in ours {
        let Some(held) = theirs.get_mut(key) else {
            continue;
        };
        if inner.as_object().is_none_or(serde_json::Map::is_empty) {
            theirs.remove(key);
            changed = true;
            continue;
        }
        changed |= subtract(held, inner);
        let empty = held.as_object().is_some_and(serde_json::Map::is_empty);
        if empty {
            theirs.remove(key);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_of_plain_updates_are_taken_and_others_stay() {
        let ours = json!({
            "manager": "flotilla", "operation": "Apply",
            "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}},
        });
        let status = json!({
            "manager": "kcm", "operation": "Update", "subresource": "status",
            "fieldsV1": {"f:data": {"f:a": {}}},
        });
        let object = json!({"metadata": {"managedFields": [
            ours,
            {"manager": "kubectl", "operation": "Update",
             "fieldsV1": {"f:data": {".": {}, "f:a": {}, "f:c": {}}}},
            {"manager": "other", "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}},
            status,
        ]}});
        let want = json!([
            ours,
            {"manager": "kubectl", "operation": "Update",
             "fieldsV1": {"f:data": {".": {}, "f:c": {}}}},
            status,
        ]);
        assert_eq!(taken_over(&object), Some(want.clone()));
        let again = json!({"metadata": {"managedFields": want}});
        assert_eq!(taken_over(&again), None);
        assert_eq!(taken_over(&json!({})), None);
    }
}
