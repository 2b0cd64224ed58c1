//! What the engine promises, in one binary, one file per part.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stand outside the functions that these lints let off"
)]

mod auth;
mod cacher;
mod columns;
mod create;
mod custom;
mod decode;
mod protobuf;
mod schemas;
mod store;
