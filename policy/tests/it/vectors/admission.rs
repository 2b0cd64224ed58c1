//! Admission: what an API server with Karmada's CRDs and webhooks accepts, and what it stores.
//!
//! Stored objects are compared as our types read them, since nothing else reads them: an empty list
//! and an absent one, `false` and nothing are one thing there.

use flotilla_policy::api::registry::find;
use flotilla_policy::api::structural;
use flotilla_policy::api::{
    Admission, AdmissionContext, ClusterSpec, FieldError, OverrideSpec, PropagationSpec, admit,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Rule, check};

const COMMITTED: &[u8] = include_bytes!("../../vectors/admission.jsonl.gz");

/// Stands where Karmada's result says `<now>`.
const NOW: &str = "2026-01-02T03:04:05Z";

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: other kinds",
        reason: "their admission comes with the kinds",
        applies: |case| group(case).is_none(),
    },
    Rule {
        name: "a selector must name apiVersion and kind",
        reason: "Karmada fills an empty text, and the selector then matches nothing",
        applies: |case| {
            any(case, "/object/spec/resourceSelectors", |selector| {
                ["apiVersion", "kind"]
                    .iter()
                    .any(|name| is_absent(&selector[name]))
            })
        },
    },
    Rule {
        name: "a rule of state preservation must name its jsonPath",
        reason: "Karmada fills an empty text, and nothing is preserved",
        applies: |case| {
            any(
                case,
                "/object/spec/failover/cluster/statePreservation/rules",
                |rule| is_absent(&rule["jsonPath"]),
            )
        },
    },
    Rule {
        name: "an override rule must have overriders",
        reason: "Karmada fills an empty object, and the rule does nothing",
        applies: |case| {
            any(case, "/object/spec/overrideRules", |rule| {
                is_absent(&rule["overriders"])
            })
        },
    },
    Rule {
        name: "a plaintext overrider must name its path",
        reason: "Karmada fills an empty text, and the override points at the whole object",
        applies: |case| any_overrider(case, "plaintext", |o| is_absent(&o["path"])),
    },
    Rule {
        name: "a command or args overrider must name its container",
        reason: "Karmada fills an empty text, and no container has that name",
        applies: |case| {
            ["commandOverrider", "argsOverrider"]
                .iter()
                .any(|kind| any_overrider(case, kind, |o| is_absent(&o["containerName"])))
        },
    },
    Rule {
        name: "deprecated overriders are checked as those in rules",
        reason: "Karmada accepts them, and rendering fails in every cluster",
        applies: |case| {
            let overriders = &case["object"]["spec"]["overriders"];
            ["labelsOverrider", "fieldOverrider"]
                .iter()
                .any(|kind| overriders[kind].is_array())
        },
    },
    Rule {
        name: "an empty list of rules is no list",
        reason: "an absent list and an empty one are one thing",
        applies: |case| case["object"]["spec"]["overrideRules"] == json!([]),
    },
    Rule {
        name: "bounds of grades are compared by value",
        reason: "Karmada compares how they are written: 1000m does not follow 1",
        applies: |case| {
            any(case, "/object/spec/resourceModels", |model| {
                model["ranges"][0]["min"] == "1000m"
            })
        },
    },
];

#[test]
fn karmada_agrees() {
    check("admission", COMMITTED, RULES, judge);
}

/// Karmada's CRDs and ours prune and default alike, before anything else touches the object.
#[test]
fn the_crds_prune_and_default_alike() {
    const RULES: &[Rule] = &[Rule {
        name: "not in this slice: other kinds; Cluster has no CRD in Karmada",
        reason: "their admission comes with the kinds",
        applies: |case| group(case) != Some("policy.karmada.io"),
    }];
    check("admission", COMMITTED, RULES, |case, out| {
        let kind = case["kind"].as_str().unwrap_or_default();
        let Some(info) = group(case).and_then(|group| find(group, kind)) else {
            return Err("not one of our kinds".to_owned());
        };
        let mut ours = case["object"].clone();
        structural::prune((info.schema)(), &mut ours);
        structural::fill_defaults((info.schema)(), &mut ours);
        let theirs = out.get("crdDefaulted").unwrap_or(&case["object"]);
        // Karmada's object was recorded only where it was allowed in the end.
        if kind != "Cluster" && (out["allowed"] == false || ours == *theirs) {
            Ok(())
        } else {
            Err(format!("\n  ours   {ours}\n  theirs {theirs}"))
        }
    });
}

fn judge(case: &Value, out: &Value) -> Result<(), String> {
    let kind = case["kind"].as_str().unwrap_or_default();
    let Some(info) = group(case).and_then(|group| find(group, kind)) else {
        return Err("not one of our kinds".to_owned());
    };
    let ctx = AdmissionContext {
        uuid: "<uuid>",
        now: NOW,
    };
    let old = (case["operation"] == "UPDATE").then(|| &case["old"]);
    let ours = match admit(info, case["object"].clone(), old, &ctx) {
        Admission::Allowed { object, .. } => Ok(object),
        Admission::Denied { errors } => Err(errors),
    };
    match (ours, out["allowed"] == true) {
        (Ok(object), true) => compare(kind, &object, &stored_by_karmada(case, out)),
        (Err(errors), false) => names_their_field(&errors, out),
        (Ok(object), false) => Err(format!("we allow, Karmada does not: {object}")),
        (Err(errors), true) => Err(format!("we refuse, Karmada does not: {errors:?}")),
    }
}

