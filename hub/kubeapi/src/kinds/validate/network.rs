//! Rules of NetworkPolicies, Ingresses and EndpointSlices.

use super::containers;
use super::cursor::{At, Found};
use super::names;
use super::workloads::selectors;

/// Checks an object of this kind.
pub(super) fn check(kind: &str, root: &At<'_>, found: &mut Found) {
    match kind {
        "NetworkPolicy" => policy(&root.field("spec"), found),
        "Ingress" => ingress(&root.field("spec"), found),
        "EndpointSlice" => slice(root, found),
        _ => {}
    }
}

fn policy(spec: &At<'_>, found: &mut Found) {
    selectors::check(&spec.field("podSelector"), found);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            for port in rule.field("ports").items() {
                policy_port(&port, found);
            }
            for peer in rule.field(peers).items() {
                policy_peer(&peer, found);
            }
        }
    }
}

fn policy_port(at: &At<'_>, found: &mut Found) {
    let (port, end) = (at.field("port"), at.field("endPort"));
    if port.is_missing() {
        if !end.is_missing() {
            found.invalid(&end, "may not be specified when `port` is not specified");
        }
        return;
    }
    containers::port(&port, found);
    if end.is_missing() {
        return;
    }
    if port.value.is_string() {
        found.invalid(&end, "may not be specified when `port` is non-numeric");
    } else if end.int() < port.int() {
        found.invalid(&end, "must be greater than or equal to `port`");
    } else {
        found.check(&end, names::port(end.int()));
    }
}

fn policy_peer(at: &At<'_>, found: &mut Found) {
    let block = at.field("ipBlock");
    let others = ["podSelector", "namespaceSelector"].map(|name| at.field(name));
    let selects = others.iter().any(|selector| !selector.is_missing());
    for selector in &others {
        selectors::check(selector, found);
    }
    if block.is_missing() && !selects {
        found.required(at, "must specify a peer");
        return;
    }
    if block.is_missing() {
        return;
    }
    if selects {
        found.forbidden(at, "may not specify both ipBlock and another peer");
        return;
    }
    let bad_range = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let cidr = block.field("cidr");
    let Some(outer) = names::range(cidr.text()) else {
        found.invalid(&cidr, bad_range);
        return;
    };
    for except in block.field("except").items() {
        match names::range(except.text()) {
            None => found.invalid(&except, bad_range),
            Some(inner) if !within(inner, outer) => {
                found.invalid(&except, "must be a strict subset of `cidr`");
            }
            Some(_) => {}
        }
    }
}

/// The first range is a part of the second one, and not all of it.
fn within(inner: (std::net::IpAddr, u8), outer: (std::net::IpAddr, u8)) -> bool {
    use std::net::IpAddr::{V4, V6};
    let wide = |ip| match ip {
        V4(ip) => (u128::from(u32::from(ip)) << 96, 4),
        V6(ip) => (u128::from(ip), 6),
    };
    let ((inner_bits, inner_family), (outer_bits, outer_family)) = (wide(inner.0), wide(outer.0));
    let mask = u128::MAX.checked_shl(128 - u32::from(outer.1)).unwrap_or(0);
    inner_family == outer_family && inner.1 > outer.1 && (inner_bits ^ outer_bits) & mask == 0
}

fn ingress(spec: &At<'_>, found: &mut Found) {
    let backend = spec.field("defaultBackend");
    if backend.is_missing() && spec.field("rules").is_empty() {
        let why = "either `defaultBackend` or `rules` must be specified";
        found.invalid(spec, why);
    }
    if !backend.is_missing() {
        ingress_backend(&backend, found);
    }
    let class = spec.field("ingressClassName");
    if !class.is_missing() {
        found.check(&class, names::subdomain(class.text()));
    }
    for rule in spec.field("rules").items() {
        host(&rule.field("host"), found);
        let http = rule.field("http");
        if !http.is_missing() && http.field("paths").is_empty() {
            found.required(&http.field("paths"), "");
        }
        for path in http.field("paths").items() {
            ingress_path(&path, found);
        }
    }
    for tls in spec.field("tls").items() {
        for name in tls.field("hosts").items() {
            host(&name, found);
        }
    }
}

fn host(at: &At<'_>, found: &mut Found) {
    let text = at.text();
    if !text.is_empty() {
        let plain = text.strip_prefix("*.").unwrap_or(text);
        found.check(at, names::subdomain(plain));
    }
}

fn ingress_path(at: &At<'_>, found: &mut Found) {
    let (kind, path) = (at.field("pathType"), at.field("path"));
    if kind.is_missing() {
        found.required(&kind, "pathType must be specified");
        return;
    }
    match kind.text() {
        "Exact" | "Prefix" if !path.text().starts_with('/') => {
            found.invalid(&path, "must be an absolute path");
        }
        "ImplementationSpecific" if !path.is_empty() && !path.text().starts_with('/') => {
            found.invalid(&path, "must be an absolute path");
        }
        "Exact" | "Prefix" | "ImplementationSpecific" => {}
        _ => found.one_of(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    ingress_backend(&at.field("backend"), found);
}

fn ingress_backend(at: &At<'_>, found: &mut Found) {
    let (service, resource) = (at.field("service"), at.field("resource"));
    match (service.is_missing(), resource.is_missing()) {
        (true, true) => found.required(at, "resource or service backend is required"),
        (false, false) => found.invalid(at, "cannot set both resource and service backends"),
        (true, false) => {}
        (false, true) => {
            let (name, port) = (service.field("name"), service.field("port"));
            if name.is_empty() {
                found.required(&name, "");
            } else {
                found.check(&name, names::service_label(name.text()));
            }
            let (label, number) = (port.field("name"), port.field("number"));
            match (label.is_empty(), number.is_empty()) {
                (true, true) => found.required(at, "port name or number is required"),
                (false, false) => found.invalid(at, "cannot set both port name & port number"),
                (false, true) => {
                    for why in names::port_name(label.text()) {
                        found.invalid(&label, why);
                    }
                }
                (true, false) => found.check(&number, names::port(number.int())),
            }
        }
    }
}

fn slice(root: &At<'_>, found: &mut Found) {
    let kind = root.field("addressType");
    if kind.is_empty() {
        found.required(&kind, "");
    } else {
        found.one_of(&kind, &["FQDN", "IPv4", "IPv6"]);
    }
    for port in root.field("ports").items() {
        let name = port.field("name");
        if !name.is_empty() {
            found.check(&name, names::label(name.text()));
        }
    }
    for endpoint in root.field("endpoints").items() {
        let addresses = endpoint.field("addresses");
        if addresses.is_empty() {
            found.required(&addresses, "must contain at least 1 address");
        }
        for address in addresses.items() {
            match kind.text() {
                "IPv4" | "IPv6" => found.check(&address, names::ip(address.text())),
                "FQDN" => found.check(&address, names::subdomain(address.text())),
                _ => {}
            }
        }
    }
}
