//! Cells that put lists and maps into one line.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cells::{at, items, or_none, text};

/// How many addresses are shown before "more".
const ADDRESSES_SHOWN: usize = 3;

/// A cell by its name.
pub(super) fn cell(name: &str, object: &Value) -> Value {
    match name {
        "containers" | "images" => {
            let field = if name == "images" { "image" } else { "name" };
            let places = [
                "spec.template.spec.containers",
                "spec.jobTemplate.spec.template.spec.containers",
                "template.spec.containers",
            ];
            let all = places.iter().flat_map(|place| items(object, place));
            json!(join(all.map(|one| text(one, field)), ","))
        }
        "selector" => selector(at(object, "spec.selector")),
        "pod_selector" => selector(at(object, "spec.podSelector")),
        "plain_selector" => labels(at(object, "spec.selector")),
        "node_selector" => labels(at(object, "spec.template.spec.nodeSelector")),
        "template_labels" => labels(at(object, "template.metadata.labels")),
        "endpoints" => endpoints(object),
        "slice_ports" => slice_ports(object),
        "slice_endpoints" => {
            let all = items(object, "endpoints").flat_map(|one| items(one, "addresses"));
            some(
                all.filter_map(Value::as_str).map(str::to_owned).collect(),
                "<unset>",
            )
        }
        "quota_requests" => quota(object, false),
        "quota_limits" => quota(object, true),
        "scale_reference" => {
            let target = &object["spec"]["scaleTargetRef"];
            json!(format!("{}/{}", text(target, "kind"), text(target, "name")))
        }
        "scale_targets" => scale_targets(object),
        "role" => {
            let role = &object["roleRef"];
            json!(format!("{}/{}", text(role, "kind"), text(role, "name")))
        }
        "users" => subjects(object, "User"),
        "groups" => subjects(object, "Group"),
        "accounts" => subjects(object, "ServiceAccount"),
        "request_condition" => request_condition(object),
        _ => policy(name, object),
    }
}

/// Cells of classes, drivers and admission policies.
fn policy(name: &str, object: &Value) -> Value {
    match name {
        "class_parameters" => {
            let parameters = &object["spec"]["parameters"];
            let (kind, name) = (text(parameters, "kind"), text(parameters, "name"));
            let group = text(parameters, "apiGroup");
            or_none(match (parameters.is_null(), group) {
                (true, _) => String::new(),
                (_, "") => format!("{kind}/{name}"),
                _ => format!("{kind}.{group}/{name}"),
            })
        }
        "param_kind" => {
            let kind = &object["spec"]["paramKind"];
            let shown = format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind"));
            json!(if kind.is_null() { "<unset>" } else { &shown })
        }
        "param_ref" => {
            let param = &object["spec"]["paramRef"];
            let namespace = text(param, "namespace");
            let name = text(param, "name");
            json!(match (param.is_null(), namespace) {
                (true, _) => "<unset>".to_owned(),
                (_, "") => name.to_owned(),
                _ => format!("{namespace}/{name}"),
            })
        }
        "token_requests" => {
            let all = items(object, "spec.tokenRequests").map(|one| text(one, "audience"));
            let joined = join(all, ",");
            json!(if joined.is_empty() {
                "<unset>"
            } else {
                &joined
            })
        }
        "lifecycle_modes" => {
            let all = items(object, "spec.volumeLifecycleModes").filter_map(Value::as_str);
            json!(join(all, ","))
        }
        _ => address(name, object),
    }
}

fn join<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    texts.collect::<Vec<_>>().join(separator)
}

/// A few of a list.
fn some(all: Vec<String>, none: &str) -> Value {
    if all.is_empty() {
        return json!(none);
    }
    let shown = all.len().min(ADDRESSES_SHOWN);
    let line = all[..shown].join(",");
    json!(match all.len() - shown {
        0 => line,
        more => format!("{line} + {more} more..."),
    })
}

/// Labels, in order.
fn labels(map: &Value) -> Value {
    let map = map.as_object().into_iter().flatten();
    let sorted: BTreeMap<_, _> = map.collect();
    let pairs = sorted.iter().map(|(key, value)| {
        let value = value.as_str().unwrap_or_default();
        format!("{key}={value}")
    });
    or_none(pairs.collect::<Vec<_>>().join(","))
}

