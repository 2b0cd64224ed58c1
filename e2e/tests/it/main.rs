//! All integration tests of the crate, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stand outside the functions that these lints let off"
)]

mod conform;
mod deploy;
mod real;
mod tidy;
