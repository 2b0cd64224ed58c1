//! Judge of overrides: which rules apply, in which order, and what the object becomes.

use flotilla_policy::api::{Cluster, ClusterOverridePolicy, OverridePolicy};
use flotilla_policy::overriding::{OverrideList, resolve};
use flotilla_policy::render::overrides::apply;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::outcome::compare;
use super::{Rule, check};

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: fieldOverrider",
        reason: "refused by name until it is built",
        applies: |input| any_overrider(input, "fieldOverrider", |_| true),
    },
    Rule {
        name: "identity",
        reason: "a renamed or re-typed object is another object, which no one assigned or removes",
        applies: |input| {
            let identity = ["", "/apiVersion", "/kind", "/metadata"];
            let parts = ["/metadata/name", "/metadata/namespace"];
            any_overrider(input, "plaintext", |o| {
                let path = o["path"].as_str().unwrap_or("");
                identity.contains(&path) || parts.contains(&path)
            })
        },
    },
    Rule {
        name: "matching sees the template as written",
        reason: "the hub resolves rules without rendering, so what a ClusterOverridePolicy changes \
                 does not change which OverridePolicies match",
        applies: |input| {
            let mut changed = input.clone();
            changed["overridePolicies"] = json!([]);
            let cluster_rules = resolved(&changed);
            if apply(&mut changed["object"], &cluster_rules, "m1").is_err() {
                return false;
            }
            changed["overridePolicies"] = input["overridePolicies"].clone();
            applied(&resolved(&changed))["namespaced"] != applied(&resolved(input))["namespaced"]
        },
    },
    Rule {
        name: "a digest outlives another registry",
        reason: "a pinned image must not silently lose its pin because it comes from a mirror",
        applies: |input| {
            any_overrider(input, "imageOverrider", |o| o["component"] == "Registry")
                && input["object"].to_string().contains("@sha256:")
        },
    },
    Rule {
        name: "an image predicate is a JSON pointer",
        reason: "Karmada reads it without escapes, panics on lists of texts, lists of lists and \
                 negative positions, and writes elsewhere when slashes are doubled",
        applies: |input| {
            any_overrider(input, "imageOverrider", |o| {
                let path = o["predicate"]["path"].as_str().unwrap_or("");
                let parts: Vec<&str> = path.split('/').skip(1).collect();
                let number = |p: &&str| p.parse::<i64>().is_ok();
                path.contains('~')
                    || path.starts_with("//")
                    || path.contains("/-")
                    || parts.last().is_some_and(number)
                    || parts.windows(2).any(|w| w.iter().all(number))
            })
        },
    },
    Rule {
        name: "items that are no text stay as they are",
        reason: "Karmada turns a number in a command into `%!s(int64=1)`; no API server stores one",
        applies: |input| {
            ["commandOverrider", "argsOverrider"]
                .iter()
                .any(|f| any_overrider(input, f, |_| true))
                && input["object"]["spec"]["template"]["spec"]["containers"]
                    .as_array()
                    .is_some_and(|containers| containers.iter().any(has_other_items))
        },
    },
    Rule {
        name: "tildes in keys",
        reason: "a key is a key, not a part of a pointer; no API server stores such a key",
        applies: |input| {
            ["labelsOverrider", "annotationsOverrider"]
                .iter()
                .any(|field| {
                    any_overrider(input, field, |o| {
                        o["value"]
                            .as_object()
                            .is_some_and(|m| m.keys().any(|k| k.contains('~')))
                    })
                })
        },
    },
    Rule {
        name: "other labels and annotations stay",
        reason: "Karmada drops the whole map when one value in it is no text; an override should \
                 touch its own keys only",
        applies: |input| {
            ["labels", "annotations"].iter().any(|map| {
                let map = input["object"]["metadata"][map].as_object();
                map.is_some_and(|m| m.values().any(|v| !v.is_string()))
            })
        },
    },
];

/// Whether an overrider in that field of any policy is like that.
fn any_overrider(input: &Value, field: &str, like: impl Fn(&Value) -> bool) -> bool {
    ["clusterOverridePolicies", "overridePolicies"]
        .iter()
        .flat_map(|group| input[group].as_array().into_iter().flatten())
        .flat_map(|policy| {
            let rules = policy["spec"]["overrideRules"]
                .as_array()
                .into_iter()
                .flatten();
            rules.chain([&policy["spec"]])
        })
        .flat_map(|rule| rule["overriders"][field].as_array().into_iter().flatten())
        .any(like)
}

fn has_other_items(container: &Value) -> bool {
    ["command", "args"].iter().any(|list| {
        container[list]
            .as_array()
            .is_some_and(|l| l.iter().any(|item| !item.is_string()))
    })
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let list = resolved(input);
    let mut object = input["object"].clone();
    let ours = match apply(&mut object, &list, "m1") {
        Ok(_) => Ok(json!({ "object": object, "applied": applied(&list) })),
        Err(error) => Err(error.to_string()),
    };
    compare(ours, out.get("object").map(|_| out))
}

fn resolved(input: &Value) -> OverrideList {
    let cluster_policies: Vec<ClusterOverridePolicy> = list(&input["clusterOverridePolicies"]);
    let policies: Vec<OverridePolicy> = list(&input["overridePolicies"]);
    let cluster: Cluster =
        serde_json::from_value(input["cluster"].clone()).expect("input of the expected shape");
    resolve(
        &input["object"],
        &cluster_policies.iter().collect::<Vec<_>>(),
        &policies.iter().collect::<Vec<_>>(),
        &cluster,
    )
}

fn list<T: DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).expect("input of the expected shape")
}

fn applied(list: &OverrideList) -> Value {
    let names = |kind: &str| -> Vec<&str> {
        let rules = list.rules.iter().map(|r| r.policy.as_str());
        rules
            .filter(|p| p.starts_with(kind))
            .map(|p| p.rsplit('/').next().unwrap_or(p))
            .collect()
    };
    json!({ "cluster": names("ClusterOverridePolicy/"), "namespaced": names("OverridePolicy/") })
}

#[test]
fn overrides() {
    check(
        "overrides",
        include_bytes!("../../vectors/overrides.jsonl.gz"),
        RULES,
        judge,
    );
}
