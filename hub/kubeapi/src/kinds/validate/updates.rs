//! What may not change once an object is there.

use serde_json::Value;

use super::cursor::{At, Found};

/// Fields that never change: `group/Kind` and dotted paths.
const IMMUTABLE: &[(&str, &str, &[&str])] = &[
    ("", "Secret", &["type"]),
    ("apps", "Deployment", &["spec.selector"]),
    ("apps", "ReplicaSet", &["spec.selector"]),
    ("apps", "DaemonSet", &["spec.selector"]),
    (
        "batch",
        "Job",
        &["spec.selector", "spec.template", "spec.completionMode"],
    ),
    (
        "scheduling.k8s.io",
        "PriorityClass",
        &["value", "preemptionPolicy"],
    ),
    ("discovery.k8s.io", "EndpointSlice", &["addressType"]),
    ("networking.k8s.io", "IngressClass", &["spec.controller"]),
    ("node.k8s.io", "RuntimeClass", &["handler"]),
    ("apps", "ControllerRevision", &["data"]),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        &[
            "spec.group",
            "spec.scope",
            "spec.names.plural",
            "spec.names.kind",
        ],
    ),
];

/// An update is checked as a whole again; pods have their own rule of what may change.
pub(super) fn checks_again(key: (&str, &str)) -> bool {
    key != ("", "Pod")
}

/// Checks a change.
pub(super) fn check(key: (&str, &str), new: &At<'_>, old: &At<'_>, found: &mut Found) {
    for (group, kind, paths) in IMMUTABLE {
        if (*group, *kind) == key {
            for path in *paths {
                found.immutable(&new.field(path), &old.field(path));
            }
        }
    }
    match key {
        ("", "ConfigMap") => frozen(new, old, &["data", "binaryData"], found),
        ("", "Secret") => frozen(new, old, &["data"], found),
        ("", "Service") => service(&new.field("spec"), &old.field("spec"), found),
        ("", "PersistentVolumeClaim") => claim(&new.field("spec"), &old.field("spec"), found),
        ("", "Pod") => pod(&new.field("spec"), &old.field("spec"), found),
        ("apps", "StatefulSet") => stateful(&new.field("spec"), &old.field("spec"), found),
        ("coordination.k8s.io", "Lease") => {
            let version = new.field("metadata.resourceVersion");
            if version.is_empty() {
                found.must_have_version(&version);
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => stored_versions(new, found),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let (new, old) = (new.field("roleRef"), old.field("roleRef"));
            if new.value != old.value {
                found.invalid(&new, "cannot change roleRef");
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            for field in [
                "parameters",
                "provisioner",
                "reclaimPolicy",
                "volumeBindingMode",
            ] {
                let (new, old) = (new.field(field), old.field(field));
                if new.value != old.value {
                    let why = format!("updates to {field} are forbidden.");
                    found.forbidden(&new, &why);
                }
            }
        }
        _ => {}
    }
}

/// A version that was ever stored stays.
fn stored_versions(new: &At<'_>, found: &mut Found) {
    let versions = new.field("spec.versions").items();
    for stored in new.field("status.storedVersions").items() {
        let there = |version: &At<'_>| version.field("name").text() == stored.text();
        if !versions.iter().any(there) {
            let name = stored.text();
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must \
                 remain in spec.versions until a storage migration ensures no data remains \
                 persisted in {name} and removes {name} from status.storedVersions"
            );
            found.invalid(&stored, &why);
        }
    }
}

fn frozen(new: &At<'_>, old: &At<'_>, fields: &[&str], found: &mut Found) {
    if old.value["immutable"] != true {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if new.value["immutable"] != true {
        found.forbidden(&new.field("immutable"), why);
    }
    for field in fields {
        if new.field(field).value != old.field(field).value {
            found.forbidden(&new.field(field), why);
        }
    }
}

fn service(new: &At<'_>, old: &At<'_>, found: &mut Found) {
    let kind = |spec: &At<'_>| spec.field("type").text().to_owned();
    if kind(new) == "ExternalName" || kind(old) == "ExternalName" {
        return;
    }
    let (before, now) = (old.field("clusterIP"), new.field("clusterIP"));
    if !before.is_empty() && before.value != now.value {
        found.invalid(
            &new.field("clusterIPs").said_at("spec.clusterIPs[0]"),
            "may not change once set",
        );
    }
}

fn claim(new: &At<'_>, old: &At<'_>, found: &mut Found) {
    let without = |spec: &At<'_>| {
        let mut plain = spec.value.clone();
        if let Value::Object(plain) = &mut plain {
            for field in ["resources", "volumeAttributesClassName"] {
                plain.remove(field);
            }
            if spec.field("volumeName").is_empty() || old.field("volumeName").is_empty() {
                plain.remove("volumeName");
            }
        }
        plain
    };
    let bound = !old.field("volumeName").is_empty();
    let resources = new.field("resources").value != old.field("resources").value;
    if without(new) != without(old) || (resources && !bound) {
        let why = "spec is immutable after creation except resources.requests and \
                   volumeAttributesClassName for bound claims";
        found.forbidden(new, why);
    }
}

fn stateful(new: &At<'_>, old: &At<'_>, found: &mut Found) {
    let mut plain = new.value.clone();
    for field in [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ] {
        match old.value.get(field) {
            Some(value) => plain[field] = value.clone(),
            None => {
                plain.as_object_mut().map(|plain| plain.remove(field));
            }
        }
    }
    if plain != *old.value {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                   'template', 'updateStrategy', 'revisionHistoryLimit', \
                   'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        found.forbidden(new, why);
    }
}

fn pod(new: &At<'_>, old: &At<'_>, found: &mut Found) {
    let count = |spec: &At<'_>| spec.field("containers").items().len();
    if count(new) != count(old) {
        let why = "pod updates may not add or remove containers";
        found.forbidden(&new.field("containers"), why);
        return;
    }
    let (deadline, before) = (
        new.field("activeDeadlineSeconds"),
        old.field("activeDeadlineSeconds"),
    );
    if let Some(before) = before.value.as_i64() {
        match deadline.value.as_i64() {
            None => found.invalid(
                &deadline,
                "must not update from a positive integer to nil value",
            ),
            Some(now) if now > before => {
                found.invalid(&deadline, "must be less than or equal to previous value");
            }
            Some(_) => {}
        }
        if deadline.value.as_i64() != Some(before) {
            return;
        }
    }
    let mut plain = new.value.clone();
    for list in ["containers", "initContainers"] {
        let Some(items) = plain.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        for (at, item) in items.iter_mut().enumerate() {
            item["image"] = old.value[list][at]["image"].clone();
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        match old.value.get(field) {
            Some(value) => plain[field] = value.clone(),
            None => {
                plain.as_object_mut().map(|plain| plain.remove(field));
            }
        }
    }
    if plain != *old.value {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
                   (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` \
                   (allow it to be set to 1 if it was previously negative)";
        found.forbidden(new, why);
    }
}
