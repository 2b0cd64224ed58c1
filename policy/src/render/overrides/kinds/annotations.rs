//! `annotationsOverrider`: adds, replaces or removes annotations of the object itself.

use super::super::{OverrideKind, map};

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "annotationsOverrider",
    apply: |target, overriders| {
        map::override_map(target, "annotations", &overriders.annotations_overrider)
    },
};
