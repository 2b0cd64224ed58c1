//! Ownership across the scale subresource: the replicas of a scale are those of its object.
//!
//! A scale shows the owners of the one field under its own version and path; what a write to the
//! scale does to them is brought back into the entries of the object.

use serde_json::Value;

use super::managers::{Identity, Managers, Owned};
use super::paths::{Set, field};
use crate::error::Status;

const SCALE_VERSION: &str = "autoscaling/v1";

fn decode(entries: &Value) -> Result<Managers, Status> {
    Managers::decode(entries)
        .map_err(|why| Status::new(500, "", format!("failed to decode managed fields: {why}")))
}

fn scale_path() -> Vec<String> {
    vec![field("spec"), field("replicas")]
}

fn path_of(replicas: &str) -> Vec<String> {
    replicas.split('.').map(field).collect()
}

fn set_of(path: &[String]) -> Set {
    let mut set = Set::default();
    set.insert(path);
    set
}

/// The entries that a scale shows, from those of its object. `replicas` is the dotted path of the
/// field in the object; entries of other versions than these are left out.
pub fn to_scale(entries: &Value, versions: &[String], replicas: &str) -> Result<Value, Status> {
    let path = path_of(replicas);
    let mut shown = Managers::default();
    for (identity, owned) in decode(entries)?.entries {
        if versions.contains(&owned.api_version) && owned.set.contains(&path) {
            let api_version = SCALE_VERSION.to_owned();
            let owned = Owned {
                set: set_of(&scale_path()),
                api_version,
                time: owned.time,
            };
            shown.entries.insert(identity, owned);
        }
    }
    Ok(Value::Array(shown.encode()))
}

/// The entries of the object after a write to its scale, whose entries then were `scale`. The first
/// of the versions is the one in which the object is written.
pub fn from_scale(
    entries: &Value,
    scale: &Value,
    versions: &[String],
    replicas: &str,
) -> Result<Value, Status> {
    let path = path_of(replicas);
    let mut at_scale = decode(scale)?.entries;
    let mut kept = Managers::default();
    for (identity, mut owned) in decode(entries)?.entries {
        if !versions.contains(&owned.api_version) {
            continue;
        }
        if owned.set.contains(&path) && at_scale.remove(&identity).is_none() {
            // The write took the field away from this one.
            owned.set = owned.set.difference(&set_of(&path));
            if owned.set.is_empty() {
                continue;
            }
        }
        kept.entries.insert(identity, owned);
    }
    let version = versions.first().cloned().unwrap_or_default();
    for (identity, owned) in at_scale {
        if !owned.set.contains(&scale_path()) {
            continue;
        }
        let mut mine = Identity { ..identity };
        if !mine.api_version.is_empty() {
            version.clone_into(&mut mine.api_version);
        }
        // A real server writes no time here.
        let owned = Owned {
            set: set_of(&path),
            api_version: version.clone(),
            time: None,
        };
        let present = kept.entries.remove(&mine).map(|present| present.set);
        let set = present.unwrap_or_default().union(&owned.set);
        kept.entries.insert(mine, Owned { set, ..owned });
    }
    Ok(Value::Array(kept.encode()))
}
