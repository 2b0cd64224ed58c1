//! Sets the replicas of one cluster in the kinds that have such a field.
//!
//! Only where the field is there: an absent one stays absent, as in Karmada. A kind that is not
//! listed keeps its template.

use serde_json::Value;

use super::{Assignment, Reason};
use crate::model::manifest;

const APPS: &str = "apps/v1";
const BATCH: &str = "batch/v1";

/// API version, kind, and the field that holds the replicas.
const FIELDS: [(&str, &str, [&str; 2]); 4] = [
    (APPS, "Deployment", ["spec", "replicas"]),
    (APPS, "ReplicaSet", ["spec", "replicas"]),
    (APPS, "StatefulSet", ["spec", "replicas"]),
    (BATCH, "Job", ["spec", "parallelism"]),
];
const COMPLETIONS: [&str; 2] = ["spec", "completions"];

/// Sets replicas, and the completions of a Job, in place.
pub(super) fn revise(object: &mut Value, assignment: &Assignment) -> Result<(), (String, Reason)> {
    let (version, kind) = (manifest::api_version(object), manifest::kind(object));
    let job = (version, kind) == (BATCH, "Job");
    let field = FIELDS.iter().find(|(v, k, _)| (*v, *k) == (version, kind));
    if let (Some((_, _, path)), Some(replicas)) = (field, assignment.replicas) {
        set(object, path, replicas)?;
    }
    match assignment.completions {
        Some(completions) if job => set(object, &COMPLETIONS, completions),
        _ => Ok(()),
    }
}

fn set(object: &mut Value, path: &[&str; 2], number: i64) -> Result<(), (String, Reason)> {
    let field = object
        .get_mut(path[0])
        .and_then(|spec| spec.get_mut(path[1]));
    match field {
        None => Ok(()),
        Some(field) if field.is_i64() => {
            *field = number.into();
            Ok(())
        }
        Some(_) => Err((
            format!("/{}/{}", path[0], path[1]),
            Reason::Type("an integer"),
        )),
    }
}
