//! What a pod template asks for and refers to, for every kind that makes pods.
//!
//! A sidecar (an init container that keeps running) counts like any init container, and pod-level
//! resources are not looked at: both as Karmada does, whose numbers users compare with.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::read::{self, Read};
use super::{Dependency, InterpretError};
use crate::api::{NodeClaim, ReplicaRequirements, ResourceList, StringMap, Toleration};
use crate::model::quantity::{Quantity, QuantityFormat};

/// Containers of one pod, by field.
const CONTAINER_FIELDS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Where volumes name secrets, besides `secret` and `projected`.
const VOLUME_SECRETS: [&[&str]; 9] = [
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["scaleIO", "secretRef", "name"],
    &["storageos", "secretRef", "name"],
];

/// Milli-CPU and whole units of everything else, by resource name.
type Amounts = BTreeMap<String, i64>;

/// What one pod needs; none when it asks for nothing.
pub(super) fn requirements(pod_spec: &Value) -> Read<Option<ReplicaRequirements>> {
    let requirements = ReplicaRequirements {
        node_claim: node_claim(pod_spec)?,
        resource_request: resource_request(pod_spec)?,
        ..ReplicaRequirements::default()
    };
    Ok((requirements != ReplicaRequirements::default()).then_some(requirements))
}

fn node_claim(pod_spec: &Value) -> Read<Option<NodeClaim>> {
    let affinity = read::at(
        pod_spec,
        &[
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ],
    )?;
    let claim = NodeClaim {
        hard_node_affinity: (!affinity.is_null()).then(|| affinity.clone()),
        node_selector: string_map(read::text_map(pod_spec, &["nodeSelector"])?),
        tolerations: tolerations(pod_spec)?,
    };
    Ok((claim != NodeClaim::default()).then_some(claim))
}

fn string_map(map: Option<&serde_json::Map<String, Value>>) -> StringMap {
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn tolerations(pod_spec: &Value) -> Read<Vec<Toleration>> {
    read::list(pod_spec, &["tolerations"])?
        .iter()
        .map(|toleration| {
            serde_json::from_value(read::pruned(toleration))
                .map_err(|_| read::type_error(&["tolerations"], "a list of tolerations"))
        })
        .collect()
}

/// The larger of all containers together and the largest init container, plus the pod's overhead.
fn resource_request(pod_spec: &Value) -> Read<ResourceList> {
    let mut total = Amounts::new();
    for container in read::list(pod_spec, &["containers"])? {
        add(&mut total, container_amounts(container)?);
    }
    for container in read::list(pod_spec, &["initContainers"])? {
        for (name, amount) in container_amounts(container)? {
            let largest = total.entry(name).or_default();
            *largest = amount.max(*largest);
        }
    }
    add(&mut total, amounts(pod_spec, &["overhead"])?);
    Ok(total
        .into_iter()
        .filter(|(name, amount)| *amount > 0 && is_counted(name))
        .map(|(name, amount)| {
            let quantity = to_quantity(&name, amount).to_string();
            (name, quantity)
        })
        .collect())
}

fn add(total: &mut Amounts, more: Amounts) {
    for (name, amount) in more {
        let sum = total.entry(name).or_default();
        *sum = sum.saturating_add(amount);
    }
}

/// Requests; a limit stands in where there is no request.
fn container_amounts(container: &Value) -> Read<Amounts> {
    let mut result = amounts(container, &["resources", "limits"])?;
    result.extend(amounts(container, &["resources", "requests"])?);
    Ok(result)
}

fn amounts(object: &Value, path: &[&str]) -> Read<Amounts> {
    read::map(object, path)?
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let quantity =
                Quantity::from_value(value).map_err(|source| InterpretError::Quantity {
                    path: format!("{}.{name}", path.join(".")),
                    source,
                })?;
            let amount = if name == "cpu" {
                quantity.milli_value()
            } else {
                quantity.value()
            };
            Ok((name.clone(), amount))
        })
        .collect()
}

/// Whether schedulers account for a resource of that name.
fn is_counted(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage" | "pods")
        || name.contains('/')
        || name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
}

fn to_quantity(name: &str, amount: i64) -> Quantity {
    if name == "cpu" {
        return Quantity::from_milli(amount);
    }
    let bytes = matches!(name, "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    Quantity::from_units(amount).in_format(if bytes {
        QuantityFormat::BinarySi
    } else {
        QuantityFormat::DecimalSi
    })
}

/// What a pod refers to in its namespace, whether or not it exists.
pub(super) fn dependencies(pod_spec: &Value, namespace: &str) -> Read<BTreeSet<Dependency>> {
    let mut found = Found {
        namespace,
        set: BTreeSet::new(),
    };
    for field in CONTAINER_FIELDS {
        for container in read::list(pod_spec, &[field])? {
            found.container(container)?;
        }
    }
    for volume in read::list(pod_spec, &["volumes"])? {
        found.volume(volume)?;
    }
    for secret in read::list(pod_spec, &["imagePullSecrets"])? {
        found.add("Secret", read::text(secret, &["name"])?);
    }
    match read::text(pod_spec, &["serviceAccountName"])? {
        "default" => {}
        account => found.add("ServiceAccount", account),
    }
    Ok(found.set)
}

struct Found<'a> {
    namespace: &'a str,
    set: BTreeSet<Dependency>,
}

impl Found<'_> {
    fn add(&mut self, kind: &'static str, name: &str) {
        if !name.is_empty() {
            self.set
                .insert(Dependency::named("v1", kind, self.namespace, name));
        }
    }

    fn container(&mut self, container: &Value) -> Read<()> {
        for source in read::list(container, &["envFrom"])? {
            self.add("ConfigMap", read::text(source, &["configMapRef", "name"])?);
            self.add("Secret", read::text(source, &["secretRef", "name"])?);
        }
        for variable in read::list(container, &["env"])? {
            let from = read::at(variable, &["valueFrom"])?;
            self.add("ConfigMap", read::text(from, &["configMapKeyRef", "name"])?);
            self.add("Secret", read::text(from, &["secretKeyRef", "name"])?);
        }
        Ok(())
    }

    fn volume(&mut self, volume: &Value) -> Read<()> {
        self.add("ConfigMap", read::text(volume, &["configMap", "name"])?);
        self.add("Secret", read::text(volume, &["secret", "secretName"])?);
        let claim = read::text(volume, &["persistentVolumeClaim", "claimName"])?;
        self.add("PersistentVolumeClaim", claim);
        for source in read::list(volume, &["projected", "sources"])? {
            self.add("ConfigMap", read::text(source, &["configMap", "name"])?);
            self.add("Secret", read::text(source, &["secret", "name"])?);
        }
        for path in VOLUME_SECRETS {
            self.add("Secret", read::text(volume, path)?);
        }
        Ok(())
    }
}
