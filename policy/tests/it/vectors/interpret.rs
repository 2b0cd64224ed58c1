//! Interpretation: every hook of the native interpreter.
//!
//! Statuses and manifests are compared without nulls, empty lists and empty objects: the incumbent
//! passes them through its Go types, which adds and drops those.

use std::collections::BTreeSet;

use flotilla_policy::api::AggregatedStatusItem;
use flotilla_policy::interpret::{self, Dependency, Health, InterpretError};
use serde_json::{Map, Value, json};

use super::{Rule, check};

const NOW: &str = "<now>";
const GENERATION: &str = "resourcetemplate.karmada.io/generation";

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: third-party",
        reason: "kinds that a shipped script interprets come with the script engine",
        applies: |input| input["source"] == "thirdparty",
    },
    Rule {
        name: "replicas beyond int32",
        reason: "refused, there the number wraps and becomes negative",
        applies: |input| {
            let replicas = input["object"]["spec"]["replicas"].as_i64();
            op(input) == "InterpretReplica" && replicas.is_some_and(|n| i32::try_from(n).is_err())
        },
    },
    Rule {
        name: "no template generation",
        reason: "the status goes up all the same and counts as behind; there nothing goes up",
        applies: |input| {
            let annotation = input["object"]["metadata"]["annotations"][GENERATION].as_str();
            let number = annotation.and_then(|text| text.parse::<i64>().ok());
            op(input) == "InterpretStatus" && is_workload(input) && number.is_none()
        },
    },
    Rule {
        name: "observedGeneration of a StatefulSet",
        reason: "goes up, else the template never shows that a rollout was seen",
        applies: |input| {
            let observed = &input["object"]["status"]["observedGeneration"];
            op(input) == "InterpretStatus" && kind(input) == "StatefulSet" && !observed.is_null()
        },
    },
    Rule {
        name: "StatefulSet behind its template",
        reason: "compared with the template's generation as for the other kinds; there with the \
                 member's own",
        applies: |input| {
            let generation = int(&input["object"]["metadata"]["generation"]);
            op(input) == "AggregateStatus"
                && kind(input) == "StatefulSet"
                && items(input).iter().any(|item| {
                    let template = int(&item["status"]["resourceTemplateGeneration"]);
                    (template >= generation) != (template >= int(&item["status"]["generation"]))
                })
        },
    },
    Rule {
        name: "unreadable item",
        reason: "counts as an item without status; there one member stops the whole aggregation",
        applies: |input| {
            let unreadable = |item: &Value| item["status"]["replicas"].is_string();
            op(input) == "AggregateStatus" && items(input).iter().any(unreadable)
        },
    },
    Rule {
        name: "unknown field in a Pod",
        reason: "stays; there it is lost on the way through the Go type",
        applies: |input| {
            let spec = &input["object"]["spec"];
            op(input) == "Retain" && kind(input) == "Pod" && !spec["unknownField"].is_null()
        },
    },
    Rule {
        name: "Ingress without secret",
        reason: "names no secret and so depends on none; there an error",
        applies: |input| {
            let tls = input["object"]["spec"]["tls"].as_array();
            op(input) == "InterpretDependency"
                && kind(input) == "Ingress"
                && tls.is_some_and(|tls| tls.iter().any(|entry| entry["secretName"].is_null()))
        },
    },
];

#[test]
fn interpretation_is_karmadas() {
    let committed = include_bytes!("../../vectors/interpret.jsonl.gz");
    check("interpret", committed, RULES, judge);
}

