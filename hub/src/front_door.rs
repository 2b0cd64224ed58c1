//! The Kubernetes client side: watches that feed the index, and templates that are patched.
//!
//! The hub is one client of the front door among others. Nothing is decided here.

pub mod binding;
pub mod index;
pub mod keys;
pub mod policies;
pub mod template;
