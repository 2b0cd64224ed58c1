//! ReplicaSet.

use serde_json::Value;

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::workloads::{self, Counters};
use crate::interpret::{Dependency, HealthReport, Interpreter, Replicas, generations};

const COUNTERS: Counters = Counters {
    required: &["replicas"],
    optional: &["readyReplicas", "availableReplicas"],
};

pub(crate) struct ReplicaSet;

impl Interpreter for ReplicaSet {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("apps/v1", "ReplicaSet")]
    }

    fn replicas(&self, object: &Value) -> Read<Option<Replicas>> {
        workloads::replicas(object).map(Some)
    }

    fn revise(&self, object: &mut Value, replicas: i64) -> Read<bool> {
        workloads::set_int(object, &["spec", "replicas"], replicas)
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        COUNTERS.status(object)
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        if let Some(unobserved) = generations::unobserved(object)? {
            return Ok(unobserved);
        }
        let available = read::int(object, &["status", "availableReplicas"])?;
        let wanted = read::maybe_int(object, &["spec", "replicas"])?.unwrap_or(available);
        Ok(workloads::fewer(available, wanted, "replicas available")
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
