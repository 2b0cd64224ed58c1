//! `argsOverrider`: adds items to, or removes them from, the arguments of a named container.

use super::super::{OverrideKind, containers};

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "argsOverrider",
    apply: |target, overriders| {
        containers::override_list(target, "args", &overriders.args_overrider)
    },
};
