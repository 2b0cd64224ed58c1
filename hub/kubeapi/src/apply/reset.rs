//! What a write at one path leaves alone, and so never owns.
//!
//! A write to the object does not touch its status, a write to the status does not touch the rest.

use super::paths::Set;
use crate::kinds::Kind;

/// The fields that a write leaves alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reset {
    /// None.
    #[default]
    Nothing,
    /// These, and what is below them.
    Fields(Set),
    /// All but these and what is below them.
    AllBut(Set),
}

impl Reset {
    /// What a write to this subresource of the kind leaves alone; empty = to the object itself.
    #[must_use]
    pub fn of(kind: &Kind, subresource: &str) -> Self {
        let has_status = kind.subresources.iter().any(|it| it.name == "status");
        match subresource {
            "" if has_status => Self::Fields(Set::of_fields(&["status"])),
            "status" if kind.custom => Self::AllBut(Set::of_fields(&["status"])),
            "status" => {
                let mut fields = Set::of_fields(&["spec"]);
                let more: &[&[&str]] = match (kind.group.as_str(), kind.plural.as_str()) {
                    ("apps", "deployments") => &[&["metadata", "labels"]],
                    ("apiextensions.k8s.io", _) => &[&["metadata"]],
                    ("", "pods") => &[
                        &["metadata", "deletionTimestamp"],
                        &["metadata", "ownerReferences"],
                    ],
                    _ => &[],
                };
                for path in more {
                    fields = fields.union(&Set::of_fields(path));
                }
                Self::Fields(fields)
            }
            _ => Self::Nothing,
        }
    }

    /// The members that such a write may own.
    #[must_use]
    pub fn filter(&self, set: &Set) -> Set {
        match self {
            Self::Nothing => set.clone(),
            Self::Fields(fields) => set.without(fields),
            Self::AllBut(fields) => set.only(fields),
        }
    }
}
