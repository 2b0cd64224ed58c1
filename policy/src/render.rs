//! From a template to the manifest one cluster gets: replicas, then overrides, then pruning.
//!
//! Pure and the same for agent, preview and tests. The order is Karmada's: overrides see the revised
//! replicas, and pruning comes last, so that an override of a pruned field is no error and no effect.
//! Never resolves which rules apply (`overriding`), never talks of marks unless asked to (`marks`).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::model::manifest;
use crate::model::marks::CONFLICT_RESOLUTION;
use crate::overriding::OverrideList;

pub mod image;
pub mod marks;
pub mod overrides;
pub mod patch;
pub mod prune;
pub mod revise;

pub use crate::assigning::{Assignment, Conflict};
pub use marks::{Marks, stamp};

/// The manifest and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// What the member gets, without our marks.
    pub manifest: Value,
    /// What happens when the member holds a foreign object of that identity.
    pub conflict: Conflict,
    /// What each override changed, in order.
    pub changes: Vec<Change>,
}

/// One value that an override changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The policy, as in [`crate::overriding::ResolvedRule`].
    pub policy: String,
    /// Position of the rule in the policy.
    pub rule: usize,
    /// JSON pointer to what changed.
    pub path: String,
    /// The value before; none when it was absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The value after; none when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Why a template could not be rendered for a cluster, and which rule to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cluster {cluster}: {}{path}: {reason}", blame(.rule.as_ref()))]
pub struct RenderError {
    /// The cluster.
    pub cluster: String,
    /// The policy and the position of the rule in it; none when the template itself is broken.
    pub rule: Option<(String, usize)>,
    /// Field of the overriders, or JSON pointer into the template.
    pub path: String,
    /// What is wrong.
    pub reason: Reason,
}

fn blame(rule: Option<&(String, usize)>) -> String {
    rule.map_or_else(String::new, |(policy, n)| format!("{policy} rule {n}: "))
}

/// What is wrong with a rule or a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// An image reference does not parse.
    #[error("image {image:?}: {error}")]
    Image {
        /// The text.
        image: String,
        /// Why.
        error: image::ImageError,
    },
    /// A JSON patch does not apply.
    #[error("{0}")]
    Patch(#[from] patch::PatchError),
    /// A value is something else than the operation works on.
    #[error("not {0}")]
    Type(&'static str),
    /// A word that is not one of the known ones.
    #[error("unknown {what} {value:?}")]
    Unknown {
        /// What the word says.
        what: &'static str,
        /// The word.
        value: String,
    },
    /// The override would make another object of it.
    #[error("an override may not change {0}")]
    Identity(&'static str),
    /// An override of a kind that is not built.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// Renders the template for the cluster of the assignment.
///
/// # Errors
/// A rule that does not apply, or a template whose fields have impossible types. Never panics.
pub fn render(
    template: &Value,
    overrides: &OverrideList,
    assignment: &Assignment,
) -> Result<Rendered, RenderError> {
    let mut object = template.clone();
    revise::revise(&mut object, assignment).map_err(|(path, reason)| RenderError {
        cluster: assignment.cluster.clone(),
        rule: None,
        path,
        reason,
    })?;
    let changes = overrides::apply(&mut object, overrides, &assignment.cluster)?;
    prune::prune(&mut object);
    Ok(Rendered {
        conflict: conflict_of(&object, assignment.conflict),
        manifest: object,
        changes,
    })
}

/// A valid annotation wins over the binding; any other text is ignored.
fn conflict_of(object: &Value, binding: Conflict) -> Conflict {
    let path = ["metadata", "annotations", CONFLICT_RESOLUTION];
    Conflict::from_mark(manifest::text(object, &path)).unwrap_or(binding)
}
