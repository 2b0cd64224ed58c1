//! What the engine promises, in one binary, one file per part.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stand outside the functions that these lints let off"
)]

mod apply;
mod auth;
mod cacher;
mod columns;
mod create;
mod custom;
mod decode;
mod objects;
mod patch;
mod protobuf;
mod replay;
mod schemas;
mod select;
mod server;
mod store;
mod world;
