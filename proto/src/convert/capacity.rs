//! What an agent measures, to and from the Cluster's status.
//!
//! Conditions are not carried: the hub alone says whether a cluster is ready.

use flotilla_policy::api::{
    ApiEnablement, ApiResource, ClusterStatus, NodeSummary, ResourceSummary,
};

use crate::v1;

impl From<&v1::Capacity> for ClusterStatus {
    fn from(wire: &v1::Capacity) -> Self {
        Self {
            kubernetes_version: wire.kubernetes_version.clone(),
            api_enablements: wire.api_enablements.iter().map(enablement).collect(),
            node_summary: Some(NodeSummary {
                total_num: wire.nodes_total,
                ready_num: wire.nodes_ready,
            }),
            resource_summary: Some(ResourceSummary {
                allocatable: wire.allocatable.clone(),
                allocating: wire.allocating.clone(),
                allocated: wire.allocated.clone(),
                allocatable_modelings: Vec::new(),
            }),
            ..Self::default()
        }
    }
}

fn enablement(wire: &v1::ApiEnablement) -> ApiEnablement {
    ApiEnablement {
        group_version: wire.group_version.clone(),
        resources: wire
            .resources
            .iter()
            .map(|r| ApiResource {
                name: r.name.clone(),
                kind: r.kind.clone(),
            })
            .collect(),
    }
}

impl From<&ClusterStatus> for v1::Capacity {
    fn from(own: &ClusterStatus) -> Self {
        let nodes = own.node_summary.clone().unwrap_or_default();
        let resources = own.resource_summary.clone().unwrap_or_default();
        Self {
            kubernetes_version: own.kubernetes_version.clone(),
            api_enablements: own.api_enablements.iter().map(wire_enablement).collect(),
            api_enablements_complete: true,
            nodes_total: nodes.total_num,
            nodes_ready: nodes.ready_num,
            allocatable: resources.allocatable,
            allocating: resources.allocating,
            allocated: resources.allocated,
        }
    }
}

fn wire_enablement(own: &ApiEnablement) -> v1::ApiEnablement {
    v1::ApiEnablement {
        group_version: own.group_version.clone(),
        resources: own
            .resources
            .iter()
            .map(|r| v1::ApiResource {
                name: r.name.clone(),
                kind: r.kind.clone(),
            })
            .collect(),
    }
}
