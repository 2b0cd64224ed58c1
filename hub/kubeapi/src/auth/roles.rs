//! The roles and bindings that every server starts with.
//!
//! `roles.txt` says them line by line: `role NAME [+label]...`, then `aggregate LABEL`,
//! `can VERBS GROUPS RESOURCES` or `path VERBS PATHS` of that role, and `bind NAME ROLE
//! KIND:SUBJECT...`. Lists stand between commas; `core` is the group without a name; a label is the
//! last part of `rbac.authorization.k8s.io/aggregate-to-...`; `rw` and `ro` are the usual verbs.

use serde_json::{Map, Value, json};

use super::rbac::GROUP;

const TEXT: &str = include_str!("roles.txt");
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// All of them, as objects to be stored where they are missing.
#[must_use]
pub fn defaults() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in TEXT.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["role", name, labels @ ..] => objects.push(role(name, labels)),
            ["bind", name, role, subjects @ ..] => objects.push(binding(name, role, subjects)),
            ["aggregate", label] => {
                let selector = json!({"matchLabels": {format!("{AGGREGATE}{label}"): "true"}});
                if let Some(role) = objects.last_mut() {
                    role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
                    role["rules"] = Value::Null;
                }
            }
            ["can", verbs, groups, resources] => add_rule(
                &mut objects,
                json!({
                    "apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs),
                }),
            ),
            ["path", verbs, paths] => add_rule(
                &mut objects,
                json!({"nonResourceURLs": list(paths), "verbs": list(verbs)}),
            ),
            _ => {}
        }
    }
    objects
}

fn add_rule(objects: &mut [Value], rule: Value) {
    let rules = objects
        .last_mut()
        .and_then(|role| role["rules"].as_array_mut());
    if let Some(rules) = rules {
        rules.push(rule);
    }
}

fn list(words: &str) -> Vec<&str> {
    words
        .split(',')
        .flat_map(|word| match word {
            "rw" => vec!["create", "delete", "deletecollection", "patch", "update"],
            "ro" => vec!["get", "list", "watch"],
            "core" => vec![""],
            other => vec![other],
        })
        .collect()
}

fn meta(name: &str, labels: &[&str]) -> Value {
    let mut all = Map::new();
    all.insert("kubernetes.io/bootstrapping".into(), json!("rbac-defaults"));
    for label in labels {
        let label = label.trim_start_matches('+');
        all.insert(format!("{AGGREGATE}{label}"), json!("true"));
    }
    json!({
        "name": name,
        "labels": all,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn role(name: &str, labels: &[&str]) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRole",
        "metadata": meta(name, labels),
        "rules": [],
    })
}

fn binding(name: &str, role: &str, subjects: &[&str]) -> Value {
    let subjects: Vec<_> = subjects
        .iter()
        .filter_map(|subject| subject.split_once(':'))
        .map(|(kind, name)| json!({"apiGroup": GROUP, "kind": kind, "name": name}))
        .collect();
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": meta(name, &[]),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}
