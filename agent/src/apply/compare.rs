//! Does an object carry what we would apply? Leaf by leaf, so that what others added does not count.
//!
//! The member normalises what it stores (quantities, empty values, write-only fields); such pairs
//! count as equal here, and what is left over is learned from the answer to an apply.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flotilla_policy::model::manifest;
use flotilla_policy::model::quantity::Quantity;
use serde_json::Value;

use crate::decisions::marks;

/// Where an object differs from what is wanted: JSON pointer, and what is there.
pub type Difference = (String, Value);

/// Marks that say who applied last, and are no reason to apply again.
const VOLATILE: [&str; 2] = [marks::GENERATION, marks::FENCE];

/// Lists whose items have names, by the name of the field: their order does not count, and items
/// that others added stay. Any other list must be equal, item by item.
const KEYED: [(&str, &[&str]); 17] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("versions", &["name"]),
    ("webhooks", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("hostAliases", &["ip"]),
    ("ownerReferences", &["uid"]),
    (
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
    ("resourceClaims", &["name"]),
];

/// All differences; none when the object carries everything that is wanted.
#[must_use]
pub fn differences(desired: &Value, observed: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let Some(map) = desired.as_object() else {
        return found;
    };
    let secret = manifest::kind(desired) == "Secret" && manifest::api_version(desired) == "v1";
    for (name, wanted) in map {
        let there = &observed[name.as_str()];
        match name.as_str() {
            "status" => {}
            "stringData" if secret => string_data(wanted, &observed["data"], &mut found),
            "metadata" => metadata(wanted, there, &mut found),
            _ => compare(wanted, there, &format!("/{name}"), &mut found),
        }
    }
    found
}

fn metadata(wanted: &Value, there: &Value, found: &mut Vec<Difference>) {
    for name in ["labels", "annotations"] {
        let Some(map) = wanted[name].as_object() else {
            continue;
        };
        for (key, value) in map {
            if !VOLATILE.contains(&key.as_str()) && there[name].get(key) != Some(value) {
                let path = format!("/metadata/{name}/{}", escape(key));
                found.push((path, there[name][key.as_str()].clone()));
            }
        }
    }
    if let Some(finalizers) = wanted.get("finalizers") {
        let has = |f: &Value| {
            there["finalizers"]
                .as_array()
                .is_some_and(|all| all.contains(f))
        };
        if !finalizers.as_array().into_iter().flatten().all(has) {
            let path = "/metadata/finalizers".to_owned();
            found.push((path, there["finalizers"].clone()));
        }
    }
}

fn string_data(wanted: &Value, data: &Value, found: &mut Vec<Difference>) {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        let there = data[key.as_str()]
            .as_str()
            .and_then(|t| STANDARD.decode(t).ok());
        if there.as_deref() != value.as_str().map(str::as_bytes) {
            let path = format!("/data/{}", escape(key));
            found.push((path, data[key.as_str()].clone()));
        }
    }
}

fn compare(wanted: &Value, there: &Value, path: &str, found: &mut Vec<Difference>) {
    match (wanted, there) {
        (Value::Object(map), Value::Object(_)) => {
            for (key, value) in map {
                compare(value, &there[key.as_str()], &join(path, key), found);
            }
        }
        (Value::Array(items), Value::Array(others)) => list(items, others, path, found),
        _ if same(wanted, there) => {}
        _ => found.push((path.to_owned(), there.clone())),
    }
}

fn list(items: &[Value], others: &[Value], path: &str, found: &mut Vec<Difference>) {
    let field = path.rsplit('/').next().unwrap_or("");
    let keys = KEYED.iter().find(|(name, keys)| {
        *name == field && items.iter().all(|item| item.get(keys[0]).is_some())
    });
    if let Some((_, keys)) = keys {
        for (index, item) in items.iter().enumerate() {
            let matching = others.iter().find(|other| {
                keys.iter().all(|key| {
                    // An absent second key has a default that only the member knows.
                    item.get(key)
                        .is_none_or(|value| Some(value) == other.get(key))
                })
            });
            let path = format!("{path}/{index}");
            compare(item, matching.unwrap_or(&Value::Null), &path, found);
        }
        return;
    }
    if items.len() != others.len() {
        found.push((path.to_owned(), Value::Array(others.to_vec())));
        return;
    }
    for (index, (item, other)) in items.iter().zip(others).enumerate() {
        compare(item, other, &format!("{path}/{index}"), found);
    }
}

