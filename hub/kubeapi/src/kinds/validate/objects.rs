//! Rules of the smaller kinds.

mod autoscaling;
mod quotas;
mod storage;

use serde_json::Value;

use super::cursor::{At, Found};
use super::workloads::selectors;
use super::{meta, names};

/// Keys and values of a ConfigMap or Secret together, in bytes.
const DATA_BYTES_MAX: usize = 1024 * 1024;

/// Checks an object of this kind.
pub(super) fn check(key: (&str, &str), root: &At<'_>, found: &mut Found) {
    match key {
        ("", "ConfigMap") => config_map(root, found),
        ("", "Secret") => secret(root, found),
        ("", "ResourceQuota") => quotas::quota(&root.field("spec"), found),
        ("", "LimitRange") => quotas::limits(&root.field("spec.limits"), found),
        ("", "PersistentVolume") => storage::volume(&root.field("spec"), found),
        ("", "PersistentVolumeClaim") => storage::claim(&root.field("spec"), found),
        ("storage.k8s.io", "StorageClass") => {
            let provisioner = root.field("provisioner");
            if provisioner.is_empty() {
                found.required(&provisioner, "");
            }
        }
        ("", "Event") => event(root, false, found),
        ("events.k8s.io", "Event") => event(root, true, found),
        ("", "Namespace") => {
            let finalizers = root.field("spec.finalizers");
            for finalizer in finalizers.items() {
                meta::finalizer_name(&finalizer, &finalizers.path, found);
            }
        }
        ("", "Node") => node(root, found),
        ("", "Endpoints") => endpoints(root, found),
        ("autoscaling", _) => autoscaling::check(&root.field("spec"), found),
        ("coordination.k8s.io", "Lease") => {
            let duration = root.field("spec.leaseDurationSeconds");
            if duration.value.as_i64().is_some_and(|seconds| seconds <= 0) {
                found.invalid(&duration, "must be greater than 0");
            }
        }
        ("policy", "PodDisruptionBudget") => budget(&root.field("spec"), found),
        ("rbac.authorization.k8s.io", kind) => rbac(kind, root, found),
        ("scheduling.k8s.io", "PriorityClass") => priority(root, found),
        _ => {}
    }
}

fn config_map(root: &At<'_>, found: &mut Found) {
    let mut bytes = 0;
    let binary = root.field("binaryData");
    for (key, value) in root.field("data").entries() {
        bytes += value.text().len();
        config_key(key, &value.path, found);
        if binary.value.get(key).is_some() {
            let shown = Value::from(key);
            let shown = At {
                value: &shown,
                path: value.path,
            };
            found.invalid(&shown, "duplicate of key present in binaryData");
        }
    }
    for (key, value) in binary.entries() {
        bytes += value.text().len() * 3 / 4;
        config_key(key, &value.path, found);
    }
    if bytes > DATA_BYTES_MAX {
        found.too_long(&root.said_at(""), DATA_BYTES_MAX);
    }
}

fn config_key(key: &str, path: &str, found: &mut Found) {
    let shown = Value::from(key);
    let shown = At {
        value: &shown,
        path: path.to_owned(),
    };
    found.check(&shown, names::config_key(key));
}

fn secret(root: &At<'_>, found: &mut Found) {
    let data = root.field("data");
    let mut bytes = 0;
    for (key, value) in data.entries() {
        bytes += value.text().len() * 3 / 4;
        config_key(key, &value.path, found);
    }
    if bytes > DATA_BYTES_MAX {
        found.too_long(&data, DATA_BYTES_MAX);
    }
    let needed: &[&str] = match root.field("type").text() {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            let annotations = root.field("metadata.annotations");
            if annotations.value.get(name).is_none() {
                let path = format!("{}[{name}]", annotations.path);
                found.required(&annotations.said_at(path), "");
            }
            &[]
        }
        _ => &[],
    };
    for key in needed {
        if data.value.get(key).is_none() {
            found.required(&data.said_at(format!("data[{key}]")), "");
        }
    }
}

/// Events are kept in the older shape, and findings name its fields.
fn event(root: &At<'_>, newer: bool, found: &mut Found) {
    let pick = |old: &str, new: &str| {
        let field = root.field(if newer { new } else { old });
        field.said_at(old)
    };
    let namespace = pick("involvedObject.namespace", "regarding.namespace");
    let own = root.field("metadata.namespace");
    let agrees = if namespace.is_empty() {
        matches!(own.text(), "" | "default")
    } else {
        newer || own.text() == namespace.text()
    };
    if !agrees {
        found.invalid(&namespace, "does not match event.namespace");
    }
    let time = root.field("eventTime");
    if newer {
        let kind = root.field("type");
        if time.is_missing() {
            found.required(&time, "");
        }
        if !matches!(kind.text(), "Normal" | "Warning") {
            found.invalid(&kind, &format!("has invalid value: {}", kind.text()));
        }
    }
    if time.is_missing() {
        return;
    }
    let reporter = pick("reportingComponent", "reportingController");
    if reporter.is_empty() {
        found.required(&reporter, "");
    }
    found.check(&reporter, names::qualified(reporter.text()));
    for field in ["reportingInstance", "action", "reason"] {
        let field = root.field(field);
        if field.is_empty() {
            found.required(&field, "");
        } else if field.text().len() > 128 {
            found.invalid(&field, "can have at most 128 characters");
        }
    }
    let note = pick("message", "note");
    if note.text().len() > 1024 {
        found.invalid(&note, "can have at most 1024 characters");
    }
}

