//! What stands in the cells of built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::Spec;
use super::{age, lists, pods};

/// One cell.
pub(super) fn cell(spec: &Spec, object: &Value, now: Timestamp) -> Value {
    let (mark, rest) = spec.cell.split_at(1);
    match mark {
        "." => match (at(object, rest), spec.ty) {
            (Value::Null, "integer") => json!(0),
            (Value::Null, "boolean") => json!(false),
            (Value::Null, _) => json!(""),
            (value, _) => value.clone(),
        },
        "?" => match at(object, rest).as_str() {
            None | Some("") => json!("<none>"),
            Some(text) => json!(text),
        },
        "#" => json!(count(at(object, rest))),
        _ => named(rest, object, now),
    }
}

/// The value at a dotted path.
pub(super) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, step| &value[step])
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(object) => object.len(),
        _ => 0,
    }
}

fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or_default()
}

pub(super) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

pub(super) fn or_none(text: String) -> Value {
    json!(if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    })
}

/// The items of a list.
pub(super) fn items<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(object, path).as_array().into_iter().flatten()
}

fn named(name: &str, object: &Value, now: Timestamp) -> Value {
    match name {
        "name" => at(object, "metadata.name").clone(),
        "age" => age::since(at(object, "metadata.creationTimestamp"), now),
        "config_data" => json!(count(&object["data"]) + count(&object["binaryData"])),
        "ready" => {
            let (ready, wanted) = (
                number(object, "status.readyReplicas"),
                number(object, "spec.replicas"),
            );
            json!(format!("{ready}/{wanted}"))
        }
        "updated" => json!(number(object, "status.updatedReplicas")),
        "available" => json!(number(object, "status.availableReplicas")),
        "suspend" => json!(if object["spec"]["suspend"] == true {
            "True"
        } else {
            "False"
        }),
        "last_schedule" => match at(object, "status.lastScheduleTime") {
            Value::Null => json!("<none>"),
            time => age::since(time, now),
        },
        "phase" => json!(if at(object, "metadata.deletionTimestamp").is_null() {
            text(object, "status.phase")
        } else {
            "Terminating"
        }),
        "controller" => {
            let mut owners = items(object, "metadata.ownerReferences");
            let owner = owners.find(|owner| owner["controller"] == true);
            let shown = owner.map(|owner| {
                let version = text(owner, "apiVersion");
                let group = version.split_once('/').map(|(group, _)| group);
                let kind = text(owner, "kind").to_lowercase();
                let name = text(owner, "name");
                match group {
                    Some(group) => format!("{kind}.{group}/{name}"),
                    None => format!("{kind}/{name}"),
                }
            });
            or_none(shown.unwrap_or_default())
        }
        "scale_least" => match at(object, "spec.minReplicas").as_i64() {
            Some(least) => json!(least.to_string()),
            None => json!("<unset>"),
        },
        "scale_most" => json!(number(object, "spec.maxReplicas")),
        "scale_current" => json!(number(object, "status.currentReplicas")),
        "least_available" => share(at(object, "spec.minAvailable")),
        "most_missing" => share(at(object, "spec.maxUnavailable")),
        "requested_duration" => match at(object, "spec.expirationSeconds").as_i64() {
            Some(seconds) => json!(age::human(seconds)),
            None => json!("<none>"),
        },
        "class_name" => {
            let name = text(object, "metadata.name");
            let annotations = &object["metadata"]["annotations"];
            let is_default = annotations["storageclass.kubernetes.io/is-default-class"] == "true";
            let mark = if is_default { " (default)" } else { "" };
            json!(format!("{name}{mark}"))
        }
        _ if name.starts_with("pod_") && name != "pod_selector" => pods::cell(name, object, now),
        _ if name.starts_with("job_") || name.starts_with("event_") => workload(name, object, now),
        _ => lists::cell(name, object),
    }
}

fn share(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    }
}

fn workload(name: &str, object: &Value, now: Timestamp) -> Value {
    match name {
        "job_status" => json!(job_status(object)),
        "job_completions" => {
            let done = number(object, "status.succeeded");
            let parallel = number(object, "spec.parallelism");
            json!(match at(object, "spec.completions").as_i64() {
                Some(wanted) => format!("{done}/{wanted}"),
                None if parallel > 1 => format!("{done}/1 of {parallel}"),
                None => format!("{done}/1"),
            })
        }
        "job_duration" => {
            let time = |path: &str| text(object, path).parse::<Timestamp>().ok();
            match (time("status.startTime"), time("status.completionTime")) {
                (None, _) => json!(""),
                (Some(start), end) => {
                    let end = end.unwrap_or(now);
                    json!(age::human(end.as_second() - start.as_second()))
                }
            }
        }
        "job_selector" => lists::selector(at(object, "spec.jobTemplate.spec.selector")),
        _ => event(name, object, now),
    }
}

fn job_status(object: &Value) -> &'static str {
    let has = |ty: &str| {
        let mut conditions = items(object, "status.conditions");
        conditions.any(|one| one["type"] == ty && one["status"] == "True")
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !at(object, "metadata.deletionTimestamp").is_null() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

/// Events in either shape.
fn event(name: &str, object: &Value, now: Timestamp) -> Value {
    let pick = |old: &str, new: &str| match at(object, old) {
        Value::Null => at(object, new).clone(),
        value => value.clone(),
    };
    let said = |old: &str, new: &str| {
        let value = pick(old, new);
        value.as_str().unwrap_or_default().to_owned()
    };
    match name {
        "event_last" | "event_first" => {
            let first = pick("firstTimestamp", "deprecatedFirstTimestamp");
            let first = if first.is_null() {
                object["eventTime"].clone()
            } else {
                first
            };
            if name == "event_first" {
                return age::since(&first, now);
            }
            let last = match at(object, "series.lastObservedTime") {
                Value::Null => pick("lastTimestamp", "deprecatedLastTimestamp"),
                time => time.clone(),
            };
            age::since(if last.is_null() { &first } else { &last }, now)
        }
        "event_object" => {
            let kind = said("involvedObject.kind", "regarding.kind").to_lowercase();
            let name = said("involvedObject.name", "regarding.name");
            json!(if name.is_empty() {
                kind
            } else {
                format!("{kind}/{name}")
            })
        }
        "event_source" => {
            let component = said("source.component", "deprecatedSource.component");
            let host = said("source.host", "deprecatedSource.host");
            let (component, host) = if component.is_empty() && host.is_empty() {
                (
                    said("reportingComponent", "reportingController"),
                    said("reportingInstance", "reportingInstance"),
                )
            } else {
                (component, host)
            };
            let parts = [component, host];
            let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            json!(parts.join(", "))
        }
        "event_message" => json!(said("message", "note").trim()),
        _ => {
            let count = at(object, "series.count").as_i64();
            let count = count.or_else(|| pick("count", "deprecatedCount").as_i64());
            json!(count.filter(|count| *count > 0).unwrap_or(1))
        }
    }
}
