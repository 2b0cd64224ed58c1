//! What a real server refuses with 422: findings with fields and reasons, and texts for people.
//!
//! Objects come decoded, with defaults. Only what clients are likely to meet is checked; a rule that
//! is missing here lets an object through that a member cluster then refuses.

mod containers;
mod cursor;
mod definitions;
mod meta;
pub(crate) mod names;
mod network;
mod objects;
mod pods;
mod rules;
mod services;
mod updates;
mod volumes;
mod workloads;

use serde_json::Value;

use super::{Kind, Profile};
use crate::error::Cause;
use crate::schema::structural;
use cursor::{At, Found};

/// Findings about a new object.
#[must_use]
pub fn create(kind: &Kind, _profile: Profile, new: &Value) -> Vec<Cause> {
    let mut found = Found::default();
    let root = At::root(new);
    meta::check(kind, &root.field("metadata"), &mut found);
    if kind.custom {
        let causes = structural::validate(kind.schema(), new, None, "");
        found.causes.extend(causes);
    } else {
        specific(kind, &root, &mut found);
    }
    found.causes
}

/// Findings about a changed object.
#[must_use]
pub fn update(kind: &Kind, _profile: Profile, new: &Value, old: &Value) -> Vec<Cause> {
    let mut found = Found::default();
    let (root, before) = (At::root(new), At::root(old));
    meta::check(kind, &root.field("metadata"), &mut found);
    meta::update(
        &root.field("metadata"),
        &before.field("metadata"),
        &mut found,
    );
    if kind.custom {
        let version = root.field("metadata.resourceVersion");
        if version.is_empty() {
            found.must_have_version(&version);
        }
        let causes = structural::validate(kind.schema(), new, Some(old), "");
        found.causes.extend(causes);
    } else {
        let key = (kind.group.as_str(), kind.kind.as_str());
        if updates::checks_again(key) {
            specific(kind, &root, &mut found);
        }
        updates::check(key, &root, &before, &mut found);
    }
    found.causes
}

fn specific(kind: &Kind, root: &At<'_>, found: &mut Found) {
    let key = (kind.group.as_str(), kind.kind.as_str());
    rules::check(key, root, found);
    match key.0 {
        "apps" | "batch" => workloads::check(key.1, root, found),
        "networking.k8s.io" | "discovery.k8s.io" => network::check(key.1, root, found),
        "" if key.1 == "Service" => services::check(root, found),
        "" if key.1 == "Pod" => pods::spec(&root.field("spec"), pods::Owner::Pod, found),
        "" if key.1 == "PodTemplate" => {
            pods::template(&root.field("template"), pods::Owner::Template, found);
        }
        "" if key.1 == "ReplicationController" => workloads::check(key.1, root, found),
        "apiextensions.k8s.io" => definitions::check(root, found),
        _ => objects::check(key, root, found),
    }
}
