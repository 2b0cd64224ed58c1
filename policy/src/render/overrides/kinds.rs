//! The kinds of override, one file each; `registry` orders them.

pub(super) mod annotations;
pub(super) mod args;
pub(super) mod command;
pub(super) mod field;
pub(super) mod image;
pub(super) mod labels;
pub(super) mod plaintext;
