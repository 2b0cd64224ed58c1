//! Rules of Services.

use std::net::IpAddr;

use serde_json::Value;

use super::containers;
use super::cursor::{At, Found};
use super::{meta, names};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

/// Checks a Service.
pub(super) fn check(root: &At<'_>, found: &mut Found) {
    let spec = root.field("spec");
    let kind = spec.field("type").text();
    let headless = spec.field("clusterIP").text() == "None";
    if spec.field("ports").is_empty() && !headless && kind != "ExternalName" {
        found.required(&spec.field("ports"), "");
    }
    ports(&spec, kind, found);
    found.one_of(&spec.field("type"), TYPES);
    found.one_of(&spec.field("sessionAffinity"), &["ClientIP", "None"]);
    meta::labels(&spec.field("selector"), found);
    addresses(&spec, kind, headless, found);
    policies(&spec, kind, found);
    let ingress = root.field("status.loadBalancer.ingress");
    if !ingress.is_empty() && kind != "LoadBalancer" {
        found.forbidden(
            &ingress,
            "may only be used when `spec.type` is 'LoadBalancer'",
        );
    }
    if kind == "ExternalName" {
        external_name(&spec, found);
    }
}

fn ports(spec: &At<'_>, kind: &str, found: &mut Found) {
    let ports = spec.field("ports").items();
    let (mut names_seen, mut numbers_seen) = (Vec::new(), Vec::new());
    for port in &ports {
        let (name, number, protocol) = (
            port.field("name"),
            port.field("port"),
            port.field("protocol"),
        );
        if name.is_empty() {
            if ports.len() > 1 {
                found.required(&name, "");
            }
        } else {
            found.check(&name, names::label(name.text()));
            if names_seen.contains(&name.text()) {
                found.duplicate(&name);
            }
            names_seen.push(name.text());
        }
        found.check(&number, names::port(number.int()));
        found.one_of(&protocol, &["SCTP", "TCP", "UDP"]);
        containers::port(&port.field("targetPort"), found);
        let pair = (number.int(), protocol.text());
        if numbers_seen.contains(&pair) {
            found.duplicate(port);
        }
        numbers_seen.push(pair);
        let node_port = port.field("nodePort");
        if !node_port.is_empty() {
            if matches!(kind, "ClusterIP" | "ExternalName") {
                let why = format!("may not be used when `type` is '{kind}'");
                found.forbidden(&node_port, &why);
            } else if !(30000..=32767).contains(&node_port.int()) {
                found.invalid(
                    &node_port,
                    "provided port is not in the valid range. The range of valid ports is \
                     30000-32767",
                );
            }
        }
    }
}

fn addresses(spec: &At<'_>, kind: &str, headless: bool, found: &mut Found) {
    let said = spec.field("clusterIPs").items();
    let addresses = match (said.is_empty(), spec.field("clusterIP").is_empty()) {
        (true, false) => vec![spec.field("clusterIP").said_at("spec.clusterIPs[0]")],
        _ => said,
    };
    for address in addresses {
        if address.text() != "None" {
            found.check(&address, names::ip(address.text()));
        } else if headless && matches!(kind, "NodePort" | "LoadBalancer") {
            let why = format!("may not be set to 'None' for {kind} services");
            found.invalid(&address, &why);
        }
    }
    for address in spec.field("externalIPs").items() {
        match address.text().parse::<IpAddr>() {
            Err(_) => found.check(&address, names::ip(address.text())),
            Ok(ip) if ip.is_loopback() => found.invalid(
                &address,
                "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            Ok(ip) if ip.is_unspecified() => {
                found.invalid(&address, "may not be unspecified (0.0.0.0 or ::)");
            }
            Ok(ip) if ip.is_multicast() => found.invalid(
                &address,
                "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
            ),
            Ok(_) => {}
        }
    }
    for family in spec.field("ipFamilies").items() {
        found.one_of(&family, &["IPv4", "IPv6"]);
    }
    let policy = spec.field("ipFamilyPolicy");
    if !policy.is_missing() {
        found.one_of(
            &policy,
            &["PreferDualStack", "RequireDualStack", "SingleStack"],
        );
    }
}

fn policies(spec: &At<'_>, kind: &str, found: &mut Found) {
    let only_balanced = "may only be used when `type` is 'LoadBalancer'";
    let ranges = spec.field("loadBalancerSourceRanges");
    if !ranges.is_empty() {
        if kind == "LoadBalancer" {
            for range in ranges.items() {
                if names::range(range.text().trim()).is_none() {
                    found.invalid(
                        &range,
                        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                    );
                }
            }
        } else {
            // The field is named as the real server names it.
            let named = ranges.said_at("spec.LoadBalancerSourceRanges");
            found.forbidden(&named, only_balanced);
        }
    }
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        let field = spec.field(field);
        if kind != "LoadBalancer" && !field.is_missing() {
            found.forbidden(&field, only_balanced);
        }
    }
    let external = spec.field("externalTrafficPolicy");
    if !external.is_empty() {
        let reachable =
            matches!(kind, "NodePort" | "LoadBalancer") || !spec.field("externalIPs").is_empty();
        if reachable {
            found.one_of(&external, &["Cluster", "Local"]);
        } else {
            let why = "may only be set for externally-accessible services";
            found.invalid(&external, why);
        }
    }
    let internal = spec.field("internalTrafficPolicy");
    if !internal.is_missing() {
        found.one_of(&internal, &["Cluster", "Local"]);
    }
    let timeout = spec.field("sessionAffinityConfig.clientIP.timeoutSeconds");
    if spec.field("sessionAffinity").text() == "ClientIP" && !(1..=86400).contains(&timeout.int()) {
        found.invalid(&timeout, "must be greater than 0 and less than 86400");
    }
}

fn external_name(spec: &At<'_>, found: &mut Found) {
    let name = spec.field("externalName");
    if name.is_empty() {
        found.required(&name, "");
    } else {
        let text = name.text();
        found.check(
            &name,
            names::subdomain(text.strip_suffix('.').unwrap_or(text)),
        );
    }
    let address = spec.field("clusterIP");
    if !address.is_empty() && address.value != &Value::from("None") {
        found.forbidden(
            &spec.field("clusterIPs"),
            "may not be set for ExternalName services",
        );
    }
}
