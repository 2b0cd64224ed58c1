//! What a cluster's server looks up for new objects: service accounts and priorities of pods, the
//! default class of claims.
//!
//! A front door does none of it: there, objects are templates, and the members look up.

use serde_json::{Value, json};

use super::{Call, Engine, broken, key, meta};
use crate::auth::refuse;
use crate::cacher::List;
use crate::error::Status;
use crate::kinds::Profile;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

impl Engine {
    /// Completes a new object from other objects, or refuses it for the lack of them.
    pub(super) fn admit(&self, call: &Call, object: &mut Value) -> Result<(), Status> {
        let kind = &call.kind;
        if self.profile != Profile::Cluster {
            return Ok(());
        }
        match (kind.group.as_str(), kind.plural.as_str()) {
            ("", "pods") => {
                self.admit_account(call, object)?;
                self.admit_priority(object)
            }
            ("", "persistentvolumeclaims") => self.admit_class(object),
            _ => Ok(()),
        }
    }

    fn admit_account(&self, call: &Call, pod: &mut Value) -> Result<(), Status> {
        let mirror = &pod["metadata"]["annotations"]["kubernetes.io/config.mirror"];
        if mirror.is_string() {
            return Ok(());
        }
        let said = pod["spec"]["serviceAccountName"].as_str();
        let name = said
            .filter(|said| !said.is_empty())
            .unwrap_or("default")
            .to_owned();
        let namespace = &call.target.namespace;
        let Some(account) = self.look_up(("", "serviceaccounts"), namespace, &name)? else {
            let why = format!(
                "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
            );
            return Err(refuse("", "pods", meta::text(pod, "name"), &why));
        };
        let spec = &mut pod["spec"];
        spec["serviceAccountName"] = json!(name);
        spec["serviceAccount"] = json!(name);
        let secrets = account["imagePullSecrets"].as_array();
        let none = spec["imagePullSecrets"]
            .as_array()
            .is_none_or(Vec::is_empty);
        if let (Some(secrets), true) = (secrets.filter(|list| !list.is_empty()), none) {
            spec["imagePullSecrets"] = json!(secrets);
        }
        let own = spec["automountServiceAccountToken"].as_bool();
        let wanted = own.or(account["automountServiceAccountToken"].as_bool());
        if wanted.unwrap_or(true) {
            mount_token(spec);
        }
        Ok(())
    }

    fn admit_priority(&self, pod: &mut Value) -> Result<(), Status> {
        let named = pod["spec"]["priorityClassName"]
            .as_str()
            .unwrap_or_default();
        let built_in = match named {
            "system-cluster-critical" => Some(2_000_000_000),
            "system-node-critical" => Some(2_000_001_000),
            _ => None,
        };
        let class = match (named, built_in) {
            ("", _) => self.first(("scheduling.k8s.io", "priorityclasses"), |class| {
                class["globalDefault"] == true
            })?,
            (_, Some(value)) => Some(json!({"metadata": {"name": named}, "value": value,
                "preemptionPolicy": "PreemptLowerPriority"})),
            (name, None) => {
                let found = self.look_up(("scheduling.k8s.io", "priorityclasses"), "", name)?;
                if found.is_none() {
                    let why = format!("no PriorityClass with name {name} was found");
                    return Err(refuse("", "pods", meta::text(pod, "name"), &why));
                }
                found
            }
        };
        let spec = &mut pod["spec"];
        match class {
            Some(class) => {
                spec["priorityClassName"] = class["metadata"]["name"].clone();
                spec["priority"] = class["value"].as_i64().unwrap_or_default().into();
                if class["preemptionPolicy"].is_string() {
                    spec["preemptionPolicy"] = class["preemptionPolicy"].clone();
                }
            }
            None => {
                spec["priority"] = json!(0);
                if spec["preemptionPolicy"].is_null() {
                    spec["preemptionPolicy"] = json!("PreemptLowerPriority");
                }
            }
        }
        Ok(())
    }

    fn admit_class(&self, claim: &mut Value) -> Result<(), Status> {
        let legacy = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
        if claim["spec"]["storageClassName"].is_string() || legacy.is_string() {
            return Ok(());
        }
        let class = self.first(("storage.k8s.io", "storageclasses"), |class| {
            class["metadata"]["annotations"][DEFAULT_CLASS] == "true"
        })?;
        if let Some(class) = class {
            claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
        }
        Ok(())
    }

    fn look_up(
        &self,
        (group, plural): (&str, &str),
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Status> {
        let Some(kind) = self.row(group, "v1", plural) else {
            return Ok(None);
        };
        let found = self.cacher(&kind)?.get(&key(&kind, namespace, name));
        Ok(found
            .map_err(broken)?
            .map(|found| Value::clone(&found.value)))
    }

    fn first(
        &self,
        (group, plural): (&str, &str),
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, Status> {
        let Some(kind) = self.row(group, "v1", plural) else {
            return Ok(None);
        };
        let listing = self.cacher(&kind)?.list(List::default()).map_err(broken)?;
        let found = listing.values().find(|value| fits(value));
        Ok(found.map(|found| Value::clone(found)))
    }
}

/// Gives every container the token of the pod's account, unless something is mounted there.
fn mount_token(spec: &mut Value) {
    let name = meta::generated("kube-api-access-");
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array().cloned();
            let mut mounts = mounts.unwrap_or_default();
            if mounts.iter().any(|mount| mount["mountPath"] == TOKEN_PATH) {
                continue;
            }
            mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
            container["volumeMounts"] = Value::Array(mounts);
            mounted = true;
        }
    }
    if !mounted {
        return;
    }
    let volume = json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.push(volume);
    spec["volumes"] = Value::Array(volumes);
}
