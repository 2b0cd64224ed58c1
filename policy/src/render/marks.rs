//! The marks that an object in a member carries: who owns it, and what it was rendered from.
//!
//! Sets them last, over whatever template or overrides say, so that no rule can forge ownership.

use serde_json::Value;

use super::Conflict;
use crate::model::{manifest, marks};

/// What the marks on one object say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Id of the work.
    pub work_id: String,
    /// Term of the generation.
    pub term: u64,
    /// Number of the generation within the term.
    pub n: u64,
    /// Fence of the agent leader.
    pub fence: u64,
    /// UID of the template.
    pub template_uid: String,
    /// Generation of the template; kinds without one have none.
    pub template_generation: Option<i64>,
    /// What happens when the member holds a foreign object.
    pub conflict: Conflict,
}

/// Puts the marks on the manifest.
pub fn stamp(object: &mut Value, marks: &Marks) {
    let labels = manifest::map_mut(object, &["metadata", "labels"]);
    labels.insert(marks::OWNER.into(), marks.work_id.clone().into());
    labels.insert(marks::MANAGED.into(), "true".into());
    let generation = marks::to_generation_text(marks.term, marks.n);
    let annotations = manifest::map_mut(object, &["metadata", "annotations"]);
    annotations.insert(marks::GENERATION.into(), generation.into());
    annotations.insert(marks::FENCE.into(), marks.fence.to_string().into());
    annotations.insert(
        marks::TEMPLATE_UID.into(),
        marks.template_uid.clone().into(),
    );
    annotations.insert(
        marks::KARMADA_TEMPLATE_UID.into(),
        marks.template_uid.clone().into(),
    );
    if let Some(n) = marks.template_generation {
        annotations.insert(
            marks::KARMADA_TEMPLATE_GENERATION.into(),
            n.to_string().into(),
        );
    }
    annotations.insert(
        marks::CONFLICT_RESOLUTION.into(),
        marks.conflict.to_mark().into(),
    );
}
