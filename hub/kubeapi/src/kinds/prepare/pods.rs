//! New pods: their first phase, their class of service, and what a cluster adds to each.

use serde_json::{Value, json};

use crate::kinds::Profile;
use crate::kinds::defaults::{object_at, set_missing};
use crate::quantity;

/// Classes that every cluster knows.
const PRIORITIES: &[(&str, i64)] = &[
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

pub(super) fn create(profile: Profile, pod: &mut Value) {
    let class = quality_of_service(&pod["spec"]);
    let status = object_at(pod, "status");
    status.insert("phase".to_owned(), json!("Pending"));
    status.insert("qosClass".to_owned(), json!(class));
    if profile == Profile::Cluster {
        admit(pod);
    }
}

fn admit(pod: &mut Value) {
    let spec = object_at(pod, "spec");
    if !spec.contains_key("serviceAccountName") {
        for key in ["serviceAccountName", "serviceAccount"] {
            spec.insert(key.to_owned(), json!("default"));
        }
    }
    let class = spec.get("priorityClassName").and_then(Value::as_str);
    let priority = match class {
        None | Some("") => Some(0),
        Some(class) => {
            let known = PRIORITIES.iter().find(|(name, _)| *name == class);
            known.map(|(_, priority)| *priority)
        }
    };
    if let Some(priority) = priority {
        set_missing(spec, "priority", priority);
        set_missing(spec, "preemptionPolicy", "PreemptLowerPriority");
    }
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerated = tolerations.iter().any(|present| {
            let covers = |field: &str, wanted: &str| {
                let said = present[field].as_str().unwrap_or_default();
                said.is_empty() || said == wanted
            };
            covers("key", key) && covers("effect", "NoExecute")
        });
        if !tolerated {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
fn quality_of_service(spec: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers = lists
        .iter()
        .filter_map(|list| spec[*list].as_array())
        .flatten();
    let mut anything = false;
    let mut guaranteed = true;
    for container in containers {
        for resource in ["cpu", "memory"] {
            let amount = |kind: &str| {
                let text = container["resources"][kind][resource].as_str();
                let parsed = text.and_then(quantity::parse).map(|amount| amount.nano);
                parsed.filter(|amount| *amount > 0)
            };
            let (limit, request) = (amount("limits"), amount("requests"));
            anything |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (anything, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
