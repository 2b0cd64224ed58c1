//! StatefulSet. Unlike Karmada's, its status that goes up says what generation the controller has
//! seen: without it `kubectl rollout status` at the front door never ends.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::workloads::{self, Counters};
use crate::interpret::{Dependency, HealthReport, Interpreter, Replicas, generations};

const COUNTERS: Counters = Counters {
    required: &["replicas", "availableReplicas"],
    optional: &["readyReplicas", "currentReplicas", "updatedReplicas"],
};

pub(crate) struct StatefulSet;

impl Interpreter for StatefulSet {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("apps/v1", "StatefulSet")]
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
        let updated = read::int(object, &["status", "updatedReplicas"])?;
        let available = read::int(object, &["status", "availableReplicas"])?;
        let wanted = read::maybe_int(object, &["spec", "replicas"])?.unwrap_or(updated);
        Ok(workloads::fewer(updated, wanted, "replicas updated")
            .or_else(|| workloads::fewer(available, updated, "updated replicas available"))
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

    /// Claims that it makes itself are not dependencies.
    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        let own: BTreeSet<&str> = read::list(object, &["spec", "volumeClaimTemplates"])?
            .iter()
            .map(|template| read::text(template, &["metadata", "name"]))
            .collect::<Read<_>>()?;
        let mut dependencies = workloads::dependencies(object)?;
        dependencies
            .retain(|d| d.kind != "PersistentVolumeClaim" || !own.contains(d.name.as_str()));
        Ok(dependencies)
    }
}
