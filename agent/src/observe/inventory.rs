//! What the cluster can do: kinds, nodes, and resources, from watched nodes and pods.
//!
//! A machine without clock or I/O. Of a pod only its requests are kept. A change of nodes or kinds is
//! told soon, mere coming and going of pods seldom.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flotilla_policy::model::manifest;
use flotilla_policy::model::quantity::Quantity;
use flotilla_proto::v1;
use serde_json::Value;

use crate::member::{Seen, Served};

/// Changes that come together are told together.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// Pods come and go; this is often enough for a scheduler.
const PODS_EVERY: Duration = Duration::from_secs(10);

type Resources = BTreeMap<String, Quantity>;

#[derive(Clone, Debug, PartialEq)]
struct Node {
    ready: bool,
    allocatable: Resources,
}

#[derive(Clone, Debug, PartialEq)]
struct Pod {
    bound: bool,
    requests: Resources,
}

/// The inventory.
#[derive(Debug, Default)]
pub struct Inventory {
    version: String,
    served: Vec<Served>,
    nodes: Option<BTreeMap<String, Node>>,
    pods: Option<BTreeMap<(String, String), Pod>>,
    due: Option<Instant>,
    told_at: Option<Instant>,
    told: Option<v1::Capacity>,
}

impl Inventory {
    /// The member's version and kinds.
    pub fn set_kinds(&mut self, version: &str, served: &[Served], now: Instant) {
        if self.version != version || self.served != served {
            version.clone_into(&mut self.version);
            self.served = served.to_vec();
            self.soon(now + DEBOUNCE);
        }
    }

    /// A watch of nodes saw something.
    pub fn nodes(&mut self, seen: Seen, now: Instant) {
        let nodes = self.nodes.get_or_insert_default();
        match seen {
            Seen::All(all) => {
                *nodes = all
                    .iter()
                    .map(|o| (manifest::name(o).to_owned(), node(o)))
                    .collect();
            }
            Seen::Is(object) => {
                let new = node(&object);
                let old = nodes.insert(manifest::name(&object).to_owned(), new.clone());
                if old == Some(new) {
                    return;
                }
            }
            Seen::Went(object) => {
                nodes.remove(manifest::name(&object));
            }
        }
        self.soon(now + DEBOUNCE);
    }

    /// A watch of pods saw something.
    pub fn pods(&mut self, seen: Seen, now: Instant) {
        let name = |o: &Value| {
            (
                manifest::namespace(o).to_owned(),
                manifest::name(o).to_owned(),
            )
        };
        let pods = self.pods.get_or_insert_default();
        let first = matches!(seen, Seen::All(_));
        match seen {
            Seen::All(all) => {
                *pods = all
                    .iter()
                    .filter_map(|o| Some((name(o), pod(o)?)))
                    .collect();
            }
            Seen::Is(object) => {
                let new = pod(&object);
                let old = match new.clone() {
                    Some(pod) => pods.insert(name(&object), pod),
                    None => pods.remove(&name(&object)),
                };
                if old == new {
                    return;
                }
            }
            Seen::Went(object) => {
                if pods.remove(&name(&object)).is_none() {
                    return;
                }
            }
        }
        let wait = if first { DEBOUNCE } else { PODS_EVERY };
        let after = self.told_at.map_or(now, |at| at + wait).max(now + DEBOUNCE);
        self.soon(after);
    }

    fn soon(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When something is to be told.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be told now; nothing before nodes and pods were seen whole, or when it is the same.
    pub fn poll(&mut self, now: Instant) -> Option<v1::Capacity> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.due = None;
        let capacity = self.measure()?;
        if self.told.as_ref() == Some(&capacity) {
            return None;
        }
        self.told_at = Some(now);
        self.told = Some(capacity.clone());
        Some(capacity)
    }

    fn measure(&self) -> Option<v1::Capacity> {
        let (nodes, pods) = (self.nodes.as_ref()?, self.pods.as_ref()?);
        let sum = |bound: bool| {
            let pods = pods.values().filter(|pod| pod.bound == bound);
            to_text(&total(pods.map(|pod| &pod.requests)))
        };
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        Some(v1::Capacity {
            kubernetes_version: self.version.clone(),
            api_enablements: self.served.iter().map(enablement).collect(),
            api_enablements_complete: !self.served.is_empty(),
            nodes_total: count(nodes.len()),
            nodes_ready: count(nodes.values().filter(|node| node.ready).count()),
            allocatable: to_text(&total(nodes.values().map(|node| &node.allocatable))),
            allocating: sum(false),
            allocated: sum(true),
        })
    }
}

fn enablement(served: &Served) -> v1::ApiEnablement {
    let kinds = served.kinds.iter();
    v1::ApiEnablement {
        group_version: served.group_version.clone(),
        resources: kinds
            .map(|kind| v1::ApiResource {
                name: kind.plural.clone(),
                kind: kind.gvk.kind.clone(),
            })
            .collect(),
    }
}

fn node(object: &Value) -> Node {
    let conditions = object["status"]["conditions"].as_array();
    Node {
        ready: conditions
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Ready" && c["status"] == "True"),
        allocatable: resources(&object["status"]["allocatable"]),
    }
}

