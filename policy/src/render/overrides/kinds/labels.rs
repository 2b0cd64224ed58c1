//! `labelsOverrider`: adds, replaces or removes labels of the object itself.

use super::super::{OverrideKind, map};

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "labelsOverrider",
    apply: |target, overriders| map::override_map(target, "labels", &overriders.labels_overrider),
};
