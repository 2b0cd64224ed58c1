//! JSON Patch with the habits of the library that Karmada uses.

use thiserror::Error;

/// Why an operation does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// No such value.
    #[error("no value there")]
    Missing,
}
