//! Applies resolved override rules to an object and keeps account of what each changed.
//!
//! Rules come in the order they are listed; inside a rule the kinds come in the order of the
//! registry, whatever the YAML says. No rule may make another object of it: API version, kind, name
//! and namespace stay.

use serde_json::Value;

use super::patch::{self, Edit};
use super::{Change, Reason, RenderError};
use crate::api::Overriders;
use crate::model::manifest;
use crate::overriding::{OverrideList, ResolvedRule};

mod containers;
pub mod kinds;
mod map;
pub mod registry;

/// One kind of override.
pub struct OverrideKind {
    /// Its field in `overriders`.
    pub field: &'static str,
    /// Applies all overriders of this kind.
    apply: fn(&mut Target<'_>, &Overriders) -> Result<(), Failure>,
}

/// An overrider that does not apply: its position in its list, and why.
struct Failure {
    index: usize,
    reason: Reason,
}

/// The object that is changed, and what was changed so far.
struct Target<'a> {
    object: &'a mut Value,
    edits: Vec<Edit>,
}

impl Target<'_> {
    fn patch(&mut self, operator: &str, path: &str, value: Option<&Value>) -> Result<(), Reason> {
        let edit = patch::apply(self.object, operator, path, value)?;
        self.edits.push(edit);
        Ok(())
    }
}

/// Applies the rules in order and says what each changed.
///
/// # Errors
/// The first overrider that does not apply; the object is then of no use.
pub fn apply(
    object: &mut Value,
    list: &OverrideList,
    cluster: &str,
) -> Result<Vec<Change>, RenderError> {
    let mut changes = Vec::new();
    for rule in &list.rules {
        for kind in registry::KINDS {
            let edits = apply_kind(object, kind, &rule.overriders).map_err(|(path, reason)| {
                RenderError {
                    cluster: cluster.to_owned(),
                    rule: Some((rule.policy.clone(), rule.rule)),
                    path,
                    reason,
                }
            })?;
            changes.extend(edits.into_iter().filter_map(|edit| change(rule, edit)));
        }
    }
    Ok(changes)
}

fn apply_kind(
    object: &mut Value,
    kind: &OverrideKind,
    overriders: &Overriders,
) -> Result<Vec<Edit>, (String, Reason)> {
    let before = identity(object);
    let mut target = Target {
        object,
        edits: Vec::new(),
    };
    (kind.apply)(&mut target, overriders)
        .map_err(|f| (format!("{}[{}]", kind.field, f.index), f.reason))?;
    let edits = target.edits;
    let after = identity(object);
    match before.iter().zip(&after).position(|(a, b)| a != b) {
        Some(part) => Err((kind.field.to_owned(), Reason::Identity(IDENTITY[part].0))),
        None => Ok(edits),
    }
}

const IDENTITY: [(&str, &[&str]); 4] = [
    ("apiVersion", &["apiVersion"]),
    ("kind", &["kind"]),
    ("name", &["metadata", "name"]),
    ("namespace", &["metadata", "namespace"]),
];

fn identity(object: &Value) -> [Option<Value>; 4] {
    IDENTITY.map(|(_, path)| manifest::get(object, path).cloned())
}

fn change(rule: &ResolvedRule, edit: Edit) -> Option<Change> {
    (edit.from != edit.to).then(|| Change {
        policy: rule.policy.clone(),
        rule: rule.rule,
        path: edit.path,
        from: edit.from,
        to: edit.to,
    })
}
