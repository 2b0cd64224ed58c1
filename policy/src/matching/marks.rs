//! Claim marks: the labels and annotations on templates and bindings that say which policy holds
//! them, spelled as Karmada's users and tools read them.

use serde::{Deserialize, Serialize};

use super::{PolicyRef, Scope};
use crate::api::{ObjectMeta, StringMap};

const PP_ID: &str = "propagationpolicy.karmada.io/permanent-id";
const PP_NAMESPACE: &str = "propagationpolicy.karmada.io/namespace";
const PP_NAME: &str = "propagationpolicy.karmada.io/name";
const CPP_ID: &str = "clusterpropagationpolicy.karmada.io/permanent-id";
const CPP_NAME: &str = "clusterpropagationpolicy.karmada.io/name";

/// The claim that stands, as marks tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRef {
    /// Kind of the policy.
    pub scope: Scope,
    /// Namespace of the policy; empty for a cluster-scoped one.
    pub namespace: String,
    /// Name of the policy.
    pub name: String,
    /// The policy's permanent id when it claimed.
    pub permanent_id: String,
}

/// Marks to set, and marks to take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimMarks {
    /// Labels to set.
    pub labels: StringMap,
    /// Annotations to set.
    pub annotations: StringMap,
    /// Labels to take away.
    pub strip_labels: &'static [&'static str],
    /// Annotations to take away.
    pub strip_annotations: &'static [&'static str],
}

/// Marks of an object that the policy holds.
#[must_use]
pub fn claim_marks(policy: &PolicyRef) -> ClaimMarks {
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let id = policy.permanent_id.as_str();
    match policy.scope {
        Scope::Namespaced => ClaimMarks {
            labels: map(&[(PP_ID, id)]),
            annotations: map(&[(PP_NAMESPACE, &policy.namespace), (PP_NAME, &policy.name)]),
            strip_labels: &[CPP_ID],
            strip_annotations: &[CPP_NAME],
        },
        Scope::Cluster => ClaimMarks {
            labels: map(&[(CPP_ID, id)]),
            annotations: map(&[(CPP_NAME, &policy.name)]),
            strip_labels: &[PP_ID],
            strip_annotations: &[PP_NAMESPACE, PP_NAME],
        },
    }
}

/// Marks of an object that no policy holds.
#[must_use]
pub fn no_claim_marks() -> ClaimMarks {
    ClaimMarks {
        strip_labels: &[PP_ID, CPP_ID],
        strip_annotations: &[PP_NAMESPACE, PP_NAME, CPP_NAME],
        ..ClaimMarks::default()
    }
}

/// The claim that an object's marks tell. It counts only when all of its marks are there; a
/// namespaced one counts before a cluster-scoped one.
#[must_use]
pub fn claim_of(labels: &StringMap, annotations: &StringMap) -> Option<ClaimRef> {
    let namespaced = || {
        Some(ClaimRef {
            scope: Scope::Namespaced,
            namespace: annotations.get(PP_NAMESPACE)?.clone(),
            name: annotations.get(PP_NAME)?.clone(),
            permanent_id: labels.get(PP_ID)?.clone(),
        })
    };
    let cluster = || {
        Some(ClaimRef {
            scope: Scope::Cluster,
            namespace: String::new(),
            name: annotations.get(CPP_NAME)?.clone(),
            permanent_id: labels.get(CPP_ID)?.clone(),
        })
    };
    namespaced().or_else(cluster)
}

/// The policy's permanent id: its label, or its UID where admission has not labelled it.
pub(super) fn permanent_id(scope: Scope, policy: &ObjectMeta) -> String {
    let label = match scope {
        Scope::Namespaced => PP_ID,
        Scope::Cluster => CPP_ID,
    };
    policy.labels.get(label).unwrap_or(&policy.uid).clone()
}
