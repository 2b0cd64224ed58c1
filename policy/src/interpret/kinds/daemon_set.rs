//! DaemonSet. It has no replicas: each member runs as many as it has nodes.

use serde_json::Value;

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::workloads::{self, Counters};
use crate::interpret::{Dependency, HealthReport, Interpreter, generations};

const COUNTERS: Counters = Counters {
    required: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
    ],
    optional: &[
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    ],
};

pub(crate) struct DaemonSet;

impl Interpreter for DaemonSet {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("apps/v1", "DaemonSet")]
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        COUNTERS.status(object)
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        if let Some(unobserved) = generations::unobserved(object)? {
            return Ok(unobserved);
        }
        let status = |field| read::int(object, &["status", field]);
        let (desired, updated) = (
            status("desiredNumberScheduled")?,
            status("updatedNumberScheduled")?,
        );
        let available = status("numberAvailable")?;
        Ok(workloads::fewer(updated, desired, "pods updated")
            .or_else(|| workloads::fewer(available, updated, "updated pods available"))
            .unwrap_or_else(HealthReport::healthy))
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        COUNTERS.aggregate(template, items)
    }

    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        workloads::dependencies(object)
    }
}
