//! The API kinds as Rust types: fields and JSON spellings are Karmada's (`policy.karmada.io`,
//! `work.karmada.io`, `cluster.karmada.io`), what is new lives in `fleet.flotilla.dev`.
//!
//! Types only, with the JSON schema their CRD is generated from; defaults and validation stand
//! beside each kind. An absent list and an empty one are one thing unless a field says otherwise.

pub mod binding;
pub mod cluster;
pub mod meta;
pub mod override_policy;
pub mod propagation_policy;
pub mod selector;

pub use binding::*;
pub use cluster::*;
pub use meta::*;
pub use override_policy::*;
pub use propagation_policy::*;
pub use selector::*;
