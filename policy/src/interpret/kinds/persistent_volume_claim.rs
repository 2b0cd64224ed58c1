//! PersistentVolumeClaim.

use serde_json::{Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{HealthReport, Interpreter, retention};
use crate::model::manifest;

const VOLUME_NAME: [&str; 2] = ["spec", "volumeName"];

pub(crate) struct PersistentVolumeClaim;

impl Interpreter for PersistentVolumeClaim {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("v1", "PersistentVolumeClaim")]
    }

    /// The volume that the member bound it to.
    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        if read::text(observed, &VOLUME_NAME)?.is_empty() {
            return Ok(());
        }
        retention::copy(desired, observed, &VOLUME_NAME)
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        if !manifest::text(observed, &VOLUME_NAME).is_empty() {
            retention::leave_out(desired, observed, &VOLUME_NAME);
        }
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        Ok(match read::text(object, &["status", "phase"])? {
            "Bound" => HealthReport::healthy(),
            "" => HealthReport::unhealthy("no phase yet"),
            other => HealthReport::unhealthy(format!("phase {other}")),
        })
    }

    /// Lost when lost anywhere; else the last phase that is not Bound; else Bound.
    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        let phases: Vec<&str> = read::statuses(items, |status| read::text(status, &["phase"]))
            .filter_map(|(_, phase)| phase)
            .collect();
        let phase = if phases.contains(&"Lost") {
            "Lost"
        } else {
            let other = phases.iter().rev().find(|phase| **phase != "Bound");
            other.copied().unwrap_or("Bound")
        };
        let status = if phase.is_empty() {
            json!({})
        } else {
            json!({ "phase": phase })
        };
        read::if_changed(template, status)
    }
}