/// A selector as people write it.
pub(super) fn selector(selector: &Value) -> Value {
    let mut parts = BTreeMap::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        parts.insert(key.clone(), format!("{key}={value}"));
    }
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        let mut values: Vec<_> = items(expression, "values")
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        let shown = match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.insert(key.to_owned(), shown);
    }
    or_none(parts.into_values().collect::<Vec<_>>().join(","))
}

fn endpoints(object: &Value) -> Value {
    let mut all = Vec::new();
    for subset in items(object, "subsets") {
        let ports: Vec<_> = items(subset, "ports").collect();
        for address in items(subset, "addresses") {
            let ip = text(address, "ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            let with_port = ports.iter().map(|port| match ip.contains(':') {
                true => format!("[{ip}]:{}", port["port"]),
                false => format!("{ip}:{}", port["port"]),
            });
            all.extend(with_port);
        }
    }
    some(all, "<none>")
}

fn slice_ports(object: &Value) -> Value {
    let ports = items(object, "ports").map(|port| match (&port["port"], text(port, "name")) {
        (Value::Null, name) => name.to_owned(),
        (port, _) => port.to_string(),
    });
    some(ports.collect(), "<unset>")
}

fn quota(object: &Value, of_limits: bool) -> Value {
    let (hard, used) = (at(object, "status.hard"), at(object, "status.used"));
    let hard: BTreeMap<_, _> = hard.as_object().into_iter().flatten().collect();
    let shown = hard
        .iter()
        .filter(|(name, _)| name.starts_with("limits.") == of_limits)
        .map(|(name, hard)| {
            let used = used[name.as_str()].as_str().unwrap_or("0");
            format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
        });
    json!(shown.collect::<Vec<_>>().join(", "))
}

/// What an autoscaler looks at, present and wanted.
fn scale_targets(object: &Value) -> Value {
    let specs: Vec<_> = items(object, "spec.metrics").collect();
    if specs.is_empty() {
        return json!("<none>");
    }
    let present: Vec<_> = items(object, "status.currentMetrics").collect();
    let shown: Vec<_> = specs
        .iter()
        .take(2)
        .enumerate()
        .map(|(at, spec)| scale_target(spec, present.get(at).copied().unwrap_or(&Value::Null)))
        .collect();
    let line = shown.join(", ");
    json!(match specs.len().saturating_sub(2) {
        0 => line,
        more => format!("{line} + {more} more..."),
    })
}

