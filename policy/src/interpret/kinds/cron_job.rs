//! CronJob. The members' schedules run on their own; the template lists every active Job.

use serde_json::{Map, Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{Dependency, Interpreter, pods};
use crate::model::manifest;

const TIMES: [&str; 2] = ["lastScheduleTime", "lastSuccessfulTime"];
const POD_SPEC: [&str; 5] = ["spec", "jobTemplate", "spec", "template", "spec"];

pub(crate) struct CronJob;

impl Interpreter for CronJob {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("batch/v1", "CronJob")]
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        if items.is_empty() {
            return Ok(None);
        }
        let mut active: Vec<&Value> = Vec::new();
        let mut latest = [None; 2];
        let parse = |status| {
            let [schedule, successful] = TIMES;
            let times = [
                read::time(status, &[schedule])?,
                read::time(status, &[successful])?,
            ];
            Ok((read::list(status, &["active"])?, times))
        };
        for (jobs, times) in read::statuses(items, parse).filter_map(|(_, parsed)| parsed) {
            active.extend(jobs);
            for (latest, time) in latest.iter_mut().zip(times) {
                *latest = time.max(*latest);
            }
        }
        let mut status = Map::new();
        if !active.is_empty() {
            status.insert("active".to_owned(), json!(active));
        }
        for (field, time) in TIMES.into_iter().zip(latest) {
            if let Some(time) = time {
                status.insert(field.to_owned(), json!(time));
            }
        }
        read::if_changed(template, Value::Object(status))
    }

    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        let found = pods::dependencies(read::at(object, &POD_SPEC)?, manifest::namespace(object))?;
        Ok(found.into_iter().collect())
    }
}
