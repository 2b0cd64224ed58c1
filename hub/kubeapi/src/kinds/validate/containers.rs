//! Rules of containers.

use serde_json::Value;

use super::cursor::{At, Found};
use super::names;
use crate::quantity;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Checks all containers of a pod; `mounts` are the names of its volumes.
pub(super) fn check(spec: &At<'_>, mounts: &[&str], found: &mut Found) {
    let containers = spec.field("containers");
    if containers.is_empty() {
        found.required(&containers, "");
    }
    let mut seen = Vec::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.field(list).items() {
            let name = container.field("name");
            if name.is_empty() {
                found.required(&name, "");
            } else {
                found.check(&name, names::label(name.text()));
                if seen.contains(&name.text()) {
                    found.duplicate(&name);
                }
                seen.push(name.text());
            }
            one(&container, list, mounts, found);
        }
    }
}

fn one(at: &At<'_>, list: &str, mounts: &[&str], found: &mut Found) {
    let image = at.field("image");
    if image.is_empty() {
        found.required(&image, "");
    }
    let restart = at.field("restartPolicy");
    if list == "containers" && !restart.is_empty() {
        found.forbidden(&restart, "may not be set for non-init containers");
    } else if list == "initContainers" && !restart.is_missing() {
        found.one_of(&restart, &["Always"]);
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    found.one_of(&at.field("imagePullPolicy"), &policies);
    let messages = ["File", "FallbackToLogsOnError"];
    found.one_of(&at.field("terminationMessagePolicy"), &messages);
    ports(&at.field("ports"), found);
    environment(at, found);
    volume_mounts(&at.field("volumeMounts"), mounts, found);
    resources(&at.field("resources"), found);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        probe(&at.field(name), found);
    }
    for name in ["lifecycle.postStart", "lifecycle.preStop"] {
        let hook = at.field(name);
        if !hook.is_missing() {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], found);
        }
    }
    identity(&at.field("securityContext"), found);
}

/// Checks the numbers of users and groups.
pub(super) fn identity(at: &At<'_>, found: &mut Found) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        let field = at.field(field);
        let number = field.value.as_i64();
        if number.is_some_and(|number| !(0..=2_147_483_647).contains(&number)) {
            found.invalid(&field, "must be between 0 and 2147483647, inclusive");
        }
    }
}

fn ports(at: &At<'_>, found: &mut Found) {
    let mut seen = Vec::new();
    for port in at.items() {
        let name = port.field("name");
        if !name.is_empty() {
            let wrong = names::port_name(name.text());
            if wrong.is_empty() && seen.contains(&name.text()) {
                found.duplicate(&name);
            }
            seen.push(name.text());
            for why in wrong {
                found.invalid(&name, why);
            }
        }
        let number = port.field("containerPort");
        if number.is_empty() {
            found.required(&number, "");
        } else {
            found.check(&number, names::port(number.int()));
        }
        let host = port.field("hostPort");
        if !host.is_empty() {
            found.check(&host, names::port(host.int()));
        }
        found.one_of(&port.field("protocol"), PROTOCOLS);
    }
}

fn environment(at: &At<'_>, found: &mut Found) {
    for variable in at.field("env").items() {
        let name = variable.field("name");
        if name.is_empty() {
            found.required(&name, "");
        } else if !name
            .text()
            .bytes()
            .all(|c| (32..127).contains(&c) && c != b'=')
        {
            found.invalid(
                &name,
                "a valid environment variable name must consist only of printable ASCII \
                 characters other than '='",
            );
        }
        let from = variable.field("valueFrom");
        if from.is_missing() {
            continue;
        }
        let empty = Value::from("");
        let shown = At {
            value: &empty,
            path: from.path.clone(),
        };
        let sources = [
            "fieldRef",
            "resourceFieldRef",
            "configMapKeyRef",
            "secretKeyRef",
            "fileKeyRef",
        ];
        let present = sources.iter().filter(|name| !from.field(name).is_missing());
        match present.count() {
            0 => found.invalid(
                &shown,
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or \
                 `secretKeyRef`",
            ),
            _ if !variable.field("value").is_empty() => {
                found.invalid(&shown, "may not be specified when `value` is not empty");
            }
            1 => {}
            _ => found.invalid(
                &shown,
                "may not have more than one field specified at a time",
            ),
        }
        field_reference(&from.field("fieldRef"), found);
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let key = from.field(source).field("key");
            if !from.field(source).is_missing() && key.is_empty() {
                found.required(&key, "");
            }
        }
    }
}

