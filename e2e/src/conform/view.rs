//! Parts of an answer: what a step wants compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// `a.b.0.c`, and `list.key=value.field` to pick an item of a list.
pub(super) fn dig<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(list) => match part.split_once('=') {
            Some((key, wanted)) => list.iter().find(|one| one[key] == wanted),
            None => list.get(part.parse::<usize>().ok()?),
        },
        Value::Object(map) => map.get(part),
        _ => None,
    })
}

/// Takes a path away, in every item of a list.
pub(super) fn drop_path(value: &mut Value, parts: &[&str]) {
    match (value, parts) {
        (Value::Array(list), _) => list.iter_mut().for_each(|one| drop_path(one, parts)),
        (Value::Object(map), [last]) => {
            map.remove(*last);
        }
        (Value::Object(map), [first, rest @ ..]) => {
            if let Some(inner) = map.get_mut(*first) {
                drop_path(inner, rest);
            }
        }
        _ => {}
    }
}

/// Only the resources asked for, and only the facts that any server would share.
pub(super) fn discovery(body: &Value, wanted: &Value) -> Value {
    let wanted: Vec<&str> = match wanted {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::Object(map) => map.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let mut out = picked(body, &["kind", "apiVersion", "groupVersion"]);
    let mut found = Map::new();
    let resources = body["resources"].as_array();
    for resource in resources.into_iter().flatten() {
        let Some(name) = resource["name"]
            .as_str()
            .filter(|name| wanted.contains(name))
        else {
            continue;
        };
        let facts = [
            "name",
            "singularName",
            "namespaced",
            "kind",
            "group",
            "version",
            "shortNames",
            "categories",
        ];
        let mut one = picked(resource, &facts);
        one.insert("verbs".into(), sorted_texts(&resource["verbs"]));
        found.insert(name.into(), Value::Object(one));
    }
    out.insert("resources".into(), Value::Object(found));
    Value::Object(out)
}

/// One resource of the preferred version of one group of aggregated discovery.
pub(super) fn aggregated(body: &Value, group: &str, resource: &str) -> Value {
    let groups = body["items"].as_array();
    let group = groups
        .into_iter()
        .flatten()
        .find(|one| one["metadata"]["name"] == group);
    let Some(group) = group else {
        return Value::Null;
    };
    let version = &group["versions"][0];
    let resources = version["resources"].as_array();
    let found = resources.into_iter().flatten();
    let found: Vec<_> = found
        .filter(|one| one["resource"] == resource)
        .map(|one| {
            let mut one = one.clone();
            one["verbs"] = sorted_texts(&one["verbs"]);
            let parts = one["subresources"].as_array();
            let parts: BTreeMap<_, _> = parts
                .into_iter()
                .flatten()
                .map(|part| {
                    let mut part = part.clone();
                    part["verbs"] = sorted_texts(&part["verbs"]);
                    (part["subresource"].to_string(), part)
                })
                .collect();
            one["subresources"] = parts.into_values().collect();
            one
        })
        .collect();
    json!({"version": version["version"], "freshness": version["freshness"], "resource": found})
}

fn picked(from: &Value, keys: &[&str]) -> Map<String, Value> {
    let found = keys.iter().filter_map(|key| {
        let value = from.get(key)?;
        Some(((*key).to_owned(), value.clone()))
    });
    found.collect()
}

fn sorted_texts(list: &Value) -> Value {
    let texts = list.as_array().into_iter().flatten();
    let mut texts: Vec<_> = texts.filter_map(Value::as_str).collect();
    texts.sort_unstable();
    json!(texts)
}
