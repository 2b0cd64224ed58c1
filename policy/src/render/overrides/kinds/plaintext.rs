//! `plaintext`: JSON Patch operations over the whole object, all or nothing.

use super::super::{Failure, OverrideKind, Target};
use crate::api::Overriders;

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "plaintext",
    apply,
};

fn apply(target: &mut Target<'_>, overriders: &Overriders) -> Result<(), Failure> {
    for (index, o) in overriders.plaintext.iter().enumerate() {
        target
            .patch(&o.operator, &o.path, o.value.as_ref())
            .map_err(|reason| Failure { index, reason })?;
    }
    Ok(())
}
