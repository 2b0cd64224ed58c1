//! The wire between hub and agent: generated messages, the digests both ends must agree on, and the
//! conversion to and from policy types.
//!
//! Decides nothing about what is sent when; that is the session machines' job at either end.

pub mod convert;
pub mod digest;
pub mod ids;
pub mod join;
pub mod limits;

/// The encoded `FileDescriptorSet` of `fleet.v1`, for tests that walk every RPC and message.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fleet.v1.bin"));

/// The messages and services of `fleet.v1`.
#[expect(
    missing_docs,
    clippy::too_many_lines,
    reason = "generated; the .proto files carry the docs"
)]
pub mod v1 {
    tonic::include_proto!("fleet.v1");
}
