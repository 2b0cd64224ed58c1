//! Defaults of single kinds that depend on other fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::pods::items;
use super::{object_at, set_missing, text};

/// What must be known before the table fills in anything.
pub(super) fn before(key: (&str, &str), object: &mut Value) {
    match key {
        ("", "Secret") => fold_string_data(object),
        ("", "LimitRange") => limit_range(object),
        ("", "ReplicationController") => replication_controller(object),
        ("batch", "Job") => job(object),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(object),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(object),
        _ => {}
    }
}

/// What depends on what the table filled in.
pub(super) fn after(key: (&str, &str), object: &mut Value) {
    match key {
        ("", "Service") => service(object),
        ("", "Node") => node(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => {}
    }
}

fn fold_string_data(object: &mut Value) {
    let Some(secret) = object.as_object_mut() else {
        return;
    };
    let Some(Value::Object(plain)) = secret.remove("stringData") else {
        return;
    };
    let data = object_at(object, "data");
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        data.insert(key, Value::String(STANDARD.encode(text)));
    }
}

fn limit_range(object: &mut Value) {
    let spec = object_at(object, "spec");
    for limit in items(spec, "limits") {
        if text(limit, "type") != "Container" {
            continue;
        }
        for (into, from) in [
            ("default", "max"),
            ("defaultRequest", "default"),
            ("defaultRequest", "min"),
        ] {
            let Some(Value::Object(source)) = limit.get(from).cloned() else {
                continue;
            };
            let target = limit.entry(into).or_insert_with(|| json!({}));
            if let Value::Object(target) = target {
                for (resource, amount) in source {
                    target.entry(resource).or_insert(amount);
                }
            }
        }
    }
}

/// Labels of the template select, and show on the object, when nothing else was said.
fn replication_controller(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    let Some(labels) = labels else { return };
    let spec = object_at(object, "spec");
    set_missing(spec, "selector", labels.clone());
    let metadata = object_at(object, "metadata");
    set_missing(metadata, "labels", labels);
}

fn job(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if let Some(labels) = labels {
        set_missing(object_at(object, "metadata"), "labels", labels);
    }
    let spec = object_at(object, "spec");
    if !spec.contains_key("parallelism") && !spec.contains_key("completions") {
        spec.insert("completions".to_owned(), json!(1));
    }
    set_missing(spec, "parallelism", 1);
    let limit = if spec.contains_key("backoffLimitPerIndex") {
        i32::MAX
    } else {
        6
    };
    set_missing(spec, "backoffLimit", limit);
    let replaced = if spec.contains_key("podFailurePolicy") {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    set_missing(spec, "podReplacementPolicy", replaced);
}

fn autoscaler(object: &mut Value) {
    let spec = object_at(object, "spec");
    if spec.get("metrics").is_none() {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        spec.insert("metrics".to_owned(), json!([metric]));
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|value| value.is_object()) else {
        return;
    };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = object_at(behavior, "scaleUp");
    set_missing(up, "stabilizationWindowSeconds", 0);
    set_missing(up, "selectPolicy", "Max");
    set_missing(up, "policies", json!([pods, percent]));
    let down = object_at(behavior, "scaleDown");
    set_missing(down, "selectPolicy", "Max");
    set_missing(down, "policies", json!([percent]));
}

fn network_policy(object: &mut Value) {
    let spec = object_at(object, "spec");
    let types = if spec.contains_key("egress") {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    set_missing(spec, "policyTypes", types);
}

fn service(object: &mut Value) {
    let spec = object_at(object, "spec");
    for port in items(spec, "ports") {
        let unsaid = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(value) => value == 0 || value == "",
        };
        if unsaid && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort".to_owned(), number);
        }
    }
    if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    }
    let external = matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    let has_ips = spec.contains_key("externalIPs");
    if !external && has_ips && text(spec, "type") == "ClusterIP" {
        set_missing(spec, "externalTrafficPolicy", "Cluster");
    }
}

fn node(object: &mut Value) {
    let status = object_at(object, "status");
    if let Some(capacity) = status.get("capacity").cloned() {
        set_missing(status, "allocatable", capacity);
    }
}

fn definition(object: &mut Value) {
    let spec = object_at(object, "spec");
    let Some(Value::Object(names)) = spec.get_mut("names") else {
        return;
    };
    let kind = text(names, "kind").to_owned();
    let set = |names: &mut Map<String, Value>, key: &str, value: String| {
        if text(names, key).is_empty() && !kind.is_empty() {
            names.insert(key.to_owned(), Value::String(value));
        }
    };
    set(names, "singular", kind.to_lowercase());
    set(names, "listKind", format!("{kind}List"));
}
