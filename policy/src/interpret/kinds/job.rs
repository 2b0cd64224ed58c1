//! Job. Its replicas are the pods that run at once; a Job that has ended at the front door is never
//! opened again.

use serde_json::{Map, Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{Dependency, Interpreter, Replicas, pods, retention, workloads};

const COUNTERS: [&str; 3] = ["active", "succeeded", "failed"];
const TIMES: [&str; 2] = ["startTime", "completionTime"];
const SELECTOR: [&str; 3] = ["spec", "selector", "matchLabels"];
const POD_LABELS: [&str; 4] = ["spec", "template", "metadata", "labels"];

pub(crate) struct Job;

impl Interpreter for Job {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("batch/v1", "Job")]
    }

    fn replicas(&self, object: &Value) -> Read<Option<Replicas>> {
        let parallelism = read::int32(object, &["spec", "parallelism"])?;
        let completions = read::maybe_int32(object, &["spec", "completions"])?;
        Ok(Some(Replicas {
            replicas: parallelism.min(completions.unwrap_or(parallelism)),
            requirements: pods::requirements(read::at(object, &workloads::POD_SPEC)?)?,
        }))
    }

    fn revise(&self, object: &mut Value, replicas: i64) -> Read<bool> {
        workloads::set_int(object, &["spec", "parallelism"], replicas)
    }

    /// The labels by which the member finds the Job's pods: it made them up itself.
    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        for path in [&SELECTOR[..], &POD_LABELS] {
            read::text_map(observed, path)?;
            retention::copy(desired, observed, path)?;
        }
        Ok(())
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        retention::leave_out(desired, observed, &SELECTOR[..2]);
        retention::leave_out(desired, observed, &POD_LABELS);
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        let Some(status) = read::status(object)? else {
            return Ok(None);
        };
        let mut up = Map::new();
        for field in COUNTERS {
            put_count(&mut up, field, read::int32(status, &[field])?);
        }
        for field in TIMES {
            put_time(&mut up, field, read::time(status, &[field])?);
        }
        let conditions = read::list(status, &["conditions"])?;
        if !conditions.is_empty() {
            up.insert("conditions".to_owned(), json!(conditions));
        }
        Ok(Some(Value::Object(up)))
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        now: &str,
    ) -> Read<Option<Value>> {
        let old = read::at(template, &["status"])?;
        if Report::parse(old)?.end.is_some() || items.is_empty() {
            return Ok(None);
        }
        let reports: Vec<_> = read::statuses(items, Report::parse).collect();
        let mut status = Map::new();
        for (index, field) in COUNTERS.into_iter().enumerate() {
            let sum: i64 = reports
                .iter()
                .flat_map(|(_, r)| r)
                .map(|r| r.counts[index])
                .sum();
            put_count(&mut status, field, sum.min(i64::from(i32::MAX)));
        }
        let of_all = |index: usize| -> Option<Vec<&str>> {
            reports
                .iter()
                .map(|(_, r)| r.as_ref()?.times[index])
                .collect()
        };
        let earliest = of_all(0).and_then(|times| times.into_iter().min());
        let latest = of_all(1).and_then(|times| times.into_iter().max());
        let start = read::time(old, &["startTime"])?.or(earliest);
        put_time(&mut status, TIMES[0], start);
        put_time(&mut status, TIMES[1], latest);
        let conditions = conditions(&reports, now);
        if !conditions.is_empty() {
            status.insert("conditions".to_owned(), Value::Array(conditions));
        }
        read::if_changed(template, Value::Object(status))
    }

    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        workloads::dependencies(object)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    Failed,
}

/// What one member says of its part of the Job.
struct Report<'a> {
    counts: [i64; 3],
    times: [Option<&'a str>; 2],
    end: Option<End>,
    success_criteria_met: bool,
}

impl<'a> Report<'a> {
    fn parse(status: &'a Value) -> Read<Self> {
        let [active, succeeded, failed] = COUNTERS;
        let [start, completion] = TIMES;
        let mut end = None;
        for condition in read::list(status, &["conditions"])? {
            let is_true = condition["status"].as_str() == Some("True");
            end = end.or(match condition["type"].as_str() {
                Some("Complete") if is_true => Some(End::Complete),
                Some("Failed") if is_true => Some(End::Failed),
                _ => None,
            });
        }
        Ok(Self {
            counts: [
                read::int32(status, &[active])?,
                read::int32(status, &[succeeded])?,
                read::int32(status, &[failed])?,
            ],
            times: [
                read::time(status, &[start])?,
                read::time(status, &[completion])?,
            ],
            end,
            success_criteria_met: read::condition_is_true(status, "SuccessCriteriaMet")?,
        })
    }
}

/// Failed when any member's part failed, Complete when every member's part is.
fn conditions(reports: &[(&str, Option<Report>)], now: &str) -> Vec<Value> {
    let ended = |r: &Option<Report>, end| r.as_ref().is_some_and(|r| r.end == Some(end));
    let failed: Vec<&str> = reports
        .iter()
        .filter(|(_, r)| ended(r, End::Failed))
        .map(|(cluster, _)| *cluster)
        .collect();
    let mut conditions = Vec::new();
    if !failed.is_empty() {
        let clusters = failed.join(",");
        let message = format!("Job executed failed in member clusters {clusters}");
        conditions.push(condition(["Failed", "JobFailed", &message], now));
    }
    if reports.iter().all(|(_, r)| ended(r, End::Complete)) {
        conditions.push(condition(["Complete", "Completed", "Job completed"], now));
        if reports
            .iter()
            .flat_map(|(_, r)| r)
            .all(|r| r.success_criteria_met)
        {
            let text = "Reached expected number of succeeded pods";
            conditions.push(condition(
                ["SuccessCriteriaMet", "CompletionsReached", text],
                now,
            ));
        }
    }
    conditions
}

fn condition([type_, reason, message]: [&str; 3], now: &str) -> Value {
    json!({
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": now,
        "lastTransitionTime": now,
    })
}

fn put_count(status: &mut Map<String, Value>, field: &str, count: i64) {
    if count != 0 {
        status.insert(field.to_owned(), json!(count));
    }
}

fn put_time(status: &mut Map<String, Value>, field: &str, time: Option<&str>) {
    if let Some(time) = time {
        status.insert(field.to_owned(), json!(time));
    }
}
