//! The single steps of the pipeline: small functions over one object, or a live one and a new one.
//!
//! Each does one thing; in which order they run is said in `pipeline.rs`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Call, meta};
use crate::error::{Cause, Status};
use crate::kinds::Kind;
use crate::schema::structural;

/// Its status is written at a path of its own.
fn has_status(kind: &Kind) -> bool {
    kind.subresources.iter().any(|part| part.name == "status")
}

/// The namespace of the path is the namespace of the object.
pub(super) fn fit_namespace(call: &Call, object: &mut Value) -> Result<(), Status> {
    if !call.kind.namespaced {
        meta::set(object, "namespace", None);
        return Ok(());
    }
    let wanted = &call.target.namespace;
    let said = meta::text(object, "namespace");
    if !said.is_empty() && said != wanted {
        let text = "the namespace of the provided object does not match the namespace sent on the \
                    request";
        return Err(Status::bad_request(text));
    }
    meta::set(object, "namespace", Some(json!(wanted)));
    Ok(())
}

/// Drops owners that were said before, and tells so.
pub(super) fn owners_once(call: &Call, object: &mut Value) {
    let Some(owners) = object["metadata"]["ownerReferences"].as_array() else {
        return;
    };
    let mut kept: Vec<Value> = Vec::new();
    let mut twice: Vec<&str> = Vec::new();
    for owner in owners {
        if kept.contains(owner) {
            twice.extend(owner["uid"].as_str().filter(|uid| !twice.contains(uid)));
        } else {
            kept.push(owner.clone());
        }
    }
    if kept.len() < owners.len() {
        let uids = twice.join(", ");
        call.warnings.add(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner \
             references in 1.20+, and may reject such requests as early as 1.24; please fix your \
             requests; duplicate UID(s) observed: {uids}"
        ));
        meta::set(object, "ownerReferences", Some(Value::Array(kept)));
    }
}

/// What only the server sets on a new object.
pub(super) fn fill_new(kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let version = meta::text(object, "resourceVersion");
    if !matches!(version, "" | "0") {
        let text = "resourceVersion should not be set on objects to be created";
        return Err(Status::new(500, "", text));
    }
    let start = meta::text(object, "generateName");
    if meta::text(object, "name").is_empty() && !start.is_empty() {
        let name = meta::generated(start);
        meta::set(object, "name", Some(json!(name)));
    }
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        meta::set(object, field, None);
    }
    meta::set(object, "creationTimestamp", Some(json!(meta::now())));
    let uid = uuid::Uuid::new_v4().to_string();
    meta::set(object, "uid", Some(json!(uid)));
    if kind.has_generation {
        meta::set(object, "generation", Some(json!(1)));
    }
    Ok(())
}

/// A stored object in the version of a row: custom objects keep the version that wrote them, and
/// may lack defaults of later definitions.
pub(super) fn versioned<'a>(call: &Call, stored: &'a Value) -> Cow<'a, Value> {
    let Some(row) = &call.stored else {
        return Cow::Borrowed(stored);
    };
    let mut object = stored.clone();
    structural::default(row.schema(), &mut object);
    object["apiVersion"] = json!(call.kind.api_version());
    Cow::Owned(object)
}

/// A custom object keeps what the stored version knows, whatever version it was sent in.
pub(super) fn fit_stored(call: &Call, object: &mut Value) {
    let Some(row) = &call.stored else {
        return;
    };
    let metadata = object
        .as_object_mut()
        .and_then(|object| object.remove("metadata"));
    structural::prune(row.schema(), object, &mut Vec::new());
    object["metadata"] = metadata.unwrap_or_default();
}

/// What no write changes.
pub(super) fn keep_fixed(live: &Value, object: &mut Value) {
    if meta::text(object, "uid").is_empty() {
        meta::copy(live, object, "uid");
    }
    if meta::text(object, "deletionTimestamp").is_empty() {
        meta::copy(live, object, "deletionTimestamp");
    }
    for field in [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
    ] {
        meta::copy(live, object, field);
    }
}

/// Marks of two kinds that belong to who makes the object.
pub(super) fn mark_new(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        ("apps", "daemonsets") => {
            let mark = "deprecated.daemonset.template.generation";
            object["metadata"]["annotations"][mark] = json!("1");
        }
        _ => {}
    }
}

/// An event owns nothing.
pub(super) fn owner_causes(object: &Value) -> Vec<Cause> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let events = owners
        .into_iter()
        .flatten()
        .filter(|owner| owner["kind"] == "Event" && owner["apiVersion"] == "v1");
    let refused = events.map(|owner| {
        let text =
            format!("Invalid value: {owner}: /v1, Kind=Event is disallowed from being an owner");
        Cause::new("FieldValueInvalid", "metadata.ownerReferences", text)
    });
    refused.collect()
}

/// Containers for debugging are only ever added.
pub(super) fn debugger_causes(live: &Value, object: &Value) -> Vec<Cause> {
    let list = |object: &Value| {
        let list = object["spec"]["ephemeralContainers"].as_array();
        list.cloned().unwrap_or_default()
    };
    let now = list(object);
    if list(live).iter().all(|one| now.contains(one)) {
        return Vec::new();
    }
    let field = "spec.ephemeralContainers";
    let text = "Forbidden: existing ephemeral containers may not be changed or removed";
    vec![Cause::new("FieldValueForbidden", field, text)]
}

