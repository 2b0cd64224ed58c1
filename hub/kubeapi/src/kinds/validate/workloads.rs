//! Rules of what keeps pods running.

mod cron;
pub(super) mod selectors;

use serde_json::Value;

use super::cursor::{At, Found};
use super::names;
use super::pods::{self, Owner};

/// Checks a workload of this kind.
pub(super) fn check(kind: &str, root: &At<'_>, found: &mut Found) {
    let spec = root.field("spec");
    match kind {
        "Deployment" => {
            deployment(&spec, found);
            kept(&spec, kind, found);
        }
        "ReplicaSet" => kept(&spec, kind, found),
        "StatefulSet" => {
            stateful(&spec, found);
            kept(&spec, kind, found);
        }
        "DaemonSet" => {
            daemon(&spec, found);
            kept(&spec, kind, found);
        }
        "ReplicationController" => controller(&spec, found),
        "Job" => {
            job(&spec, found);
            selects(&spec, found);
        }
        "CronJob" => {
            cron::check(&spec, found);
            job(&spec.field("jobTemplate.spec"), found);
        }
        "ControllerRevision" => found.at_least(&root.field("revision"), 0),
        _ => {}
    }
}

/// The selector is there, says something and selects the template, whose pods run on.
fn kept(spec: &At<'_>, kind: &str, found: &mut Found) {
    let selector = spec.field("selector");
    if selector.is_missing() {
        if kind != "DaemonSet" {
            found.required(&selector, "");
        }
    } else {
        selectors::check(&selector, found);
        if selectors::is_empty(selector.value) {
            let why = format!("empty selector is invalid for {}", kind.to_lowercase());
            found.invalid(&selector, &why);
        }
    }
    selects(spec, found);
    let template = spec.field("template");
    pods::template(&template, Owner::Keeper, found);
    let deadline = template.field("spec.activeDeadlineSeconds");
    if !deadline.is_missing() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        found.forbidden(&deadline, &why);
    }
}

fn selects(spec: &At<'_>, found: &mut Found) {
    let labels = spec.field("template.metadata.labels");
    let selector = spec.field("selector");
    match selectors::matches(selector.value, labels.value) {
        // An empty selector has its own finding.
        Some(true) => {}
        Some(false) if selectors::is_empty(selector.value) && !selector.is_missing() => {}
        Some(false) => found.invalid(&labels, "`selector` does not match template `labels`"),
        None => found.invalid(&selector, "invalid label selector"),
    }
}

fn deployment(spec: &At<'_>, found: &mut Found) {
    let strategy = spec.field("strategy");
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").text() {
        "Recreate" => {
            if !rolling.is_missing() {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                found.forbidden(&rolling, why);
            }
        }
        "RollingUpdate" => {
            let surge = share(&rolling.field("maxSurge"), false, found);
            let missing = share(&rolling.field("maxUnavailable"), true, found);
            if (surge, missing) == (Some(0), Some(0)) {
                let why = "may not be 0 when `maxSurge` is 0";
                found.invalid(&rolling.field("maxUnavailable"), why);
            }
        }
        _ => unsupported(&strategy, &["Recreate", "RollingUpdate"], found),
    }
    let (deadline, ready) = (
        spec.field("progressDeadlineSeconds"),
        spec.field("minReadySeconds"),
    );
    if !deadline.is_missing() && deadline.int() <= ready.int() && deadline.int() >= 0 {
        found.invalid(&deadline, "must be greater than minReadySeconds");
    }
}

fn stateful(spec: &At<'_>, found: &mut Found) {
    let management = spec.field("podManagementPolicy");
    if !matches!(management.text(), "OrderedReady" | "Parallel") {
        found.invalid(&management, "must be 'OrderedReady' or 'Parallel'");
    }
    let strategy = spec.field("updateStrategy");
    match strategy.field("type").text() {
        "RollingUpdate" => {}
        "OnDelete" => {
            let rolling = strategy.field("rollingUpdate");
            if !rolling.is_missing() {
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                found.invalid(&rolling, why);
            }
        }
        _ => found.invalid(&strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn daemon(spec: &At<'_>, found: &mut Found) {
    let strategy = spec.field("updateStrategy");
    match strategy.field("type").text() {
        "RollingUpdate" => {
            let rolling = strategy.field("rollingUpdate");
            let missing = share(&rolling.field("maxUnavailable"), true, found);
            let surge = share(&rolling.field("maxSurge"), true, found);
            match (missing, surge) {
                (Some(0), Some(0)) => {
                    let why = "cannot be 0 when maxSurge is 0";
                    found.required(&rolling.field("maxUnavailable"), why);
                }
                (Some(1..), Some(1..)) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    found.invalid(&rolling.field("maxSurge"), why);
                }
                _ => {}
            }
        }
        "OnDelete" => {}
        _ => unsupported(&strategy, &["RollingUpdate", "OnDelete"], found),
    }
}

/// A number of pods, or a share of them; the number, if it can be read.
pub(super) fn share(at: &At<'_>, at_most_all: bool, found: &mut Found) -> Option<i64> {
    match at.value {
        Value::String(text) => match names::percent(text) {
            Ok(percent) if at_most_all && percent > 100 => {
                found.invalid(at, "must not be greater than 100%");
                None
            }
            Ok(percent) => Some(i64::from(percent)),
            Err(why) => {
                found.invalid(at, &why);
                None
            }
        },
        Value::Number(_) => {
            found.at_least(at, 0);
            Some(at.int())
        }
        _ => None,
    }
}

/// The strategy as a whole is named, as the real server does.
fn unsupported(strategy: &At<'_>, allowed: &[&str], found: &mut Found) {
    found.one_of(strategy, allowed);
}

fn controller(spec: &At<'_>, found: &mut Found) {
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    if selector.is_empty() {
        found.required(&selector, "");
    }
    if template.is_missing() {
        found.required(&template, "");
        return;
    }
    if !selector.is_empty() {
        let labels = template.field("metadata.labels");
        let wanted = selector.entries();
        let agrees = |(key, value): &(&str, At<'_>)| labels.value.get(key) == Some(value.value);
        if !wanted.iter().all(agrees) {
            found.invalid(&labels, "`selector` does not match template `labels`");
        }
    }
    pods::template(&template, Owner::Keeper, found);
}

fn job(spec: &At<'_>, found: &mut Found) {
    if spec.field("completionMode").text() == "Indexed" && spec.field("completions").is_missing() {
        found.required(
            &spec.field("completions"),
            "when completion mode is Indexed",
        );
    }
    selectors::check(&spec.field("selector"), found);
    pods::template(&spec.field("template"), Owner::Job, found);
}
