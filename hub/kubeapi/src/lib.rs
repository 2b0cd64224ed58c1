//! The embedded Kubernetes API engine: what a kube-apiserver answers, over a store of its own.
//!
//! It knows nothing of federation and is judged by what a real kube-apiserver answers. Objects are
//! JSON values; kinds are data; one generic handler serves every kind.

pub mod apply;
pub mod auth;
pub mod cacher;
pub mod codec;
pub mod error;
pub mod kinds;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod select;
pub mod store;
