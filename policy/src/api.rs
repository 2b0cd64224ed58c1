//! The API kinds as Rust types: fields and JSON spellings are Karmada's (`policy.karmada.io`,
//! `work.karmada.io`, `cluster.karmada.io`), what is new lives in `fleet.flotilla.dev`.
//!
//! Beside each kind stand its schema, defaults and rules; `registry` lists the kinds, `crd` and
//! `admission` are made from that list. An absent list and an empty one are one thing unless a
//! field says otherwise.

pub mod admission;
pub mod binding;
mod checks;
pub mod cluster;
pub mod crd;
pub mod enrolment;
pub mod epoch_list;
pub mod field_error;
pub mod join_token;
pub mod meta;
pub mod names;
pub mod override_policy;
pub mod propagation_policy;
mod quantity;
pub mod registry;
pub mod removal;
mod schema;
pub mod selector;
pub mod structural;
pub mod support;

pub use admission::{Admission, AdmissionContext, Moment, admit, normalise};
pub use binding::*;
pub use cluster::*;
pub use crd::crds;
pub use enrolment::*;
pub use epoch_list::*;
pub use field_error::FieldError;
pub use join_token::*;
pub use meta::*;
pub use override_policy::*;
pub use propagation_policy::*;
pub use registry::{KINDS, KindInfo};
pub use removal::*;
pub use selector::*;
