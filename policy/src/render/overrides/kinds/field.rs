//! `fieldOverrider`: parts of a text that holds JSON or YAML. Not built yet: refused, never ignored.

use super::super::{Failure, OverrideKind};
use crate::render::Reason;

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "fieldOverrider",
    apply: |_, overriders| match overriders.field_overrider.is_empty() {
        true => Ok(()),
        false => Err(Failure {
            index: 0,
            reason: Reason::Unsupported("fieldOverrider"),
        }),
    },
};
