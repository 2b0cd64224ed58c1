//! Rules of ResourceQuotas and LimitRanges.

use crate::kinds::validate::containers::{amount_is_positive, resource_name};
use crate::kinds::validate::cursor::{At, Found};
use crate::quantity;

const COUNTED: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const MEASURED: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Checks the spec of a quota.
pub(super) fn quota(spec: &At<'_>, found: &mut Found) {
    for (name, amount) in spec.field("hard").entries() {
        resource_name(name, &amount, "quota", is_standard, found);
        amount_is_positive(&amount, found);
        let whole = quantity::parse(amount.text()).is_none_or(|it| it.nano % 1_000_000_000 == 0);
        if COUNTED.contains(&name) && !whole {
            found.invalid(&amount, "must be an integer");
        }
    }
    let scopes = spec.field("scopes");
    let said: Vec<_> = scopes.items().iter().map(At::text).collect();
    if said.iter().any(|scope| !SCOPES.contains(scope)) {
        found.invalid(&scopes, "unsupported scope");
    }
    for pair in [
        ["Terminating", "NotTerminating"],
        ["BestEffort", "NotBestEffort"],
    ] {
        if pair.iter().all(|scope| said.contains(scope)) {
            found.invalid(&scopes, "conflicting scopes");
        }
    }
}

fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name)
        || MEASURED.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Checks the limits of a LimitRange.
pub(super) fn limits(at: &At<'_>, found: &mut Found) {
    let mut seen = Vec::new();
    for limit in at.items() {
        let kind = limit.field("type");
        let standard = ["Pod", "Container", "PersistentVolumeClaim"];
        if !standard.contains(&kind.text()) && !kind.text().contains('/') {
            found.invalid(&kind, "must be a standard limit type or fully qualified");
        }
        if seen.contains(&kind.text()) {
            found.duplicate(&kind);
        }
        seen.push(kind.text());
        bounds(&limit, found);
    }
}

fn bounds(limit: &At<'_>, found: &mut Found) {
    let amount = |list: &str, name: &str| {
        let text = limit.value[list].get(name)?.as_str()?;
        Some((text.to_owned(), quantity::parse(text)?.nano))
    };
    let fields = ["min", "max", "default", "defaultRequest"];
    let mut names: Vec<&str> = Vec::new();
    for field in fields {
        for (name, _) in limit.field(field).entries() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let pairs = [
        ("min", "max", "min", "max value"),
        (
            "min",
            "defaultRequest",
            "defaultRequest",
            "default request value",
        ),
        ("min", "default", "default", "default value"),
        (
            "max",
            "defaultRequest",
            "defaultRequest",
            "default request value",
        ),
        ("max", "default", "default", "default value"),
        (
            "default",
            "defaultRequest",
            "defaultRequest",
            "default request value",
        ),
    ];
    for name in names {
        for (one, other, at, words) in pairs {
            let (Some(first), Some(second)) = (amount(one, name), amount(other, name)) else {
                continue;
            };
            let wrong = if one == "min" {
                first.1 > second.1
            } else {
                second.1 > first.1
            };
            if wrong {
                let path = format!("{}.{at}[{name}]", limit.path);
                let value = serde_json::Value::from(second.0.clone());
                let at = At {
                    value: &value,
                    path,
                };
                let relation = if one == "min" { "greater" } else { "less" };
                let why = format!(
                    "{one} value {} is {relation} than {words} {}",
                    first.0, second.0
                );
                found.invalid(&at, &why);
            }
        }
    }
}
