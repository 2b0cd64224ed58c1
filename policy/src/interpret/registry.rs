//! Which interpreter a kind has. Order does not matter; no kind is listed twice.

use serde_json::Value;

use super::Interpreter;
use crate::model::manifest;

/// Every interpreter.
pub const INTERPRETERS: &[&dyn Interpreter] = &[];

/// The interpreter of a kind.
#[must_use]
pub fn find(api_version: &str, kind: &str) -> Option<&'static dyn Interpreter> {
    INTERPRETERS
        .iter()
        .copied()
        .find(|interpreter| interpreter.kinds().contains(&(api_version, kind)))
}

/// The interpreter of an object, or the defaults.
#[must_use]
pub fn of(object: &Value) -> &'static dyn Interpreter {
    find(manifest::api_version(object), manifest::kind(object)).unwrap_or(&Defaults)
}

/// For kinds nothing is known of.
struct Defaults;

impl Interpreter for Defaults {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}
