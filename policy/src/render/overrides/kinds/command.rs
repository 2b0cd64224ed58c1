//! `commandOverrider`: adds items to, or removes them from, the command of a named container.

use super::super::{OverrideKind, containers};

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "commandOverrider",
    apply: |target, overriders| {
        containers::override_list(target, "command", &overriders.command_overrider)
    },
};