fn group(case: &Value) -> Option<&'static str> {
    match case["kind"].as_str()? {
        "PropagationPolicy"
        | "ClusterPropagationPolicy"
        | "OverridePolicy"
        | "ClusterOverridePolicy" => Some("policy.karmada.io"),
        "Cluster" => Some("cluster.karmada.io"),
        _ => None,
    }
}

/// What Karmada stored, less what is not admission's or what we leave out everywhere.
fn stored_by_karmada(case: &Value, out: &Value) -> Value {
    let mut object = out["object"].clone();
    if case["operation"] == "CREATE" {
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        // Karmada's policy controllers wait for their finalizer; ours need none, so that a policy
        // can be deleted while no hub runs.
        let added = |f: &Value| {
            f.as_str()
                .is_some_and(|f| f.ends_with("-policy-controller"))
        };
        if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|f| !added(f));
        }
        if metadata.get("finalizers") == Some(&json!([])) {
            metadata.remove("finalizers");
        }
    }
    for taint in list_at(&mut object, "/spec/taints") {
        if taint["timeAdded"] == "<now>" {
            taint["timeAdded"] = NOW.into();
        }
    }
    // The aggregated API server of Karmada counts generations itself; here the door does.
    if case["kind"] == "Cluster" {
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.remove("generation");
    }
    object
}

/// One of our errors is about a field that Karmada's text names, or about a part of it.
fn names_their_field(errors: &[FieldError], out: &Value) -> Result<(), String> {
    let ours: Vec<String> = errors.iter().map(|e| bare_path(&e.field)).collect();
    let schema_errors = out["schemaErrors"].as_array();
    let mut texts: Vec<&str> = schema_errors
        .into_iter()
        .flatten()
        .filter_map(|error| error["field"].as_str())
        .collect();
    if texts.is_empty() {
        texts.extend(out.pointer("/webhook/message").and_then(Value::as_str));
        texts.extend(out["message"].as_str());
    }
    let theirs: Vec<String> = texts
        .iter()
        .flat_map(|text| text.split([' ', '[']))
        .filter_map(|word| {
            word.find("spec.")
                .or(word.find("metadata."))
                .map(|i| &word[i..])
        })
        .map(bare_path)
        .collect();
    let same =
        |ours: &String, theirs: &String| ours.starts_with(theirs) || theirs.starts_with(ours);
    let agreed = theirs.iter().any(|t| ours.iter().any(|o| same(o, t)));
    // "the schedulerName should not be updated" and the like name no field.
    if theirs.is_empty() || agreed {
        Ok(())
    } else {
        Err(format!("we name {ours:?}, Karmada {theirs:?}"))
    }
}

/// A path without indices, in the spelling of the API where Karmada's text has another.
fn bare_path(field: &str) -> String {
    let mut path = String::new();
    let mut depth = 0;
    for c in field.trim_end_matches(':').chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth == 0 => path.push(c),
            _ => {}
        }
    }
    path.replace("spec.spec", "spec.zone")
        .replace("spec.Zone", "spec.zone")
        .replace("suspension.suspension", "suspension")
}

fn list_at<'a>(object: &'a mut Value, pointer: &str) -> &'a mut [Value] {
    let list = object.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.map_or(&mut [], Vec::as_mut_slice)
}

fn compare(kind: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    let mut ours = ours.clone();
    if kind == "Cluster" {
        ours["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove("generation");
    }
    let spec = match kind {
        "OverridePolicy" | "ClusterOverridePolicy" => read::<OverrideSpec>,
        "Cluster" => read::<ClusterSpec>,
        _ => read::<PropagationSpec>,
    };
    let parts = |object: &Value| (object["metadata"].clone(), spec(&object["spec"]));
    let (ours, theirs) = (parts(&ours), parts(theirs));
    if ours == theirs {
        Ok(())
    } else {
        Err(format!("\n  ours   {ours:?}\n  theirs {theirs:?}"))
    }
}

fn read<S: DeserializeOwned + Serialize>(spec: &Value) -> Value {
    let spec: S = serde_json::from_value(spec.clone()).expect("our types read what is stored");
    serde_json::to_value(spec).expect("a spec is JSON")
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || *value == ""
}

fn any(case: &Value, pointer: &str, is_so: impl Fn(&Value) -> bool) -> bool {
    let list = case.pointer(pointer).and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(is_so))
}

fn any_overrider(case: &Value, kind: &str, is_so: impl Fn(&Value) -> bool) -> bool {
    any(case, "/object/spec/overrideRules", |rule| {
        any(rule, &format!("/overriders/{kind}"), &is_so)
    })
}
