//! Defaults of pods and pod templates that depend on other fields.

use serde_json::{Map, Value, json};

use super::{object_at, set_missing, table, text};

/// The kinds of volume that a volume may be without naming a source.
const NOT_A_SOURCE: &str = "name";

/// Fills in a pod template, or the part of a pod that is like one.
pub(super) fn template(template: &mut Value) {
    let spec = object_at(template, "spec");
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(spec, list) {
            pull_policy(container);
        }
    }
    for volume in items(spec, "volumes") {
        let has_source = volume.keys().any(|key| key != NOT_A_SOURCE);
        if !has_source {
            volume.insert("emptyDir".to_owned(), json!({}));
        }
    }
    service_account(spec);
    if let Some(spec) = template.get_mut("spec") {
        table::apply_table("podspec", spec);
    }
}

/// Fills in what only pods get.
pub(super) fn pod(pod: &mut Value) {
    let spec = object_at(pod, "spec");
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            requests_from_limits(container);
            if host_network {
                for port in items(container, "ports") {
                    let inner = port.get("containerPort").cloned();
                    set_missing(port, "hostPort", inner.unwrap_or(Value::Null));
                }
            }
        }
    }
}

/// Each object of a list.
pub(super) fn items<'a>(
    object: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = object.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn pull_policy(container: &mut Map<String, Value>) {
    let policy = if is_moving(text(container, "image")) {
        "Always"
    } else {
        "IfNotPresent"
    };
    set_missing(container, "imagePullPolicy", policy);
}

/// The image names no version, or the latest one. A digest is a version; a name that is no image
/// reference at all counts as one too.
fn is_moving(image: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    if image.is_empty() || !image.chars().all(legal) || image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest",
    }
}

/// The old and the new name of the service account say the same.
fn service_account(spec: &mut Map<String, Value>) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec.insert("serviceAccountName".to_owned(), json!(name));
        spec.insert("serviceAccount".to_owned(), json!(name));
    }
}

fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources") else {
        return;
    };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else {
        return;
    };
    let requests = object_at(resources, "requests");
    for (resource, amount) in limits {
        requests.entry(resource).or_insert(amount);
    }
}