fn node(root: &At<'_>, found: &mut Found) {
    for taint in root.field("spec.taints").items() {
        let taint = taint.said_at(taint.path.replace("spec.taints", "metadata.taints"));
        let (key, value) = (taint.field("key"), taint.field("value"));
        found.check(&key, names::qualified(key.text()));
        found.check(&value, names::label_value(value.text()));
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        found.one_of(&taint.field("effect"), &effects);
    }
}

fn endpoints(root: &At<'_>, found: &mut Found) {
    for subset in root.field("subsets").items() {
        let lists = ["addresses", "notReadyAddresses"].map(|name| subset.field(name));
        if lists.iter().all(At::is_empty) {
            let why = "must specify `addresses` or `notReadyAddresses`";
            found.required(&subset, why);
        }
        for address in lists.iter().flat_map(At::items) {
            let ip = address.field("ip");
            found.check(&ip, names::ip(ip.text()));
        }
        let ports = subset.field("ports").items();
        for port in &ports {
            let (name, number) = (port.field("name"), port.field("port"));
            if name.is_empty() && ports.len() > 1 {
                found.required(&name, "");
            } else if !name.is_empty() {
                found.check(&name, names::label(name.text()));
            }
            found.check(&number, names::port(number.int()));
            found.one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
        }
    }
}

fn budget(spec: &At<'_>, found: &mut Found) {
    let (least, most) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if !least.is_missing() && !most.is_missing() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        found.invalid(spec, why);
    }
    for at in [least, most] {
        super::workloads::share(&at, true, found);
    }
    selectors::check(&spec.field("selector"), found);
}

fn rbac(kind: &str, root: &At<'_>, found: &mut Found) {
    match kind {
        "Role" | "ClusterRole" => {
            for rule in root.field("rules").items() {
                rbac_rule(&rule, kind == "Role", found);
            }
        }
        _ => binding(kind, root, found),
    }
}

fn rbac_rule(rule: &At<'_>, namespaced: bool, found: &mut Found) {
    if rule.field("verbs").is_empty() {
        let why = "verbs must contain at least one value";
        found.required(&rule.field("verbs"), why);
    }
    let paths = rule.field("nonResourceURLs");
    if !paths.is_empty() {
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            found.invalid(&paths, why);
        } else if !rule.field("apiGroups").is_empty() || !rule.field("resources").is_empty() {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            found.invalid(&paths, why);
        }
        return;
    }
    for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        let field = rule.field(field);
        if field.is_empty() {
            let why = format!("resource rules must supply at least one {what}");
            found.required(&field, &why);
        }
    }
}

fn binding(kind: &str, root: &At<'_>, found: &mut Found) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let role = root.field("roleRef");
    found.one_of(&role.field("apiGroup"), &[GROUP]);
    let kinds: &[&str] = if kind == "RoleBinding" {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    found.one_of(&role.field("kind"), kinds);
    let name = role.field("name");
    if name.is_empty() {
        found.required(&name, "");
    } else {
        found.check(&name, names::path_segment(name.text()));
    }
    for subject in root.field("subjects").items() {
        let (name, group) = (subject.field("name"), subject.field("apiGroup"));
        if name.is_empty() {
            found.required(&name, "");
        }
        match subject.field("kind").text() {
            "ServiceAccount" => {
                if !name.is_empty() {
                    found.check(&name, names::subdomain(name.text()));
                }
                if !group.is_empty() {
                    found.one_of(&group, &[""]);
                }
                let namespace = subject.field("namespace");
                if kind == "ClusterRoleBinding" && namespace.is_empty() {
                    found.required(&namespace, "");
                }
            }
            "User" | "Group" => found.one_of(&group, &[GROUP]),
            _ => {
                let kinds = ["ServiceAccount", "User", "Group"];
                found.one_of(&subject.field("kind"), &kinds);
            }
        }
    }
}

fn priority(root: &At<'_>, found: &mut Found) {
    let (name, value) = (root.field("metadata.name"), root.field("value"));
    let system = ["system-node-critical", "system-cluster-critical"];
    if name.text().starts_with("system-") {
        if !system.contains(&name.text()) {
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. \
                 error: {} is not a known system priority class",
                name.text()
            );
            found.forbidden(&name, &why);
        }
    } else if value.int() > 1_000_000_000 {
        let why = "maximum allowed value of a user defined priority is 1000000000";
        found.forbidden(&value, why);
    }
}
