//! PodDisruptionBudget. Each member keeps its own budget; the template shows the sums.

use serde_json::{Map, Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{HealthReport, Interpreter, workloads};

const COUNTERS: [&str; 4] = [
    "currentHealthy",
    "desiredHealthy",
    "disruptionsAllowed",
    "expectedPods",
];
const DISRUPTED: &str = "disruptedPods";

pub(crate) struct PodDisruptionBudget;

impl Interpreter for PodDisruptionBudget {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("policy/v1", "PodDisruptionBudget")]
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        let Some(status) = read::status(object)? else {
            return Ok(None);
        };
        let (counts, disrupted) = parse(status)?;
        let disrupted = disrupted.cloned().unwrap_or_default();
        Ok(Some(to_status(counts, disrupted)))
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        let status = |field| read::int(object, &["status", field]);
        let (current, desired) = (status("currentHealthy")?, status("desiredHealthy")?);
        Ok(
            workloads::fewer(current, desired, "pods healthy")
                .unwrap_or_else(HealthReport::healthy),
        )
    }

    /// Pods of different members may share a name, so the cluster stands before it.
    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        let mut sums = [0_i64; 4];
        let mut all_disrupted = Map::new();
        for (cluster, parsed) in read::statuses(items, parse) {
            let (counts, disrupted) = parsed.unwrap_or_default();
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = (*sum + count).min(i64::from(i32::MAX));
            }
            let named = disrupted.into_iter().flatten();
            all_disrupted
                .extend(named.map(|(pod, time)| (format!("{cluster}/{pod}"), time.clone())));
        }
        read::if_changed(template, to_status(sums, all_disrupted))
    }
}

type Parsed<'a> = ([i64; 4], Option<&'a Map<String, Value>>);

fn parse(status: &Value) -> Read<Parsed<'_>> {
    let mut counts = [0; 4];
    for (count, field) in counts.iter_mut().zip(COUNTERS) {
        *count = read::int32(status, &[field])?;
    }
    Ok((counts, read::text_map(status, &[DISRUPTED])?))
}

fn to_status(counts: [i64; 4], disrupted: Map<String, Value>) -> Value {
    let mut status: Map<String, Value> = COUNTERS
        .iter()
        .zip(counts)
        .map(|(field, count)| ((*field).to_owned(), json!(count)))
        .collect();
    if !disrupted.is_empty() {
        status.insert(DISRUPTED.to_owned(), Value::Object(disrupted));
    }
    Value::Object(status)
}
