//! Every kind of override, in the order they are applied inside one rule.

use super::OverrideKind;
use super::kinds::{annotations, args, command, field, image, labels, plaintext};

/// The kinds, in order: plaintext comes last and sees what all others did.
pub static KINDS: &[OverrideKind] = &[
    image::KIND,
    command::KIND,
    args::KIND,
    labels::KIND,
    annotations::KIND,
    field::KIND,
    plaintext::KIND,
];
