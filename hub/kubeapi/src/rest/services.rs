//! What a cluster's server gives to services: addresses, node ports, families.
//!
//! What was given stays with a service until its type changes. Which values are taken is read from
//! the services that are there; one lock makes look and write one step.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::{Engine, broken, meta};
use crate::cacher::List;
use crate::error::{Cause, Status};
use crate::kinds::{Kind, Profile};

/// The first two bytes of service addresses: a /16.
const NETWORK: [u8; 2] = [10, 96];
/// The server's own address.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
const PORT_FIRST: u16 = 30_000;
const PORT_LAST: u16 = 32_767;

/// What other services have.
#[derive(Default)]
struct Taken {
    addresses: BTreeSet<String>,
    ports: BTreeSet<u16>,
}

/// This kind is given addresses by this kind of server.
pub(super) fn is_served(kind: &Kind, profile: Profile) -> bool {
    profile == Profile::Cluster && kind.group.is_empty() && kind.plural == "services"
}

/// A change that does not mention what was given keeps it.
pub(super) fn keep(live: &Value, object: &mut Value) {
    let (old, new) = (ty(live), ty(object));
    if new == "ExternalName" {
        return;
    }
    if old != "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if is_missing(&object["spec"][field]) && !is_missing(&live["spec"][field]) {
                object["spec"][field] = live["spec"][field].clone();
            }
        }
    }
    let has_ports = |ty: &str| matches!(ty, "NodePort" | "LoadBalancer");
    if !has_ports(&old) {
        return;
    }
    for (field, belongs) in [
        ("externalTrafficPolicy", has_ports(&new)),
        ("allocateLoadBalancerNodePorts", new == "LoadBalancer"),
        ("loadBalancerClass", new == "LoadBalancer"),
    ] {
        let same = object["spec"][field] == live["spec"][field];
        if !belongs
            && same
            && let Some(spec) = object["spec"].as_object_mut()
        {
            spec.remove(field);
        }
    }
    let before = live["spec"]["ports"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let now = object
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    for port in now.into_iter().flatten() {
        let same = before
            .iter()
            .find(|old| old["port"] == port["port"] && old["protocol"] == port["protocol"]);
        let given = same.map_or(Value::Null, |old| old["nodePort"].clone());
        if has_ports(&new) && is_missing(&port["nodePort"]) && !given.is_null() {
            port["nodePort"] = given;
        } else if !has_ports(&new)
            && port["nodePort"] == given
            && let Some(port) = port.as_object_mut()
        {
            port.remove("nodePort");
        }
    }
    let check = &live["spec"]["healthCheckNodePort"];
    if wants_check(object) && is_missing(&object["spec"]["healthCheckNodePort"]) {
        if !is_missing(check) {
            object["spec"]["healthCheckNodePort"] = check.clone();
        }
    } else if !wants_check(object)
        && let Some(spec) = object["spec"].as_object_mut()
    {
        spec.remove("healthCheckNodePort");
    }
}

impl Engine {
    /// Gives a service what it lacks.
    pub(super) fn give(&self, kind: &Kind, object: &mut Value) -> Result<(), Status> {
        if ty(object) == "ExternalName" {
            return Ok(());
        }
        let taken = self.taken(kind, object)?;
        let mut causes = Vec::new();
        give_address(object, &taken, &mut causes);
        give_ports(object, taken, &mut causes);
        if causes.is_empty() {
            return Ok(());
        }
        let name = meta::text(object, "name");
        Err(Status::invalid("", &kind.kind, name, causes))
    }

    fn taken(&self, kind: &Kind, object: &Value) -> Result<Taken, Status> {
        let uid = meta::text(object, "uid");
        let listing = self.cacher(kind)?.list(List::default()).map_err(broken)?;
        let mut taken = Taken::default();
        // Only the service of the server itself may have the server's address.
        let own = (meta::text(object, "namespace"), meta::text(object, "name"));
        if own != ("default", "kubernetes") {
            taken.addresses.insert(OWN.to_string());
        }
        for other in listing
            .values()
            .filter(|other| meta::text(other, "uid") != uid)
        {
            let spec = &other["spec"];
            let addresses = spec["clusterIPs"].as_array().into_iter().flatten();
            let addresses = addresses.filter_map(Value::as_str);
            taken.addresses.extend(addresses.map(str::to_owned));
            let ports = spec["ports"].as_array().into_iter().flatten();
            let ports = ports.map(|port| &port["nodePort"]);
            let ports = ports.chain([&spec["healthCheckNodePort"]]);
            taken.ports.extend(ports.filter_map(number));
        }
        Ok(taken)
    }
}