fn field_reference(at: &At<'_>, found: &mut Found) {
    if at.is_missing() {
        return;
    }
    let path = at.field("fieldPath");
    let known = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "metadata.annotations",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let plain = path.text().split('[').next().unwrap_or_default();
    if path.is_empty() {
        found.required(&path, "");
    } else if !known.contains(&plain) {
        found.invalid(
            &path,
            "error converting fieldPath: field label not supported",
        );
    }
}

fn volume_mounts(at: &At<'_>, volumes: &[&str], found: &mut Found) {
    let mut seen = Vec::new();
    for mount in at.items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        if name.is_empty() {
            found.required(&name, "");
        } else if !volumes.contains(&name.text()) {
            found.not_found(&name);
        }
        if path.is_empty() {
            found.required(&path, "");
        } else if seen.contains(&path.text()) {
            found.invalid(&path, "must be unique");
        }
        seen.push(path.text());
    }
}

/// Checks limits and requests of a container.
pub(super) fn resources(at: &At<'_>, found: &mut Found) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    for list in [&limits, &requests] {
        for (name, amount) in list.entries() {
            resource_name(name, &amount, "containers", is_standard, found);
            amount_is_positive(&amount, found);
        }
    }
    for (name, request) in requests.entries() {
        let limit = limits.value.get(name).and_then(Value::as_str);
        let parsed = |text: &str| quantity::parse(text).map(|amount| amount.nano);
        if let Some(limit) = limit
            && parsed(request.text()) > parsed(limit)
        {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            found.invalid(&request.said_at(&requests.path), &why);
        }
    }
}

/// Checks the name of a resource: a qualified one, or one of the standard ones.
pub(super) fn resource_name(
    name: &str,
    at: &At<'_>,
    what: &str,
    is_standard: fn(&str) -> bool,
    found: &mut Found,
) {
    let shown = Value::from(name);
    let shown = At {
        value: &shown,
        path: at.path.clone(),
    };
    found.check(&shown, names::qualified(name));
    if !name.contains('/') && !is_standard(name) {
        found.invalid(&shown, &format!("must be a standard resource for {what}"));
    }
}

pub(super) fn amount_is_positive(at: &At<'_>, found: &mut Found) {
    if quantity::parse(at.text()).is_some_and(|amount| amount.nano < 0) {
        found.invalid(at, "must be greater than or equal to 0");
    }
}

fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

fn probe(at: &At<'_>, found: &mut Found) {
    if at.is_missing() {
        return;
    }
    handler(at, &["exec", "httpGet", "tcpSocket", "grpc"], found);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        found.at_least(&at.field(field), 0);
    }
    let liveness = !at.path.ends_with("readinessProbe");
    let successes = at.field("successThreshold");
    if liveness && successes.int() > 1 {
        found.invalid(&successes, "must be 1");
    }
}

fn handler(at: &At<'_>, kinds: &[&str], found: &mut Found) {
    let mut present = kinds.iter().filter(|kind| !at.field(kind).is_missing());
    let Some(first) = present.next() else {
        found.required(at, "must specify a handler type");
        return;
    };
    for more in present {
        found.forbidden(&at.field(more), "may not specify more than 1 handler type");
    }
    let handler = at.field(first);
    match *first {
        "exec" => {
            let command = handler.field("command");
            if command.is_empty() {
                found.required(&command, "");
            }
        }
        "httpGet" | "tcpSocket" => port(&handler.field("port"), found),
        "grpc" => {
            let number = handler.field("port");
            found.check(&number, names::port(number.int()));
        }
        _ => {}
    }
}

/// Checks a port that is a number or a name.
pub(super) fn port(at: &At<'_>, found: &mut Found) {
    match at.value {
        Value::String(name) => {
            for why in names::port_name(name) {
                found.invalid(at, why);
            }
        }
        _ => found.check(at, names::port(at.int())),
    }
}
