//! Pod, propagated as such.

use serde_json::{Map, Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{Dependency, HealthReport, Interpreter, Replicas, pods, retention};
use crate::model::manifest;

/// The worst first: the pods together are in the worst phase of any.
const PHASES: [&str; 4] = ["Failed", "Pending", "Running", "Succeeded"];
const STATUS_LISTS: [&str; 2] = ["containerStatuses", "initContainerStatuses"];
/// Decided by the member's scheduler and admission.
const RETAINED: [&str; 3] = ["nodeName", "serviceAccountName", "volumes"];
const CONTAINER_LISTS: [&str; 2] = ["containers", "initContainers"];

pub(crate) struct Pod;

impl Interpreter for Pod {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("v1", "Pod")]
    }

    fn replicas(&self, object: &Value) -> Read<Option<Replicas>> {
        Ok(Some(Replicas {
            replicas: 1,
            requirements: pods::requirements(read::at(object, &["spec"])?)?,
        }))
    }

    /// What the member gave the pod, also where it gave nothing.
    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        for field in RETAINED {
            let value = read::at(observed, &["spec", field])?.clone();
            if value.is_null() {
                manifest::remove(desired, &["spec", field]);
            } else {
                retention::put(desired, &["spec", field], value);
            }
        }
        for list in CONTAINER_LISTS {
            let observed = read::list(observed, &["spec", list])?;
            for container in containers_mut(desired, list) {
                let mounts = observed
                    .iter()
                    .find(|known| known["name"] == container["name"])
                    .map(|known| known["volumeMounts"].clone());
                match mounts {
                    Some(Value::Null) => {
                        manifest::remove(container, &["volumeMounts"]);
                    }
                    Some(mounts) => retention::put(container, &["volumeMounts"], mounts),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        for field in RETAINED {
            manifest::remove(desired, &["spec", field]);
        }
        for list in CONTAINER_LISTS {
            let observed = read::list(observed, &["spec", list]).unwrap_or_default();
            for container in containers_mut(desired, list) {
                if observed
                    .iter()
                    .any(|known| known["name"] == container["name"])
                {
                    manifest::remove(container, &["volumeMounts"]);
                }
            }
        }
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        let status = read::at(object, &["status"])?;
        let phase = read::text(status, &["phase"])?;
        let ready = read::condition_is_true(status, "Ready")?;
        Ok(match phase {
            "Succeeded" => HealthReport::healthy(),
            "Running" if ready => HealthReport::healthy(),
            "Running" => HealthReport::unhealthy("running, not ready"),
            "" => HealthReport::unhealthy("no phase yet"),
            other => HealthReport::unhealthy(format!("phase {other}")),
        })
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        let mut phases = Vec::new();
        let mut lists = [Vec::new(), Vec::new()];
        let parse = |status| {
            let [containers, init] = STATUS_LISTS;
            let lists = [
                read::list(status, &[containers])?,
                read::list(status, &[init])?,
            ];
            Ok((read::text(status, &["phase"])?, lists))
        };
        for (_, parsed) in read::statuses(items, parse) {
            let (phase, reported) = parsed.unwrap_or(("Pending", [&[], &[]]));
            phases.push(phase);
            for (list, reported) in lists.iter_mut().zip(reported) {
                list.extend(reported.iter().map(container_status));
            }
        }
        let mut status = Map::new();
        if let Some(phase) = PHASES.iter().find(|phase| phases.contains(phase)) {
            status.insert("phase".to_owned(), json!(phase));
        }
        for (field, list) in STATUS_LISTS.into_iter().zip(lists) {
            if !list.is_empty() {
                status.insert(field.to_owned(), Value::Array(list));
            }
        }
        read::if_changed(template, Value::Object(status))
    }

    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        let spec = read::at(object, &["spec"])?;
        let found = pods::dependencies(spec, manifest::namespace(object))?;
        Ok(found.into_iter().collect())
    }
}

fn containers_mut<'a>(pod: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    pod.get_mut("spec")
        .and_then(|spec| spec.get_mut(list))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Readiness and state alone say something across members; the fields the API wants are empty.
fn container_status(status: &Value) -> Value {
    json!({
        "name": "",
        "image": "",
        "imageID": "",
        "lastState": {},
        "ready": status["ready"].as_bool().unwrap_or(false),
        "restartCount": 0,
        "state": status["state"],
    })
}
