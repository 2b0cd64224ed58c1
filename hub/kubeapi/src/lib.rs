//! The embedded Kubernetes API engine: what a kube-apiserver answers, over a store of its own.
//!
//! It knows nothing of federation and is judged by what a real kube-apiserver answers. Objects are
//! JSON values; kinds are data; one generic handler serves every kind.

pub mod apply;
pub mod auth;
pub mod cacher;
pub mod codec;
pub mod discovery;
pub mod error;
pub mod http;
pub mod kinds;
pub mod lifecycle;
pub mod patch;
pub mod quantity;
pub mod rest;
pub mod schema;
pub mod select;
pub mod server;
pub mod store;
pub mod table;
