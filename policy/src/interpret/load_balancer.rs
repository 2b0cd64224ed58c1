//! Addresses of load balancers, for Services and Ingresses: many members' addresses become one list
//! without duplicates, names before bare addresses.

use serde_json::{Map, Value, json};

use super::HealthReport;
use super::read::{self, Read};
use crate::api::AggregatedStatusItem;

const INGRESS: [&str; 2] = ["loadBalancer", "ingress"];

/// Unhealthy while there is no address.
pub(super) fn health(object: &Value) -> Read<HealthReport> {
    let status = read::at(object, &["status"])?;
    for address in read::list(status, &INGRESS)? {
        if !read::text(address, &["hostname"])?.is_empty()
            || !read::text(address, &["ip"])?.is_empty()
        {
            return Ok(HealthReport::healthy());
        }
    }
    Ok(HealthReport::unhealthy("no load balancer address yet"))
}

/// The status with all members' addresses.
pub(super) fn aggregate(items: &[&AggregatedStatusItem]) -> Value {
    let mut addresses: Vec<Value> = Vec::new();
    for (_, list) in read::statuses(items, |status| read::list(status, &INGRESS)) {
        for address in list.unwrap_or_default() {
            merge(&mut addresses, address);
        }
    }
    addresses.sort_by_cached_key(order);
    let mut balancer = Map::new();
    if !addresses.is_empty() {
        balancer.insert("ingress".to_owned(), Value::Array(addresses));
    }
    json!({ "loadBalancer": balancer })
}

fn merge(addresses: &mut Vec<Value>, address: &Value) {
    let Some(known) = addresses.iter_mut().find(|known| same(known, address)) else {
        addresses.push(address.clone());
        return;
    };
    let Some(known) = known.as_object_mut() else {
        return;
    };
    for port in address["ports"].as_array().into_iter().flatten() {
        let ports = known.entry("ports").or_insert_with(|| json!([]));
        if let Some(ports) = ports.as_array_mut()
            && !ports.contains(port)
        {
            ports.push(port.clone());
        }
    }
}

/// Equal but for their ports.
fn same(a: &Value, b: &Value) -> bool {
    ["hostname", "ip", "ipMode"]
        .iter()
        .all(|field| a[*field] == b[*field])
}

/// By name, entries without one last, then by address as text.
fn order(address: &Value) -> (bool, String, String) {
    let text = |field: &str| address[field].as_str().unwrap_or_default().to_owned();
    (text("hostname").is_empty(), text("hostname"), text("ip"))
}
