//! The status and the taints that a cluster should show. Pure; conditions and taints are Karmada's.

use std::time::Duration;

use flotilla_policy::api::{Cluster, ClusterStatus, Taint, set_condition};

use super::{FIRST_SESSION_MAX, Said};
use crate::fleet::reports::Liveness;
use crate::front_door::index::{ClusterView, is_draining};

const NOT_READY: &str = "cluster.karmada.io/not-ready";
const UNREACHABLE: &str = "cluster.karmada.io/unreachable";

/// The Ready condition.
pub(super) struct Ready {
    status: &'static str,
    reason: &'static str,
    message: &'static str,
}

/// Whether the cluster is ready; none = too early to say. An agent that has not said what its member
/// serves yet makes nothing ready: whatever was placed now would pass the cluster by.
pub(super) fn readiness(cluster: &Cluster, said: &Said, running: Duration) -> Option<Ready> {
    let is_measured = said.measured.is_some() || !cluster.status.api_enablements.is_empty();
    match &said.liveness {
        Some(Liveness::Connected) if !is_measured => None,
        Some(Liveness::Connected) => Some(Ready {
            status: "True",
            reason: "ClusterReady",
            message: "the cluster's agent is connected",
        }),
        Some(Liveness::Lost { reason }) => Some(Ready {
            status: "Unknown",
            reason,
            message: "the cluster's agent is away; what runs there keeps running",
        }),
        None if running >= FIRST_SESSION_MAX => Some(Ready {
            status: "Unknown",
            reason: "ClusterStatusUnknown",
            message: "the cluster's agent has not connected since the hub started",
        }),
        None => None,
    }
}

/// Sets the taint of the condition and takes the other off; people's taints stay.
pub(super) fn set_taints(taints: &mut Vec<Taint>, ready: &Ready) {
    let wanted = match ready.status {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    let ours = |t: &Taint| t.effect == "NoSchedule" && (t.key == NOT_READY || t.key == UNREACHABLE);
    taints.retain(|t| !ours(t) || Some(t.key.as_str()) == wanted);
    if let Some(key) = wanted
        && !taints.iter().any(|t| ours(t) && t.key == key)
    {
        taints.push(Taint {
            key: key.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        });
    }
}

/// The whole status: what the agent measures over what is known, with our conditions.
pub(super) fn wanted(
    view: &ClusterView,
    cluster: &Cluster,
    said: &Said,
    ready: Option<&Ready>,
    now: &str,
) -> ClusterStatus {
    let mut status = cluster.status.clone();
    if let Some(measured) = &said.measured {
        status
            .kubernetes_version
            .clone_from(&measured.kubernetes_version);
        status.api_enablements.clone_from(&measured.api_enablements);
        status.node_summary.clone_from(&measured.node_summary);
        status
            .resource_summary
            .clone_from(&measured.resource_summary);
        let complete = (
            "True",
            "Complete",
            "the agent has read all kinds of the member",
        );
        set_condition(
            &mut status.conditions,
            "CompleteAPIEnablements",
            complete,
            now,
        );
    }
    if let Some(ready) = ready {
        set_condition(
            &mut status.conditions,
            "Ready",
            (ready.status, ready.reason, ready.message),
            now,
        );
    }
    if said.held > 0 {
        let text = format!(
            "{} works wait for a person: too many derived removals at once, or a store that went back; \
             look at what changed, then `flotilla release {}`",
            said.held, cluster.metadata.name
        );
        set_condition(
            &mut status.conditions,
            "WorksHeld",
            ("True", "Brake", &text),
            now,
        );
    } else {
        status.conditions.retain(|c| c.type_ != "WorksHeld");
    }
    if is_draining(cluster) {
        let left = view.bindings + view.removals;
        let message = format!("{left} bindings and removals are left");
        let drained = if left == 0 {
            (
                "True",
                "Drained",
                "nothing of the fleet is left in the cluster",
            )
        } else {
            ("False", "Draining", message.as_str())
        };
        set_condition(&mut status.conditions, "Drained", drained, now);
    } else {
        status.conditions.retain(|c| c.type_ != "Drained");
    }
    status
}
