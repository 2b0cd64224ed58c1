//! The side of the hub that faces agents: what each cluster should have (`share`), what each reports
//! (`reports`), and the sessions between.
//!
//! Never decides where a template goes, and never renders a manifest.

pub mod acceptor;
mod enrolment;
mod grpc;
pub mod reports;
pub mod server;
pub mod session;
pub mod sessions;
pub mod share;
pub mod view;
