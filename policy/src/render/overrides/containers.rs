//! Where the containers of the known workload kinds are, and changes of one list in them.
//!
//! Goes by kind name alone, of any API group, as Karmada does; other kinds have no containers here.
//! Init and ephemeral containers are never touched.

use serde_json::Value;

use super::{Failure, Target};
use crate::api::CommandArgsOverrider;
use crate::model::manifest;
use crate::render::Reason;

const POD: &str = "/spec/containers";
const TEMPLATE: &str = "/spec/template/spec/containers";

/// Pointers to the containers; none for other kinds.
pub(super) fn pointers(object: &Value) -> Result<Vec<String>, Reason> {
    let list = match manifest::kind(object) {
        "Pod" => POD,
        "ReplicaSet" | "Deployment" | "DaemonSet" | "StatefulSet" | "Job" => TEMPLATE,
        _ => return Ok(Vec::new()),
    };
    match object.pointer(list) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(containers)) => Ok((0..containers.len())
            .map(|i| format!("{list}/{i}"))
            .collect()),
        Some(_) => Err(Reason::Type("a list of containers")),
    }
}

/// Adds items to, or removes them from, a list of texts in the containers of that name.
pub(super) fn override_list(
    target: &mut Target<'_>,
    field: &str,
    overriders: &[CommandArgsOverrider],
) -> Result<(), Failure> {
    for (index, overrider) in overriders.iter().enumerate() {
        override_one(target, field, overrider).map_err(|reason| Failure { index, reason })?;
    }
    Ok(())
}

/// An absent list is made, also when it stays empty.
fn override_one(
    target: &mut Target<'_>,
    field: &str,
    overrider: &CommandArgsOverrider,
) -> Result<(), Reason> {
    for container in pointers(target.object)? {
        let Some(found) = target.object.pointer(&container) else {
            continue;
        };
        if manifest::text(found, &["name"]) != overrider.container_name {
            continue;
        }
        let mut items = match found.get(field) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(_) => return Err(Reason::Type("a list of texts")),
        };
        let listed = |item: &Value| {
            let text = item.as_str();
            text.is_some_and(|text| overrider.value.iter().any(|v| v == text))
        };
        match overrider.operator.as_str() {
            "add" => items.extend(overrider.value.iter().cloned().map(Value::from)),
            "remove" => items.retain(|item| !listed(item)),
            _ => continue,
        }
        target.patch("add", &format!("{container}/{field}"), Some(&items.into()))?;
    }
    Ok(())
}
