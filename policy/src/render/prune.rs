//! Takes from an object what belongs to the front door's copy of it and not to the member's:
//! metadata an API server gives, status, and what controllers or admission added.
//!
//! Goes by kind name alone, as Karmada does: a Service of any group loses its cluster IPs. Values
//! of impossible types are left to the member's API server to refuse; pruning never fails.

use serde_json::Value;

use crate::assigning::DOOR_METADATA;
use crate::model::manifest;

const DEPLOYMENT_ANNOTATIONS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
];
const CONTROLLER_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const JOB_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

/// Prunes the object in place.
pub fn prune(object: &mut Value) {
    prune_kept_ttl(object);
    if manifest::kind(object) == "Job" {
        // A member that deleted a finished Job would be sent it again and run it again.
        manifest::remove(object, &["spec", "ttlSecondsAfterFinished"]);
    }
}

/// Prunes the object in place, but leaves a Job the time after which it goes.
pub fn prune_kept_ttl(object: &mut Value) {
    for field in DOOR_METADATA {
        manifest::remove(object, &["metadata", field]);
    }
    manifest::remove(object, &["status"]);
    match manifest::kind(object) {
        "Deployment" => {
            for annotation in DEPLOYMENT_ANNOTATIONS {
                manifest::remove(object, &["metadata", "annotations", annotation]);
            }
        }
        "Job" => prune_job(object),
        "Service" => prune_service(object),
        "ServiceAccount" => prune_service_account(object),
        "Secret" => prune_secret(object),
        "PersistentVolumeClaim" => prune_claim(object),
        _ => {}
    }
}

/// The generated selector names a UID that the member's Job does not have.
fn prune_job(object: &mut Value) {
    if manifest::get(object, &["spec", "manualSelector"]) == Some(&Value::Bool(true)) {
        return;
    }
    for label in CONTROLLER_LABELS {
        manifest::remove(object, &["spec", "selector", "matchLabels", label]);
    }
    for label in CONTROLLER_LABELS.iter().chain(&JOB_LABELS) {
        manifest::remove(object, &["spec", "template", "metadata", "labels", label]);
    }
}

/// A headless Service stays headless; any other gets its addresses from the member.
fn prune_service(object: &mut Value) {
    let address = manifest::get(object, &["spec", "clusterIP"]).and_then(Value::as_str);
    if address.is_some_and(|a| a != "None") {
        manifest::remove(object, &["spec", "clusterIP"]);
        manifest::remove(object, &["spec", "clusterIPs"]);
    }
}

/// Token secrets are made per cluster.
fn prune_service_account(object: &mut Value) {
    let generated = format!("{}-token-", manifest::name(object));
    if let Some(Value::Array(secrets)) = object.get_mut("secrets") {
        secrets.retain(|s| !manifest::text(s, &["name"]).starts_with(&generated));
    }
}

/// A token of another cluster is of no use; the member's controller fills it.
fn prune_secret(object: &mut Value) {
    if manifest::text(object, &["type"]) != "kubernetes.io/service-account-token" {
        return;
    }
    let uid = "kubernetes.io/service-account.uid";
    manifest::remove(object, &["metadata", "annotations", uid]);
    object["data"] = Value::Null;
}

fn prune_claim(object: &mut Value) {
    let node = [
        "metadata",
        "annotations",
        "volume.kubernetes.io/selected-node",
    ];
    if !manifest::text(object, &node).is_empty() {
        manifest::remove(object, &node);
    }
}
