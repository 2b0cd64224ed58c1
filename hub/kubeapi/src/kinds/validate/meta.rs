//! Rules of metadata, the same for every kind but for the form of names.

use serde_json::Value;

use super::cursor::{At, Found};
use super::names;
use crate::kinds::Kind;

/// All annotations together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 262_144;

/// The name of a manager of fields, in bytes.
const MANAGER_BYTES_MAX: usize = 128;

/// Checks the metadata of an object.
pub(super) fn check(kind: &Kind, at: &At<'_>, found: &mut Found) {
    let form = name_form(kind);
    let (name, prefix) = (at.field("name"), at.field("generateName"));
    if !prefix.is_empty() {
        // What is generated ends well; the prefix may end with a dash.
        let prefix_text = prefix.text().trim_end_matches('-');
        let shown = if prefix_text.is_empty() {
            "a"
        } else {
            prefix_text
        };
        found.check(&prefix, form(shown));
    }
    if name.is_empty() {
        found.required(&name, "name or generateName is required");
    } else {
        found.check(&name, form(name.text()));
        if (kind.group.as_str(), kind.kind.as_str()) == ("batch", "CronJob")
            && name.text().len() > 52
        {
            found.invalid(&name, "must be no more than 52 characters");
        }
    }
    labels(&at.field("labels"), found);
    annotations(&at.field("annotations"), found);
    owners(&at.field("ownerReferences"), found);
    for finalizer in at.field("finalizers").items() {
        finalizer_name(&finalizer, &finalizer.path.clone(), found);
    }
    managers(&at.field("managedFields"), found);
}

/// Checks what may not change.
pub(super) fn update(new: &At<'_>, old: &At<'_>, found: &mut Found) {
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
    ] {
        let (new, old) = (new.field(field), old.field(field));
        if !old.is_missing() || field == "deletionTimestamp" {
            found.immutable(&new, &old);
            if field == "deletionTimestamp" {
                // A real server says it once for every kind and once for this one.
                found.immutable(&new, &old);
            }
        }
    }
    managers(&new.field("managedFields"), found);
    if old.field("deletionTimestamp").is_missing() {
        return;
    }
    let (new, old) = (new.field("finalizers"), old.field("finalizers"));
    let before = old.items();
    let added: Vec<_> = new
        .items()
        .into_iter()
        .filter(|item| !before.iter().any(|old| old.value == item.value))
        .map(|item| item.text().to_owned())
        .collect();
    if !added.is_empty() {
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers \
             []string{{{}}}",
            added
                .iter()
                .map(|text| format!("{text:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        found.forbidden(&new, &why);
    }
}

/// Checks the names of managers of fields, twice: once for every kind, once for this one.
fn managers(at: &At<'_>, found: &mut Found) {
    for entry in at.items() {
        let manager = entry.field("manager");
        if manager.text().len() > MANAGER_BYTES_MAX {
            found.too_long(&manager, MANAGER_BYTES_MAX);
            found.too_long(&manager, MANAGER_BYTES_MAX);
        }
    }
}

/// Checks labels, wherever they stand.
pub(super) fn labels(at: &At<'_>, found: &mut Found) {
    for (key, value) in at.entries() {
        let key = Value::from(key);
        let key = At {
            value: &key,
            path: at.path.clone(),
        };
        found.check(&key, names::qualified(key.text()));
        found.check(&value.said_at(&at.path), names::label_value(value.text()));
    }
}

fn annotations(at: &At<'_>, found: &mut Found) {
    let mut bytes = 0;
    for (key, value) in at.entries() {
        bytes += key.len() + value.text().len();
        let shown = Value::from(key);
        let key = At {
            value: &shown,
            path: at.path.clone(),
        };
        found.check(&key, names::qualified(&key.text().to_lowercase()));
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        found.too_long(at, ANNOTATIONS_BYTES_MAX);
    }
}

fn owners(at: &At<'_>, found: &mut Found) {
    let mut controllers = 0;
    for owner in at.items() {
        let owner = owner.said_at(&at.path);
        let version = owner.field("apiVersion");
        if version.is_empty() {
            found.invalid(&version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            let field = owner.field(field);
            if field.is_empty() {
                found.invalid(&field, "must not be empty");
            }
        }
        controllers += usize::from(owner.value["controller"] == true);
    }
    if controllers > 1 {
        found.invalid(
            at,
            "Only one reference can have Controller set to true. Found more than one",
        );
    }
}

/// Checks the name of a finalizer.
pub(super) fn finalizer_name(finalizer: &At<'_>, path: &str, found: &mut Found) {
    let finalizer = finalizer.said_at(path);
    let text = finalizer.text();
    if let Some(why) = names::qualified(text) {
        found.invalid(&finalizer, &why);
    } else if !text.contains('/') && !matches!(text, "kubernetes" | "orphan" | "foregroundDeletion")
    {
        found.invalid(
            &finalizer,
            "name is neither a standard finalizer name nor is it fully qualified",
        );
    }
}

fn name_form(kind: &Kind) -> fn(&str) -> Option<String> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => names::label,
        ("", "Service") => names::service_label,
        ("rbac.authorization.k8s.io" | "policy" | "events.k8s.io", _) | ("", "Event") => {
            names::path_segment
        }
        _ => names::subdomain,
    }
}
