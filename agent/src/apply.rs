//! From a record to what must be done in the member, and doing it.
//!
//! `queue` says whose turn it is, `decide` what to do (pure), `compare` whether anything differs,
//! `execute` does it. Nothing here talks to the hub.

use std::sync::Arc;
use std::time::Duration;

use flotilla_proto::ids::WorkId;
use flotilla_proto::v1::NackClass;
use serde_json::Value;

use crate::ledger::records::Record;

pub mod compare;
pub mod containers;
pub mod decide;
pub mod execute;
pub mod fields;
pub mod queue;

/// One work to be brought in line.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is wanted, as it is stored durably.
    pub record: Record,
    /// The object as the watch saw it last.
    pub observed: Option<Arc<Value>>,
    /// Look before creating: a former try found a foreign object.
    pub look_first: bool,
    /// How often it failed so far.
    pub failures: u32,
}

/// How it went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The object is as wanted (or suspended); the object, and the paths that overrides changed.
    Applied {
        /// As the member answered or the watch saw it.
        object: Option<Value>,
        /// Paths that overrides changed.
        changed: Vec<String>,
        /// Whether anything was written.
        wrote: bool,
    },
    /// The object is gone, or its marks are.
    Removed,
    /// The delete is under way; the watch will tell.
    Terminating,
    /// It cannot be done as it is.
    Refused {
        /// Class.
        class: NackClass,
        /// Why, and what to do about it.
        detail: String,
        /// The object in the way is foreign.
        foreign: bool,
    },
    /// It may work later.
    Retry {
        /// Why not now.
        detail: String,
        /// Not before.
        after: Option<Duration>,
    },
    /// A body is missing.
    NoBody,
    /// This process does not lead any more.
    NotLeader,
}

/// A job's result.
#[derive(Clone, Debug)]
pub struct Done {
    /// The work.
    pub id: WorkId,
    /// Its record as the job had it.
    pub record: Record,
    /// How it went.
    pub outcome: Outcome,
}