fn same(wanted: &Value, there: &Value) -> bool {
    if wanted == there || is_empty(wanted) && is_empty(there) {
        return true;
    }
    let scalar = |v: &Value| v.is_string() || v.is_number();
    if !scalar(wanted) || !scalar(there) {
        return false;
    }
    match (Quantity::from_value(wanted), Quantity::from_value(there)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn join(path: &str, key: &str) -> String {
    format!("{path}/{}", escape(key))
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(desired: Value, observed: Value, want: &[&str]) {
        let found = differences(&desired, &observed);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, want, "{desired} against {observed}");
    }

    #[test]
    fn what_others_added_does_not_count() {
        let desired = json!({"data": {"a": "1"}, "metadata": {"labels": {"l": "1"}}});
        let more = json!({
            "data": {"a": "1", "b": "2"},
            "metadata": {"labels": {"l": "1", "m": "2"}, "uid": "u"},
        });
        check(desired.clone(), more, &[]);
        let less = json!({"data": {"a": "2"}, "metadata": {}});
        check(desired, less, &["/data/a", "/metadata/labels/l"]);
    }

    #[test]
    fn marks_of_the_last_apply_do_not_count() {
        let with = |generation: &str, uid: &str| {
            json!({"metadata": {"annotations": {
                marks::GENERATION: generation, marks::TEMPLATE_UID: uid,
            }}})
        };
        check(with("1.1", "a"), with("1.2", "a"), &[]);
        let path = "/metadata/annotations/fleet.flotilla.dev~1template-uid";
        check(with("1.1", "a"), with("1.1", "b"), &[path]);
    }

    #[test]
    fn normalised_values_are_equal() {
        let desired = json!({"spec": {
            "cpu": "1000m", "labels": {}, "creationTimestamp": null, "replicas": 1, "text": "a",
        }});
        check(
            desired.clone(),
            json!({"spec": {"cpu": "1", "replicas": 1, "text": "a"}}),
            &[],
        );
        let other = json!({"spec": {"cpu": "2", "replicas": 0, "text": "b"}});
        check(
            desired,
            other,
            &["/spec/cpu", "/spec/replicas", "/spec/text"],
        );
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"p": "x"}});
        let stored = json!({"apiVersion": "v1", "kind": "Secret", "data": {"p": "eA=="}});
        check(secret.clone(), stored, &[]);
        check(
            secret,
            json!({"apiVersion": "v1", "kind": "Secret"}),
            &["/data/p"],
        );
    }

    #[test]
    fn named_items_match_by_name_and_other_lists_whole() {
        let desired = json!({"spec": {"containers": [
            {"name": "a", "image": "x", "ports": [{"containerPort": 80}], "args": ["1"]},
        ]}});
        let injected = json!({"spec": {"containers": [
            {"name": "sidecar"},
            {"name": "a", "image": "x", "args": ["1"],
             "ports": [{"containerPort": 80, "protocol": "TCP"}]},
        ]}});
        check(desired.clone(), injected, &[]);
        let changed = json!({"spec": {"containers": [
            {"name": "a", "image": "y", "ports": [{"containerPort": 81}], "args": ["1", "2"]},
        ]}});
        let want = [
            "/spec/containers/0/args",
            "/spec/containers/0/image",
            "/spec/containers/0/ports/0",
        ];
        check(desired, changed, &want);
        let rules = json!({"rules": [{"verbs": ["get"]}]});
        check(
            rules.clone(),
            json!({"rules": [{"verbs": ["get"]}, {}]}),
            &["/rules"],
        );
        check(
            rules,
            json!({"rules": [{"verbs": ["put"]}]}),
            &["/rules/0/verbs/0"],
        );
    }
}