/// Marks of two kinds that no write takes away.
pub(super) fn keep_marks(kind: &Kind, live: &Value, object: &mut Value) {
    let (field, mark) = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => ("labels", "kubernetes.io/metadata.name"),
        ("apps", "daemonsets") => ("annotations", "deprecated.daemonset.template.generation"),
        _ => return,
    };
    let kept = &live["metadata"][field][mark];
    if !kept.is_null() {
        let marks = &mut object["metadata"][field];
        if !marks.is_object() {
            *marks = json!({});
        }
        marks[mark] = kept.clone();
    }
}

/// Writes of the object keep the status; writes of the status keep everything but metadata.
pub(super) fn split_status(call: &Call, live: &Value, object: &mut Value) {
    if is_namespace(&call.kind) && call.target.subresource != "finalize" {
        // Finalizers of the contents have a path of their own.
        object["spec"] = live["spec"].clone();
    }
    if call.target.subresource == "ephemeralcontainers" {
        let added = object["spec"]["ephemeralContainers"].take();
        object["spec"] = live["spec"].clone();
        object["spec"]["ephemeralContainers"] = added;
    }
    if !has_status(&call.kind) {
        return;
    }
    let (Some(object), Some(live)) = (object.as_object_mut(), live.as_object()) else {
        return;
    };
    if matches!(call.target.subresource.as_str(), "status" | "approval") {
        let own = ["metadata", "status", "apiVersion", "kind"];
        object.retain(|field, _| own.contains(&field.as_str()));
        if let Some(metadata) = object.get_mut("metadata") {
            split_metadata(&call.kind, &live["metadata"], metadata);
        }
        let rest = live
            .iter()
            .filter(|(field, _)| !own.contains(&field.as_str()));
        object.extend(rest.map(|(field, value)| (field.clone(), value.clone())));
    } else {
        match live.get("status") {
            Some(status) => object.insert("status".into(), status.clone()),
            None => object.remove("status"),
        };
    }
}

/// What writes of a status leave alone of the metadata; most kinds let all of it be written.
fn split_metadata(kind: &Kind, live: &Value, metadata: &mut Value) {
    let entries = metadata["managedFields"].clone();
    let kept = match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments") => "labels",
        ("", "pods") => "ownerReferences",
        ("apiextensions.k8s.io", _) => "",
        _ if kind.custom => "",
        _ => return,
    };
    if kept.is_empty() {
        *metadata = live.clone();
        metadata["managedFields"] = entries;
    } else {
        metadata[kept] = live[kept].clone();
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "namespaces"
}

/// A change of anything but metadata and status is a new generation.
pub(super) fn advance_generation(kind: &Kind, live: &Value, object: &mut Value) {
    if !kind.has_generation {
        return;
    }
    let status_counts = kind.custom && !has_status(kind);
    let wish = |object: &Value| {
        let mut wish = object.clone();
        if let Some(wish) = wish.as_object_mut() {
            wish.remove("metadata");
            if !status_counts {
                wish.remove("status");
            }
        }
        wish
    };
    // Two kinds whose controllers act on some of the metadata.
    let noted = match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments") => "annotations",
        ("discovery.k8s.io", "endpointslices") => "labels",
        _ => "generation",
    };
    let same = live["metadata"][noted] == object["metadata"][noted];
    if !same || wish(live) != wish(object) {
        let next = meta::generation(live) + 1;
        meta::set(object, "generation", Some(json!(next)));
    }
}

/// Findings about fields that were sent with another value than they have.
pub(super) fn fixed_causes(live: &Value, uid: &str) -> Vec<Cause> {
    if uid.is_empty() || uid == meta::text(live, "uid") {
        return Vec::new();
    }
    let text = format!("Invalid value: \"{uid}\": field is immutable");
    vec![Cause::new("FieldValueInvalid", "metadata.uid", text)]
}

/// Who is going gets no new finalizers.
pub(super) fn finalizer_causes(live: &Value, object: &Value) -> Vec<Cause> {
    if !meta::is_deleting(live) {
        return Vec::new();
    }
    let old = meta::finalizers(live);
    let new: Vec<_> = meta::finalizers(object)
        .into_iter()
        .filter(|name| !old.contains(name))
        .map(|name| format!("\"{name}\""))
        .collect();
    if new.is_empty() {
        return Vec::new();
    }
    let text = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new \
         finalizers []string{{{}}}",
        new.join(", ")
    );
    vec![Cause::new(
        "FieldValueForbidden",
        "metadata.finalizers",
        text,
    )]
}

/// It was asked to go, and nothing holds it any more.
pub(super) fn is_over(object: &Value) -> bool {
    meta::is_deleting(object)
        && meta::grace(object) == 0
        && meta::finalizers(object).is_empty()
        && (object["kind"] != "Namespace"
            || object["spec"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty))
}

pub(super) fn refuse_invalid(
    kind: &Kind,
    object: &Value,
    causes: Vec<Cause>,
) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    let name = meta::text(object, "name");
    // Both shapes of an event are one kind to those who judge them.
    let group = match (kind.group.as_str(), kind.kind.as_str()) {
        ("events.k8s.io", "Event") => "",
        (group, _) => group,
    };
    Err(Status::invalid(group, &kind.kind, name, causes))
}

pub(super) fn exists(kind: &Kind, object: &Value) -> Status {
    Status::already_exists(&kind.group, &kind.plural, meta::text(object, "name"))
}

/// 409: the client saw an older version.
pub(super) fn modified(kind: &Kind, name: &str) -> Status {
    let why = "the object has been modified; please apply your changes to the latest version and \
               try again";
    Status::conflict(&kind.group, &kind.plural, name, why)
}