fn scale_target(spec: &Value, present: &Value) -> String {
    let source = match text(spec, "type") {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (&spec[source]["target"], &present[source]["current"]);
    let name = text(&spec[source], "name");
    let known = |field: &str| match &current[field] {
        Value::String(text) => text.clone(),
        _ => "<unknown>".to_owned(),
    };
    let line = if let Some(wanted) = target["averageUtilization"].as_i64() {
        let current = current["averageUtilization"].as_i64();
        let current = current.map_or("<unknown>".to_owned(), |share| format!("{share}%"));
        format!("{current}/{wanted}%")
    } else if let Some(wanted) = target["averageValue"].as_str() {
        let average = if matches!(source, "object" | "external") {
            " (avg)"
        } else {
            ""
        };
        format!("{}/{wanted}{average}", known("averageValue"))
    } else {
        format!("{}/{}", known("value"), text(target, "value"))
    };
    match source {
        "resource" | "containerResource" => format!("{name}: {line}"),
        _ => line,
    }
}

fn subjects(object: &Value, kind: &str) -> Value {
    let of_kind = items(object, "subjects").filter(|one| text(one, "kind") == kind);
    let names = of_kind.map(|one| match kind {
        "ServiceAccount" => format!("{}/{}", text(one, "namespace"), text(one, "name")),
        _ => text(one, "name").to_owned(),
    });
    json!(names.collect::<Vec<_>>().join(", "))
}

fn request_condition(object: &Value) -> Value {
    let mut words: Vec<_> = items(object, "status.conditions")
        .map(|one| text(one, "type").to_owned())
        .collect();
    if words.is_empty() {
        words.push("Pending".to_owned());
    }
    if !text(object, "status.certificate").is_empty() {
        words.push("Issued".to_owned());
    }
    json!(words.join(","))
}

fn address(name: &str, object: &Value) -> Value {
    match name {
        "service_ip" => {
            let first = items(object, "spec.clusterIPs")
                .next()
                .and_then(Value::as_str);
            or_none(
                first
                    .unwrap_or_else(|| text(object, "spec.clusterIP"))
                    .to_owned(),
            )
        }
        "service_external" => service_external(object),
        "service_ports" => {
            let ports = items(object, "spec.ports").map(|port| {
                let (number, protocol) = (&port["port"], text(port, "protocol"));
                match port["nodePort"].as_i64() {
                    Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
                    _ => format!("{number}/{protocol}"),
                }
            });
            or_none(ports.collect::<Vec<_>>().join(","))
        }
        "ingress_hosts" => {
            let hosts: Vec<_> = items(object, "spec.rules")
                .map(|rule| text(rule, "host"))
                .filter(|host| !host.is_empty())
                .collect();
            let shown: Vec<_> = hosts.iter().take(3).copied().collect();
            json!(match (hosts.len(), hosts.len() - shown.len()) {
                (0, _) => "*".to_owned(),
                (_, 0) => shown.join(","),
                (_, more) => format!("{} + {more} more...", shown.join(",")),
            })
        }
        "ingress_address" => json!(balancer(object)),
        "ingress_ports" => {
            let secure = items(object, "spec.tls").next().is_some();
            json!(if secure { "80, 443" } else { "80" })
        }
        "volume_claim" => {
            let claim = &object["spec"]["claimRef"];
            let shown = format!("{}/{}", text(claim, "namespace"), text(claim, "name"));
            json!(if claim.is_null() { "" } else { &shown })
        }
        "volume_modes" => modes(at(object, "spec.accessModes")),
        "claim_modes" if !text(object, "spec.volumeName").is_empty() => {
            modes(at(object, "status.accessModes"))
        }
        "claim_capacity" if !text(object, "spec.volumeName").is_empty() => {
            json!(text(object, "status.capacity.storage"))
        }
        "claim_modes" | "claim_capacity" => json!(""),
        "volume_mode" => unset(text(object, "spec.volumeMode")),
        "attributes_class" => unset(text(object, "spec.volumeAttributesClassName")),
        _ => node(name, object),
    }
}

fn unset(text: &str) -> Value {
    json!(if text.is_empty() { "<unset>" } else { text })
}

fn modes(list: &Value) -> Value {
    let words = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let words = words.map(|mode| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    json!(join(words, ","))
}

fn balancer(object: &Value) -> String {
    let ingress = items(object, "status.loadBalancer.ingress");
    let addresses = ingress.map(|one| match text(one, "ip") {
        "" => text(one, "hostname"),
        ip => ip,
    });
    join(addresses.filter(|address| !address.is_empty()), ",")
}

fn service_external(object: &Value) -> Value {
    let said = join(
        items(object, "spec.externalIPs").filter_map(Value::as_str),
        ",",
    );
    match text(object, "spec.type") {
        "ExternalName" => json!(text(object, "spec.externalName")),
        "LoadBalancer" => {
            let given = balancer(object);
            let both: Vec<_> = [given, said]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            json!(if both.is_empty() {
                "<pending>".to_owned()
            } else {
                both.join(",")
            })
        }
        _ => or_none(said),
    }
}

fn node(name: &str, object: &Value) -> Value {
    let of_kind = |kind: &str| {
        let mut all = items(object, "status.addresses");
        let found = all.find(|one| text(one, "type") == kind);
        or_none(found.map_or("", |one| text(one, "address")).to_owned())
    };
    let info = |field: &str| {
        let value = text(&object["status"]["nodeInfo"], field);
        json!(if value.is_empty() { "<unknown>" } else { value })
    };
    match name {
        "node_internal" => of_kind("InternalIP"),
        "node_external" => of_kind("ExternalIP"),
        "node_os" => info("osImage"),
        "node_kernel" => info("kernelVersion"),
        "node_runtime" => info("containerRuntimeVersion"),
        "node_roles" => {
            let labels = object["metadata"]["labels"]
                .as_object()
                .into_iter()
                .flatten();
            let mut roles: Vec<_> = labels
                .filter_map(
                    |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                        Some("") => None,
                        Some(role) => Some(role),
                        None if key == "kubernetes.io/role" => value.as_str(),
                        None => None,
                    },
                )
                .collect();
            roles.sort_unstable();
            or_none(roles.join(","))
        }
        _ => {
            let mut conditions = items(object, "status.conditions");
            let ready = conditions.find(|one| one["type"] == "Ready");
            let mut words = vec![match ready.map(|one| text(one, "status")) {
                Some("True") => "Ready",
                Some(_) => "NotReady",
                None => "Unknown",
            }];
            if object["spec"]["unschedulable"] == true {
                words.push("SchedulingDisabled");
            }
            json!(words.join(","))
        }
    }
}
