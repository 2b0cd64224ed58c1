//! What is inside of a namespace, or of a kind, that is to be deleted: a fresh list, no cache.
//!
//! Anything that would be lost with it holds the deletion; what the control plane makes by itself, and
//! what belongs to something that is counted already, does not.

use flotilla_policy::model::manifest;
use serde_json::Value;

use crate::member::{Kind, MemberApi, MemberError};

/// Objects looked at per kind: enough to say that there are some.
const LOOK: usize = 50;
/// Objects named as examples.
const EXAMPLES: usize = 3;
/// Namespaces that are never deleted.
const SYSTEM: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Kinds whose objects follow others or are records of what happened.
const FOLLOWERS: [&str; 6] = [
    "Event",
    "Endpoints",
    "EndpointSlice",
    "PodMetrics",
    "ControllerRevision",
    "ReplicaSet",
];

/// What holds the deletion of a namespace; empty when nothing does.
///
/// # Errors
/// When any list fails: not knowing is not the same as nothing.
pub async fn in_namespace(
    member: &dyn MemberApi,
    kinds: &[Kind],
    own_namespace: &str,
    namespace: &str,
) -> Result<String, MemberError> {
    if SYSTEM.contains(&namespace) || namespace == own_namespace {
        return Ok(format!("namespace {namespace} is never deleted"));
    }
    let mut found = Vec::new();
    for kind in kinds.iter().filter(|k| k.namespaced && k.listable) {
        if FOLLOWERS.contains(&kind.gvk.kind.as_str()) {
            continue;
        }
        let objects = member.list(kind, namespace, "", LOOK).await?;
        let counted = objects.iter().filter(|o| counts(kind, o));
        found.extend(counted.map(|o| format!("{} {}", kind.gvk.kind, manifest::name(o))));
    }
    Ok(sentence(&format!("namespace {namespace}"), found))
}

/// What holds the deletion of a kind; empty when nothing does.
///
/// # Errors
/// When the list fails.
pub async fn of_kind(
    member: &dyn MemberApi,
    kinds: &[Kind],
    definition: &Value,
) -> Result<String, MemberError> {
    let group = manifest::text(definition, &["spec", "group"]);
    let kind = manifest::text(definition, &["spec", "names", "kind"]);
    let served = kinds
        .iter()
        .find(|k| k.gvk.group == group && k.gvk.kind == kind);
    let Some(served) = served else {
        return Ok(String::new());
    };
    let objects = member.list(served, "", "", LOOK).await?;
    let found = objects.iter().filter(|o| !is_deleting(o)).map(|o| {
        let namespace = manifest::namespace(o);
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("{kind} {namespace}{slash}{}", manifest::name(o))
    });
    Ok(sentence(&format!("kind {kind}"), found.collect()))
}

fn sentence(what: &str, found: Vec<String>) -> String {
    if found.is_empty() {
        return String::new();
    }
    let examples = found.iter().take(EXAMPLES).cloned().collect::<Vec<_>>();
    let more = if found.len() > EXAMPLES { ", ..." } else { "" };
    format!(
        "{what} still holds {} objects ({}{more}); delete them first",
        found.len(),
        examples.join(", "),
    )
}

fn counts(kind: &Kind, object: &Value) -> bool {
    let owned = object["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| owners.iter().any(|o| o["controller"] == Value::Bool(true)));
    let name = manifest::name(object);
    let given = match kind.gvk.kind.as_str() {
        "ServiceAccount" => name == "default",
        "ConfigMap" => name == "kube-root-ca.crt",
        _ => false,
    };
    !owned && !given && !is_deleting(object)
}

fn is_deleting(object: &Value) -> bool {
    !manifest::text(object, &["metadata", "deletionTimestamp"]).is_empty()
}
