//! The Nodes that a fake kubelet registers.
//!
//! It decides what such a Node looks like: an ordinary Linux node with the capacity it is told to
//! have. It talks to nobody.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const GPU_RESOURCE: &str = "nvidia.com/gpu";

/// One node as a test describes it.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// The node's name.
    pub name: String,
    /// Labels beside the ordinary ones (hostname, operating system, architecture).
    pub labels: BTreeMap<String, String>,
    /// Processors, as a Kubernetes quantity.
    pub cpu: String,
    /// Memory, as a Kubernetes quantity.
    pub memory: String,
    /// How many Pods fit.
    pub pods: u32,
    /// GPUs (`nvidia.com/gpu`); with 0 the node does not know the resource.
    pub gpus: u32,
}

impl NodeSpec {
    /// A node with 8 processors, 32 GiB of memory, room for 110 Pods and no GPU.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            cpu: "8".to_owned(),
            memory: "32Gi".to_owned(),
            pods: 110,
            gpus: 0,
        }
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With this many GPUs.
    #[must_use]
    pub fn gpus(self, gpus: u32) -> Self {
        Self { gpus, ..self }
    }

    /// The Node without its status.
    pub(super) fn object(&self) -> Value {
        let mut labels = BTreeMap::from([
            ("kubernetes.io/hostname".to_owned(), self.name.clone()),
            ("kubernetes.io/os".to_owned(), "linux".to_owned()),
            ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
        ]);
        labels.extend(self.labels.clone());
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"providerID": format!("fake://{}", self.name)},
        })
    }

    /// A patch of the Node's status.
    pub(super) fn status(&self, ready: bool, now: Timestamp) -> Value {
        let mut capacity = BTreeMap::from([
            ("cpu", self.cpu.clone()),
            ("memory", self.memory.clone()),
            ("pods", self.pods.to_string()),
            ("ephemeral-storage", "100Gi".to_owned()),
        ]);
        if self.gpus > 0 {
            capacity.insert(GPU_RESOURCE, self.gpus.to_string());
        }
        let now = now.to_string();
        let condition = |kind: &str, holds: bool, reason: &str| {
            json!({
                "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason,
                "message": "as told", "lastHeartbeatTime": now, "lastTransitionTime": now,
            })
        };
        let ready_reason = if ready {
            "KubeletReady"
        } else {
            "KubeletNotReady"
        };
        json!({"status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [
                condition("Ready", ready, ready_reason),
                condition("MemoryPressure", false, "KubeletHasSufficientMemory"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID"),
            ],
            "addresses": [{"type": "Hostname", "address": self.name}],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "fake://1",
                "kernelVersion": "6.1.0", "kubeProxyVersion": "", "kubeletVersion": "v1.34.4",
                "machineID": "", "operatingSystem": "linux", "osImage": "fake", "systemUUID": "",
            },
        }})
    }
}
