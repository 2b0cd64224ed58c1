//! Parses and prints image references.

use thiserror::Error;

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// No repository.
    #[error("repository name must have at least one component")]
    Empty,
}