fn judge(input: &Value, output: &Value) -> Result<(), String> {
    let object = &input["object"];
    let no_hook = output["enabled"] == json!(false);
    let (ours, theirs) = match op(input) {
        "InterpretReplica" if no_hook => (replicas(object), json!({})),
        "InterpretReplica" => (replicas(object), output.clone()),
        "ReviseReplica" if no_hook => (revise(input), object.clone()),
        "ReviseReplica" => (revise(input), output["object"].clone()),
        "Retain" if no_hook => (retain(input), object.clone()),
        "Retain" => (retain(input), output["object"].clone()),
        "InterpretStatus" => (
            interpret::status(object).map(Option::unwrap_or_default),
            output["status"].clone(),
        ),
        "InterpretHealth" => (health(object), json!(no_hook || output["healthy"] == true)),
        "AggregateStatus" => (aggregate(input), output["object"]["status"].clone()),
        "InterpretDependency" => return dependencies(object, output),
        other => return Err(format!("no hook {other}")),
    };
    let refused = output.get("error").or(output.get("panic")).is_some();
    match ours {
        Err(_) if refused => Ok(()),
        Ok(ours) if !refused && plain(&ours) == plain(&theirs) => Ok(()),
        ours => Err(format!("ours {ours:?}, theirs {output}")),
    }
}

fn replicas(object: &Value) -> Result<Value, InterpretError> {
    Ok(match interpret::replicas(object)? {
        None => json!({}),
        Some(found) => json!({
            "replicas": found.replicas,
            "requirements": found.requirements,
        }),
    })
}

fn revise(input: &Value) -> Result<Value, InterpretError> {
    let mut object = input["object"].clone();
    interpret::revise(&mut object, int(&input["replicas"]))?;
    Ok(object)
}

fn retain(input: &Value) -> Result<Value, InterpretError> {
    interpret::retain(input["object"].clone(), &input["observed"])
}

/// A malformed object has no verdict there; ours is Unknown.
fn health(object: &Value) -> Result<Value, InterpretError> {
    match interpret::health(object).health {
        Health::Healthy => Ok(json!(true)),
        Health::Unhealthy => Ok(json!(false)),
        Health::Unknown => Err(InterpretError::Missing {
            path: String::new(),
        }),
    }
}

fn aggregate(input: &Value) -> Result<Value, InterpretError> {
    let items: Vec<AggregatedStatusItem> = items(input)
        .iter()
        .map(|item| serde_json::from_value(item.clone()).expect("an item of the API"))
        .collect();
    let template = &input["object"];
    let status = interpret::aggregate(template, &items, NOW)?;
    Ok(status.unwrap_or_else(|| template["status"].clone()))
}

fn dependencies(object: &Value, output: &Value) -> Result<(), String> {
    let ours = interpret::dependencies(object)
        .map(|found| found.iter().map(to_json).collect::<BTreeSet<_>>());
    let refused = output.get("error").is_some();
    let theirs: BTreeSet<String> = output["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::to_string)
        .collect();
    match ours {
        Err(_) if refused => Ok(()),
        Ok(ours) if !refused && ours == theirs => Ok(()),
        ours => Err(format!("ours {ours:?}, theirs {output}")),
    }
}

fn to_json(dependency: &Dependency) -> String {
    let mut value = json!({
        "apiVersion": dependency.api_version,
        "kind": dependency.kind,
        "namespace": dependency.namespace,
    });
    if !dependency.name.is_empty() {
        value["name"] = json!(dependency.name);
    }
    if let Some(selector) = dependency.label_selector() {
        value["labelSelector"] = json!(selector);
    }
    value.to_string()
}

/// Without nulls, empty lists and empty objects, and with whole floats as integers.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.iter().map(|(key, value)| (key.clone(), plain(value)));
            let fields: Map<_, _> = fields.filter(|(_, value)| !value.is_null()).collect();
            if fields.is_empty() {
                Value::Null
            } else {
                Value::Object(fields)
            }
        }
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 {
                json!(float as i64)
            } else {
                value.clone()
            }
        }
        other => other.clone(),
    }
}

fn op(input: &Value) -> &str {
    input["op"].as_str().unwrap_or_default()
}

fn kind(input: &Value) -> &str {
    input["object"]["kind"].as_str().unwrap_or_default()
}

fn is_workload(input: &Value) -> bool {
    matches!(
        kind(input),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet"
    )
}

fn items(input: &Value) -> &[Value] {
    input["items"].as_array().map_or(&[], Vec::as_slice)
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}
