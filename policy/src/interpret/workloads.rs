//! What Deployments, ReplicaSets, StatefulSets and DaemonSets share: a status made of counters.
//! Counters go up as they are and are summed; what is not a counter stays as the template has it.

use serde_json::{Map, Value, json};

use super::read::{self, Read};
use super::{Dependency, HealthReport, Replicas, generations, pods};
use crate::api::AggregatedStatusItem;
use crate::model::manifest;

/// Where a workload's pod spec is.
pub(super) const POD_SPEC: [&str; 3] = ["spec", "template", "spec"];

/// `spec.replicas`, absent being none at all, and what one pod needs.
pub(super) fn replicas(object: &Value) -> Read<Replicas> {
    Ok(Replicas {
        replicas: read::int32(object, &["spec", "replicas"])?,
        requirements: pods::requirements(read::at(object, &POD_SPEC)?)?,
    })
}

/// What the pods refer to.
pub(super) fn dependencies(object: &Value) -> Read<Vec<Dependency>> {
    let spec = read::at(object, &POD_SPEC)?;
    let found = pods::dependencies(spec, manifest::namespace(object))?;
    Ok(found.into_iter().collect())
}

/// The counters of a kind's status.
pub(super) struct Counters {
    /// Written also when zero.
    pub(super) required: &'static [&'static str],
    /// Left out when zero.
    pub(super) optional: &'static [&'static str],
}

impl Counters {
    fn read(&self, status: &Value) -> Read<Vec<i64>> {
        self.names()
            .map(|name| read::int32(status, &[name]))
            .collect()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }

    fn write(&self, counts: &[i64], status: &mut Map<String, Value>) {
        for (index, (name, count)) in self.names().zip(counts).enumerate() {
            if *count == 0 && index >= self.required.len() {
                status.remove(name);
            } else {
                status.insert(name.to_owned(), json!(count));
            }
        }
    }

    /// The part of a member's status that goes up.
    pub(super) fn status(&self, object: &Value) -> Read<Option<Value>> {
        let Some(status) = read::status(object)? else {
            return Ok(None);
        };
        let mut up = Map::new();
        generations::report(object, &mut up)?;
        self.write(&self.read(status)?, &mut up);
        Ok(Some(Value::Object(up)))
    }

    /// The template's status with the members' sums.
    pub(super) fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
    ) -> Read<Option<Value>> {
        let generation = read::int(template, &["metadata", "generation"])?;
        let old = read::map(template, &["status"])?;
        let mut sums = vec![0_i64; self.names().count()];
        let mut all_current = true;
        let parse = |status| {
            Ok((
                self.read(status)?,
                generations::is_current(status, generation)?,
            ))
        };
        for (_, parsed) in read::statuses(items, parse) {
            let (counts, current) = parsed.unwrap_or_default();
            all_current &= current;
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = (*sum + count).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            }
        }
        let old_observed = read::int(template, &["status", "observedGeneration"])?;
        let observed = if all_current {
            generation
        } else {
            old_observed
        };
        let empty = Value::Null;
        let old_sums = self.read(template.get("status").unwrap_or(&empty))?;
        if old_observed == observed && old_sums == sums {
            return Ok(None);
        }
        let mut status = old.cloned().unwrap_or_default();
        self.write(&sums, &mut status);
        if observed == 0 {
            status.remove("observedGeneration");
        } else {
            status.insert("observedGeneration".to_owned(), json!(observed));
        }
        Ok(Some(Value::Object(status)))
    }
}

/// Unhealthy, with both numbers, when `have` is less than `want`.
pub(super) fn fewer(have: i64, want: i64, of_what: &str) -> Option<HealthReport> {
    (have < want).then(|| HealthReport::unhealthy(format!("{have} of {want} {of_what}")))
}

/// Sets an integer that is there already; an absent one is left to the member.
pub(super) fn set_int(object: &mut Value, path: &[&str; 2], number: i64) -> Read<bool> {
    let field = read::at(object, path)?;
    if field.is_null() && object[path[0]].get(path[1]).is_none() {
        return Ok(false);
    }
    if field.as_i64().is_none() {
        return Err(read::type_error(path, "an integer"));
    }
    object[path[0]][path[1]] = json!(number);
    Ok(true)
}
