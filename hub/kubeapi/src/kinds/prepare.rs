//! What a real server does to a new object beside defaulting: the status begins anew, and some kinds
//! get labels, finalizers or a first phase.
//!
//! It runs after name and UID are set and before validation. Nothing is looked up: what depends on
//! other objects (service accounts, priority classes, addresses) is done by who holds them.

mod pods;

use serde_json::{Value, json};

use super::defaults::{object_at, set_missing};
use super::{Kind, Profile};
use crate::schema::decode;

/// Makes a new object ready to be validated and stored. `now` = seconds, RFC 3339.
pub fn create(kind: &Kind, profile: Profile, object: &mut Value, now: &str) {
    if kind.custom {
        let has_status = kind.subresources.iter().any(|part| part.name == "status");
        if let (true, Some(object)) = (has_status, object.as_object_mut()) {
            object.remove("status");
        }
        return;
    }
    let key = (kind.group.as_str(), kind.kind.as_str());
    reset_status(kind, key, object);
    match key {
        ("", "Namespace") => namespace(object),
        ("", "PersistentVolumeClaim") => {
            object_at(object, "status").insert("phase".to_owned(), json!("Pending"));
            protect(object, "kubernetes.io/pvc-protection");
        }
        ("", "PersistentVolume") => {
            let status = object_at(object, "status");
            status.insert("phase".to_owned(), json!("Pending"));
            status.insert("lastPhaseTransitionTime".to_owned(), json!(now));
            protect(object, "kubernetes.io/pv-protection");
        }
        ("", "Pod") => pods::create(profile, object),
        ("", "Node") if profile == Profile::Cluster => taint(object),
        ("apps", "DaemonSet") => {
            let metadata = object_at(object, "metadata");
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            annotations["deprecated.daemonset.template.generation"] = json!("1");
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("batch", "Job") if profile == Profile::Cluster => job(object),
        _ => {}
    }
}

fn reset_status(kind: &Kind, key: (&str, &str), object: &mut Value) {
    let has_status = kind.subresources.iter().any(|part| part.name == "status");
    if !has_status || key == ("", "Node") {
        return;
    }
    let (Some(object), Some(status)) = (object.as_object_mut(), kind.schema().field("status"))
    else {
        return;
    };
    object.remove("status");
    if kind.schema().node().presence.contains_key("status") {
        object.insert("status".to_owned(), decode::zero(status));
    }
}

fn namespace(object: &mut Value) {
    object_at(object, "status").insert("phase".to_owned(), json!("Active"));
    let finalizers = object_at(object, "spec")
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Value::Array(finalizers) = finalizers
        && !finalizers.contains(&json!("kubernetes"))
    {
        finalizers.push(json!("kubernetes"));
    }
    let name = object["metadata"]["name"].clone();
    let labels = object_at(object, "metadata")
        .entry("labels")
        .or_insert_with(|| json!({}));
    if name.as_str().is_some_and(|name| !name.is_empty()) {
        labels["kubernetes.io/metadata.name"] = name;
    }
}

fn protect(object: &mut Value, finalizer: &str) {
    let metadata = object_at(object, "metadata");
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(finalizers) = finalizers
        && !finalizers.iter().any(|present| present == finalizer)
    {
        finalizers.push(json!(finalizer));
    }
}

/// A new node takes no pods until somebody says that it is ready.
fn taint(object: &mut Value) {
    let spec = object_at(object, "spec");
    let taints = spec.entry("taints").or_insert_with(|| json!([]));
    let key = "node.kubernetes.io/not-ready";
    if let Value::Array(taints) = taints
        && !taints.iter().any(|taint| taint["key"] == key)
    {
        taints.push(json!({"key": key, "effect": "NoSchedule"}));
    }
}

fn definition(object: &mut Value) {
    let versions = object["spec"]["versions"].as_array();
    let stored = versions.into_iter().flatten();
    let stored: Vec<_> = stored
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    let status = object_at(object, "status");
    status.insert("storedVersions".to_owned(), Value::Array(stored));
    set_missing(status, "conditions", Value::Null);
}

/// Pods of a job are told apart by the UID of the job.
fn job(object: &mut Value) {
    if object["spec"]["manualSelector"] == true {
        return;
    }
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let labels = [
        ("controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
    ];
    let said = object["metadata"]["labels"].clone();
    let template = &mut object["spec"]["template"];
    let place = object_at(template, "metadata")
        .entry("labels")
        .or_insert_with(|| json!({}));
    let follows = said.is_null() || said == *place;
    for (label, value) in labels {
        place[label] = value.clone();
    }
    let shown = place.clone();
    let selector = object_at(&mut object["spec"], "selector");
    let wanted = selector.entry("matchLabels").or_insert_with(|| json!({}));
    wanted["batch.kubernetes.io/controller-uid"] = uid;
    // A job without labels of its own shows those of its pods.
    if follows {
        object_at(object, "metadata").insert("labels".to_owned(), shown);
    }
}
