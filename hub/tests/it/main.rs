//! Tests of the hub through its public surface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stand outside the functions that these lints let off"
)]

mod fleet;
mod front_door;
