//! PersistentVolume.

use serde_json::{Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{Interpreter, retention};

/// The first of these that any member reports is the phase of all.
const PHASES: [&str; 5] = ["Failed", "Pending", "Available", "Bound", "Released"];
const CLAIM_REF: [&str; 2] = ["spec", "claimRef"];

pub(crate) struct PersistentVolume;

impl Interpreter for PersistentVolume {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("v1", "PersistentVolume")]
    }

    /// The claim that the member bound it to.
    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        retention::copy(desired, observed, &CLAIM_REF)
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        retention::leave_out(desired, observed, &CLAIM_REF);
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        let phases: Vec<&str> = read::statuses(items, |status| read::text(status, &["phase"]))
            .map(|(_, phase)| phase.unwrap_or("Pending"))
            .collect();
        let status = match PHASES.iter().find(|phase| phases.contains(phase)) {
            Some(phase) => json!({ "phase": phase }),
            None => json!({}),
        };
        read::if_changed(template, status)
    }
}
