//! Field ownership of an adopted object: what other managers set by plain updates and we now apply is
//! taken from them, so that a field that leaves the template later leaves the object too.
//!
//! Pure; works on `managedFields` as the member returned them, all entries.

use flotilla_policy::model::manifest;
use serde_json::Value;

use crate::decisions::marks;

/// Paths that an earlier apply of ours owns and the manifest has no more: an apply takes them away.
#[must_use]
pub fn left_over(manifest: &Value, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(ours) = ours(object) {
        let secret = manifest::kind(manifest) == "Secret";
        walk(&ours["fieldsV1"], manifest, "", &mut found);
        if secret {
            // What was given as text is stored, and owned, as data.
            let given = |path: &String| {
                let name = path.strip_prefix("/data/").unwrap_or("");
                manifest["stringData"].get(name).is_some()
            };
            found.retain(|path| !given(path));
        }
    }
    found
}

fn walk(fields: &Value, manifest: &Value, path: &str, found: &mut Vec<String>) {
    for (key, inner) in fields.as_object().into_iter().flatten() {
        if key == "." {
            continue;
        }
        let (kind, name) = key.split_once(':').unwrap_or(("", key));
        let there = match kind {
            "f" => manifest.get(name),
            "k" => item(manifest, name),
            "v" => manifest.as_array().and_then(|items| {
                let value: Value = serde_json::from_str(name).ok()?;
                items.iter().find(|item| **item == value)
            }),
            _ => Some(manifest),
        };
        let path = format!("{path}/{name}");
        match there {
            Some(there) => walk(inner, there, &path, found),
            None => found.push(path),
        }
    }
}

/// The item of a list with these keys; a key that is not written has a default.
fn item<'a>(list: &'a Value, keys: &str) -> Option<&'a Value> {
    let keys: Value = serde_json::from_str(keys).ok()?;
    let keys = keys.as_object()?;
    let fits = |item: &&Value| {
        keys.iter()
            .all(|(key, value)| item.get(key).is_none_or(|has| has == value))
    };
    list.as_array()?.iter().find(fits)
}

/// The object's entries without others' claims on what we apply; none when there are no such claims.
#[must_use]
pub fn taken_over(object: &Value) -> Option<Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let ours = ours(object)?;
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

/// The entry of our own applies.
fn ours(object: &Value) -> Option<&Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    entries.iter().find(|entry| {
        manifest::text(entry, &["manager"]) == marks::MEMBER_FIELD_MANAGER
            && manifest::text(entry, &["operation"]) == "Apply"
    })
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
    fn what_left_the_manifest_is_found() {
        let object = json!({"metadata": {"managedFields": [{
            "manager": "flotilla", "operation": "Apply",
            "fieldsV1": {"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:spec": {"f:ports": {
                "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}},
            }}, "f:set": {"v:\"x\"": {}}},
        }]}});
        let check = |manifest: Value, want: &[&str]| {
            assert_eq!(left_over(&manifest, &object), want, "{manifest}");
        };
        let whole = json!({
            "data": {"a": "1", "b": "2"}, "set": ["x"],
            "spec": {"ports": [{"port": 80, "name": "http"}]},
        });
        check(whole.clone(), &[]);
        let mut less = whole.clone();
        less["data"] = json!({"a": "1"});
        less["set"] = json!(["y"]);
        less["spec"]["ports"][0] = json!({"port": 80});
        let port = "/spec/ports/{\"port\":80,\"protocol\":\"TCP\"}/name";
        check(less, &["/data/b", "/set/\"x\"", port]);
        let mut secret = whole;
        secret["kind"] = "Secret".into();
        secret["data"] = json!({"a": "1"});
        secret["stringData"] = json!({"b": "2"});
        check(secret, &[]);
    }

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