/// What a pod takes up; none when it has ended.
fn pod(object: &Value) -> Option<Pod> {
    let phase = manifest::text(object, &["status", "phase"]);
    if matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let spec = &object["spec"];
    let each = |field: &str| {
        let containers = spec[field].as_array();
        let all = containers.into_iter().flatten().map(|c| {
            let restarts = c["restartPolicy"] == "Always";
            (restarts, resources(&c["resources"]["requests"]))
        });
        all.collect::<Vec<_>>()
    };
    let mut requests = Resources::new();
    for (_, one) in each("containers") {
        add(&mut requests, &one);
    }
    let mut sidecars = Resources::new();
    let mut peak = Resources::new();
    for (restarts, one) in each("initContainers") {
        if restarts {
            add(&mut sidecars, &one);
            raise(&mut peak, &sidecars);
        } else {
            let mut at_once = sidecars.clone();
            add(&mut at_once, &one);
            raise(&mut peak, &at_once);
        }
    }
    add(&mut requests, &sidecars);
    raise(&mut requests, &peak);
    add(&mut requests, &resources(&spec["overhead"]));
    requests.insert("pods".to_owned(), Quantity::from_units(1));
    Some(Pod {
        bound: !manifest::text(spec, &["nodeName"]).is_empty(),
        requests,
    })
}

fn resources(value: &Value) -> Resources {
    let entries = value.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::from_value(amount).ok()?)))
        .collect()
}

fn add(to: &mut Resources, more: &Resources) {
    for (name, amount) in more {
        let held = to.entry(name.clone()).or_insert(Quantity::ZERO);
        *held = *held + *amount;
    }
}

fn raise(to: &mut Resources, least: &Resources) {
    for (name, amount) in least {
        let held = to.entry(name.clone()).or_insert(*amount);
        if *held < *amount {
            *held = *amount;
        }
    }
}

fn total<'a>(all: impl Iterator<Item = &'a Resources>) -> Resources {
    let mut sum = Resources::new();
    for one in all {
        add(&mut sum, one);
    }
    sum
}

fn to_text(resources: &Resources) -> BTreeMap<String, String> {
    let all = resources.iter();
    all.map(|(name, amount)| (name.clone(), amount.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mk_node(name: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": name},
            "status": {
                "allocatable": {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2", "pods": "110"},
                "conditions": [{"type": "Ready", "status": ready}],
            },
        })
    }

    fn mk_pod(name: &str, node: &str, phase: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "n"},
            "spec": {
                "nodeName": node,
                "containers": [
                    {"resources": {"requests": {"cpu": "100m", "nvidia.com/gpu": "1"}}},
                    {"resources": {"requests": {"cpu": "200m"}}},
                ],
                "initContainers": [{"resources": {"requests": {"cpu": "1"}}}],
            },
            "status": {"phase": phase},
        })
    }

    #[test]
    fn requests_are_summed_by_where_pods_are() {
        let start = Instant::now();
        let mut inventory = Inventory::default();
        let nodes = vec![mk_node("a", "True"), mk_node("b", "False")];
        inventory.nodes(Seen::All(nodes), start);
        assert_eq!(
            inventory.poll(start + DEBOUNCE),
            None,
            "pods are not known yet"
        );
        let pods = vec![
            mk_pod("running", "a", "Running"),
            mk_pod("done", "a", "Succeeded"),
            mk_pod("waiting", "", "Pending"),
        ];
        inventory.pods(Seen::All(pods), start);
        let at = inventory.poll_timeout().expect("something is due");
        let capacity = inventory.poll(at).expect("all is known");
        assert_eq!((capacity.nodes_total, capacity.nodes_ready), (2, 1));
        assert_eq!(capacity.allocatable["cpu"], "8");
        assert_eq!(capacity.allocatable["memory"], "16Gi");
        assert_eq!(capacity.allocatable["nvidia.com/gpu"], "4");
        assert_eq!(capacity.allocated["cpu"], "1");
        assert_eq!(capacity.allocated["pods"], "1");
        assert_eq!(capacity.allocating["nvidia.com/gpu"], "1");
    }

    #[test]
    fn pods_are_told_seldom_and_the_same_never() {
        let start = Instant::now();
        let mut inventory = Inventory::default();
        inventory.nodes(Seen::All(Vec::new()), start);
        inventory.pods(Seen::All(Vec::new()), start);
        let first = inventory.poll_timeout().expect("due");
        assert!(inventory.poll(first).is_some());
        inventory.pods(Seen::Is(mk_pod("p", "a", "Running")), first);
        assert_eq!(inventory.poll_timeout(), Some(first + PODS_EVERY));
        inventory.nodes(Seen::Is(mk_node("a", "True")), first);
        assert_eq!(inventory.poll_timeout(), Some(first + DEBOUNCE));
        assert!(inventory.poll(first + DEBOUNCE).is_some());
        inventory.nodes(Seen::Is(mk_node("a", "True")), first);
        inventory.pods(Seen::Is(mk_pod("p", "a", "Running")), first);
        assert_eq!(inventory.poll_timeout(), None);
    }
}
