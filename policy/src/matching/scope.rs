//! Which objects policies are about at all: not our own kinds, not what a control plane keeps for
//! itself, not what another controller has claimed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::StringMap;
use crate::model::manifest::group_of;

/// Label by which another controller (multi-cluster services) keeps an object for itself.
const CLAIMED_BY: &str = "resourcetemplate.karmada.io/claimed-by";

/// Namespaces that hold the federation's own objects.
const RESERVED_NAMESPACES: [&str; 3] = ["flotilla-system", "karmada-system", "karmada-cluster"];

/// Why policies are not asked about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IgnoreReason {
    /// A kind of the federation itself.
    OwnKind,
    /// Events and leases belong to the cluster they are in.
    LocalKind,
    /// A reserved or Kubernetes namespace.
    Namespace,
    /// Another controller has claimed it.
    ClaimedElsewhere,
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnKind => "the kind belongs to the federation itself",
            Self::LocalKind => "events and leases stay in their cluster",
            Self::Namespace => "the namespace is reserved",
            Self::ClaimedElsewhere => "another controller has claimed it",
        })
    }
}

/// Whether objects of the namespace are left alone: `kube-*`, reserved ones and execution spaces.
#[must_use]
pub fn is_ignored_namespace(namespace: &str) -> bool {
    namespace.starts_with("kube-")
        || namespace.starts_with("karmada-es-")
        || RESERVED_NAMESPACES.contains(&namespace)
}

/// Whether policies are asked about an object at all.
///
/// # Errors
/// The reason why they are not.
pub fn is_propagatable(
    api_version: &str,
    kind: &str,
    namespace: &str,
    labels: &StringMap,
) -> Result<(), IgnoreReason> {
    let group = group_of(api_version);
    if group.ends_with(".karmada.io") || group == "fleet.flotilla.dev" {
        return Err(IgnoreReason::OwnKind);
    }
    let local = match kind {
        "Event" => matches!(group, "" | "events.k8s.io"),
        "Lease" => group == "coordination.k8s.io",
        _ => false,
    };
    if local {
        return Err(IgnoreReason::LocalKind);
    }
    if is_ignored_namespace(namespace) {
        return Err(IgnoreReason::Namespace);
    }
    if labels.contains_key(CLAIMED_BY) {
        return Err(IgnoreReason::ClaimedElsewhere);
    }
    Ok(())
}
