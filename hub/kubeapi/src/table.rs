//! Tables: rows of cells for people, as `kubectl get` prints them.
//!
//! The shape of a table is made here; what stands in the cells is decided with the kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::Status;
use crate::kinds::{Kind, columns};
use crate::rest::partial;

/// What each row carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Include {
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the query parameter.
    pub fn from_query(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: \
                 \"{other}\": must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// A table of these objects in a version of `meta.k8s.io`.
#[must_use]
pub fn of(
    kind: &Kind,
    objects: &[&Value],
    (version, include): (&str, Include),
    metadata: Value,
) -> Value {
    let now = Timestamp::now();
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let shown = match include {
                Include::Metadata => partial(object, version),
                Include::Object => whole(kind, object),
                Include::None => Value::Null,
            };
            let cells = columns::cells(kind, object, now);
            let mut row = json!({"cells": cells, "object": shown});
            if let Some(conditions) = conditions(kind, object) {
                row["conditions"] = conditions;
            }
            row
        })
        .collect();
    json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
        "columnDefinitions": definitions(kind), "rows": rows})
}

fn whole(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    object
}

fn definitions(kind: &Kind) -> Vec<Value> {
    let columns = columns::definitions(kind);
    let shown = columns.into_iter().map(|column| {
        json!({"name": column.name, "type": column.ty, "format": column.format,
            "priority": column.priority, "description": column.description})
    });
    shown.collect()
}

/// Rows of pods that have ended say so: clients may leave them out.
fn conditions(kind: &Kind, object: &Value) -> Option<Value> {
    if !kind.group.is_empty() || kind.plural != "pods" {
        return None;
    }
    let phase = object["status"]["phase"].as_str()?;
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": phase, "message": message}]))
}
