//! Deployment.

use serde_json::Value;

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::workloads::{self, Counters};
use crate::interpret::{
    Dependency, HealthReport, Interpreter, RETAIN_REPLICAS_LABEL, Replicas, generations, retention,
};

const COUNTERS: Counters = Counters {
    required: &[],
    optional: &[
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ],
};

pub(crate) struct Deployment;

impl Interpreter for Deployment {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("apps/v1", "Deployment")]
    }

    fn replicas(&self, object: &Value) -> Read<Option<Replicas>> {
        workloads::replicas(object).map(Some)
    }

    fn revise(&self, object: &mut Value, replicas: i64) -> Read<bool> {
        workloads::set_int(object, &["spec", "replicas"], replicas)
    }

    /// The replicas, for a template labelled so: something in the member scales it.
    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        if !retains_replicas(desired)? {
            return Ok(());
        }
        let path = ["spec", "replicas"];
        if read::at(observed, &path)?.as_i64().is_none() {
            return Err(read::type_error(&path, "the member's replicas"));
        }
        retention::copy(desired, observed, &path)
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        if retains_replicas(desired).unwrap_or(false) {
            retention::leave_out(desired, observed, &["spec", "replicas"]);
        }
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        COUNTERS.status(object)
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        if let Some(unobserved) = generations::unobserved(object)? {
            return Ok(unobserved);
        }
        let status = |field| read::int(object, &["status", field]);
        let updated = status("updatedReplicas")?;
        let wanted = read::maybe_int(object, &["spec", "replicas"])?.unwrap_or(updated);
        let old = status("replicas")?.saturating_sub(updated);
        let problem = workloads::fewer(updated, wanted, "replicas updated").or_else(|| {
            (old > 0).then(|| HealthReport::unhealthy(format!("{old} old replicas remain")))
        });
        let available = status("availableReplicas")?;
        Ok(problem
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

    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        workloads::dependencies(object)
    }
}

fn retains_replicas(desired: &Value) -> Read<bool> {
    let labels = read::text_map(desired, &["metadata", "labels"])?;
    Ok(labels.is_some_and(|labels| {
        labels.get(RETAIN_REPLICAS_LABEL).and_then(Value::as_str) == Some("true")
    }))
}
