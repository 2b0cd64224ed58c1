//! ServiceAccount. Members add token secrets and pull secrets of their own; both sides' entries stay.

use serde_json::Value;

use crate::interpret::read::{self, Read};
use crate::interpret::{InterpretError, Interpreter, retention};

const LISTS: [&str; 2] = ["secrets", "imagePullSecrets"];

pub(crate) struct ServiceAccount;

impl Interpreter for ServiceAccount {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("v1", "ServiceAccount")]
    }

    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        for field in LISTS {
            let merged = merged(desired, observed, field)?;
            if !merged.is_empty() {
                retention::put(desired, &[field], Value::Array(merged));
            }
        }
        Ok(())
    }

    /// The API server merges `secrets` by name itself; `imagePullSecrets` it takes as a whole, so a
    /// list of ours must carry the member's entries.
    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        let ours = read::list(desired, &["imagePullSecrets"]);
        if ours.is_ok_and(|ours| !ours.is_empty())
            && let Ok(merged) = merged(desired, observed, "imagePullSecrets")
        {
            retention::put(desired, &["imagePullSecrets"], Value::Array(merged));
        }
    }
}

/// The desired entries as they are, then the observed ones with other names, each name once.
fn merged(desired: &Value, observed: &Value, field: &str) -> Read<Vec<Value>> {
    let mut merged = read::list(desired, &[field])?.to_vec();
    for entry in read::list(observed, &[field])? {
        named(entry, field)?;
        if !merged.iter().any(|known| known["name"] == entry["name"]) {
            merged.push(entry.clone());
        }
    }
    for entry in &merged {
        named(entry, field)?;
    }
    Ok(merged)
}

fn named(entry: &Value, field: &str) -> Read<()> {
    if entry["name"].is_string() {
        Ok(())
    } else {
        Err(InterpretError::Missing {
            path: format!("{field}.name"),
        })
    }
}