fn give_address(object: &mut Value, taken: &Taken, causes: &mut Vec<Cause>) {
    let spec = &mut object["spec"];
    let headless = spec["clusterIP"] == "None";
    let bare = spec["selector"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if is_missing(&spec["ipFamilyPolicy"]) {
        let both = headless && bare && is_missing(&spec["ipFamilies"]);
        spec["ipFamilyPolicy"] = json!(if both {
            "RequireDualStack"
        } else {
            "SingleStack"
        });
        if both {
            spec["ipFamilies"] = json!(["IPv4", "IPv6"]);
        }
    }
    if is_missing(&spec["ipFamilies"]) {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    let said = match &spec["clusterIPs"] {
        Value::Array(list) if !list.is_empty() => list[0].clone(),
        _ => spec["clusterIP"].clone(),
    };
    let address = match said.as_str().unwrap_or_default() {
        "" => free_address(taken),
        "None" => "None".to_owned(),
        said => {
            if let Some(why) = refused(said, taken) {
                let text =
                    format!("Invalid value: [{said:?}]: failed to allocate IP {said}: {why}");
                causes.push(Cause::new("FieldValueInvalid", "spec.clusterIPs", text));
            }
            said.to_owned()
        }
    };
    if is_missing(&spec["clusterIPs"]) {
        spec["clusterIPs"] = json!([address]);
    }
    spec["clusterIP"] = json!(address);
}

fn refused(address: &str, taken: &Taken) -> Option<&'static str> {
    match address.parse() {
        Ok(IpAddr::V4(parsed)) if parsed.octets()[..2] != NETWORK => {
            Some("the provided network does not match the current range")
        }
        Ok(IpAddr::V6(_)) => Some("the provided network does not match the current range"),
        _ if taken.addresses.contains(address) => Some("provided IP is already allocated"),
        _ => None,
    }
}

fn free_address(taken: &Taken) -> String {
    let start = random();
    let all = 1..u16::MAX;
    let candidates = all.map(|step| {
        let [high, low] = start.wrapping_add(step).to_be_bytes();
        Ipv4Addr::new(NETWORK[0], NETWORK[1], high, low).to_string()
    });
    let mut usable = candidates.filter(|address| {
        let ends = ["10.96.0.0", "10.96.255.255"].contains(&address.as_str());
        !ends && !taken.addresses.contains(address)
    });
    usable.next().unwrap_or_default()
}

fn give_ports(object: &mut Value, mut taken: Taken, causes: &mut Vec<Cause>) {
    let ty = ty(object);
    let balanced = ty == "LoadBalancer";
    let wanted =
        ty == "NodePort" || (balanced && object["spec"]["allocateLoadBalancerNodePorts"] != false);
    let check = wants_check(object);
    // TCP and UDP of one number may share a node port within one service.
    let mut own: Vec<(Value, u16, String)> = Vec::new();
    let ports = object
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
        let said = number(&port["nodePort"]).filter(|said| *said != 0);
        let given = match said {
            Some(said) => {
                let field = format!("spec.ports[{index}].nodePort");
                if let Some(why) = refused_port(said, &taken) {
                    let text = format!("Invalid value: {said}: {why}");
                    causes.push(Cause::new("FieldValueInvalid", field, text));
                }
                said
            }
            None if wanted => {
                let shared = own
                    .iter()
                    .find(|(number, _, other)| *number == port["port"] && *other != protocol);
                shared.map_or_else(|| free_port(&taken), |(_, given, _)| *given)
            }
            None => continue,
        };
        port["nodePort"] = json!(given);
        own.push((port["port"].clone(), given, protocol));
    }
    taken.ports.extend(own.iter().map(|(_, given, _)| *given));
    if check && is_missing(&object["spec"]["healthCheckNodePort"]) {
        object["spec"]["healthCheckNodePort"] = json!(free_port(&taken));
    }
}

fn refused_port(port: u16, taken: &Taken) -> Option<String> {
    if !(PORT_FIRST..=PORT_LAST).contains(&port) {
        let range = format!("{PORT_FIRST}-{PORT_LAST}");
        return Some(format!(
            "provided port is not in the valid range. The range of valid ports is {range}"
        ));
    }
    let used = taken.ports.contains(&port);
    used.then(|| "provided port is already allocated".to_owned())
}

fn free_port(taken: &Taken) -> u16 {
    let count = PORT_LAST - PORT_FIRST + 1;
    let start = random() % count;
    let mut candidates = (0..count).map(|step| PORT_FIRST + (start + step) % count);
    candidates
        .find(|port| !taken.ports.contains(port))
        .unwrap_or_default()
}

/// A health check port belongs to balancers that keep to the node.
fn wants_check(object: &Value) -> bool {
    ty(object) == "LoadBalancer" && object["spec"]["externalTrafficPolicy"] == "Local"
}

fn ty(object: &Value) -> String {
    object["spec"]["type"]
        .as_str()
        .unwrap_or("ClusterIP")
        .to_owned()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|value| u16::try_from(value).ok())
}

fn is_missing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) | Value::Object(_) => false,
    }
}

fn random() -> u16 {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]])
}
