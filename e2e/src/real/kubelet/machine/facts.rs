//! What the machine knows of one Pod.
//!
//! It decides which of a Pod's fields count. It never changes a Pod.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::collections::BTreeMap;

/// Which Pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct PodKey {
    pub(in super::super) namespace: String,
    pub(in super::super) name: String,
}

impl PodKey {
    pub(in super::super) fn of(pod: &Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// How far a Pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Phase {
    Pending,
    Running,
    Ended,
}

/// What was last seen of a Pod.
#[derive(Debug, Clone)]
pub(in super::super) struct Facts {
    pub(in super::super) uid: String,
    pub(in super::super) version: u64,
    pub(in super::super) generation: i64,
    pub(in super::super) labels: BTreeMap<String, String>,
    pub(in super::super) node: String,
    /// Name and image of each container.
    pub(in super::super) containers: Vec<(String, String)>,
    pub(in super::super) phase: Phase,
    pub(in super::super) ready: bool,
    pub(in super::super) restarts: i32,
    /// Whether it was asked to go.
    pub(in super::super) deleting: bool,
    /// Whether the kubelet's part of its removal is done; a finalizer may still hold it.
    pub(in super::super) released: bool,
    /// Whether its containers are to end some day, as a Job's are.
    pub(in super::super) ends: bool,
}

impl Facts {
    pub(in super::super) fn of(pod: &Pod) -> Self {
        let metadata = &pod.metadata;
        let spec = pod.spec.as_ref();
        let status = pod.status.clone().unwrap_or_default();
        let restart_policy = spec.and_then(|spec| spec.restart_policy.as_deref());
        let containers = spec
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default();
        let version = metadata.resource_version.as_deref().unwrap_or_default();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: version.parse().unwrap_or(0),
            generation: metadata.generation.unwrap_or(0),
            labels: metadata.labels.clone().unwrap_or_default(),
            node: spec
                .and_then(|spec| spec.node_name.clone())
                .unwrap_or_default(),
            containers: containers
                .iter()
                .map(|container| {
                    (
                        container.name.clone(),
                        container.image.clone().unwrap_or_default(),
                    )
                })
                .collect(),
            phase: match status.phase.as_deref() {
                Some("Running") => Phase::Running,
                Some("Succeeded" | "Failed") => Phase::Ended,
                _ => Phase::Pending,
            },
            ready: is_ready(&status),
            restarts: restarts(&status),
            deleting: metadata.deletion_timestamp.is_some(),
            released: metadata.deletion_grace_period_seconds == Some(0),
            ends: restart_policy.is_some_and(|policy| policy != "Always"),
        }
    }
}

fn is_ready(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn restarts(status: &PodStatus) -> i32 {
    let containers = status.container_statuses.iter().flatten();
    containers
        .map(|container| container.restart_count)
        .max()
        .unwrap_or(0)
}
