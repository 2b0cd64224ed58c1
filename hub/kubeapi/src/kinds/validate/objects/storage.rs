//! Rules of PersistentVolumes and their claims.

use serde_json::Value;

use crate::kinds::validate::cursor::{At, Found};
use crate::kinds::validate::workloads::selectors;
use crate::kinds::validate::{names, volumes};
use crate::quantity;

/// Checks the spec of a volume.
pub(super) fn volume(spec: &At<'_>, found: &mut Found) {
    if spec.field("accessModes").is_empty() {
        found.required(&spec.field("accessModes"), "");
    }
    let capacity = spec.field("capacity");
    if capacity.is_empty() {
        found.required(&capacity, "");
    }
    let only_storage = capacity.value.get("storage").is_some()
        && capacity.value.as_object().is_some_and(|all| all.len() == 1);
    if !only_storage {
        found.one_of(&capacity, &["storage"]);
    }
    volumes_sources(spec, found);
}

fn volumes_sources(spec: &At<'_>, found: &mut Found) {
    let local = spec.field("local");
    if local.is_missing() {
        volumes::sources(spec, "volume", found);
    }
}

/// Checks the spec of a claim.
pub(super) fn claim(spec: &At<'_>, found: &mut Found) {
    if spec.field("accessModes").is_empty() {
        let why = "at least 1 access mode is required";
        found.required(&spec.field("accessModes"), why);
    }
    let wanted = spec.field("resources.requests.storage");
    let wanted = wanted.said_at("spec.resources[storage]");
    match wanted.value {
        Value::Null => found.required(&wanted, ""),
        _ if quantity::parse(wanted.text()).is_some_and(|amount| amount.nano <= 0) => {
            found.invalid(&wanted, "must be greater than zero");
        }
        _ => {}
    }
    let class = spec.field("storageClassName");
    if !class.is_empty() {
        found.check(&class, names::subdomain(class.text()));
    }
    selectors::check(&spec.field("selector"), found);
}
