//! One whole pass over a binding: whether it is decided at all, each run over the affinity terms,
//! and what the binding says afterwards.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_policy::api::{BindingSpec, BindingStatus, Cluster, Placement, ResourceList};
use flotilla_policy::check as invariants;
use flotilla_policy::schedule::{
    AttemptResult, Outcome, Report, ScheduleOptions, ScheduleView, schedule, verdicts,
};
use serde_json::{Value, json};

use super::division::by_name;
use super::{Rule, check, same, typed};

const APPLIED: &str = "/binding/metadata/annotations/policy.karmada.io~1applied-placement";

const RULES: &[Rule] = &[
    Rule {
        name: "a cluster fails several filters",
        reason: "the first filter in our list counts; there, their order is drawn per process",
        applies: |input| {
            let clusters: Vec<Cluster> = typed(input, "/clusters");
            let clusters: Vec<&Cluster> = clusters.iter().collect();
            let spec: BindingSpec = typed(input, "/binding/spec");
            let terms: Vec<Value> = typed(input, "/binding/spec/placement/clusterAffinities");
            let names = terms
                .iter()
                .map(|t| t["affinityName"].as_str().unwrap_or(""));
            names.chain([""]).any(|name| {
                let verdicts = verdicts(&spec, name, &clusters);
                verdicts.iter().any(|v| v.rejections.len() > 1)
            })
        },
    },
    Rule {
        name: "a cluster of the result does not exist any more",
        reason: "we decide anew at once; there, its replicas stay lost until something else changes",
        applies: |input| {
            let clusters: Vec<Value> = typed(input, "/clusters");
            let targets: Vec<Value> = typed(input, "/binding/spec/clusters");
            let alive: BTreeSet<_> = clusters
                .iter()
                .map(|c| c["metadata"]["name"].as_str())
                .collect();
            targets.iter().any(|t| !alive.contains(&t["name"].as_str()))
        },
    },
];

#[test]
fn passes_agree() {
    let committed = include_bytes!("../../vectors/schedule.jsonl.gz");
    check("schedule", committed, RULES, judge);
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let clusters: Vec<Cluster> = typed(input, "/clusters");
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    let spec: BindingSpec = typed(input, "/binding/spec");
    let status: BindingStatus = typed(input, "/binding/status");
    let applied: Option<Placement> = input.pointer(APPLIED).map(|text| {
        serde_json::from_str(text.as_str().expect("an annotation is text")).expect("a placement")
    });
    let estimates = estimates(&clusters, &spec);
    let view = ScheduleView {
        spec: &spec,
        status: &status,
        applied_placement: applied.as_ref(),
        clusters: &clusters,
        estimates: Some(&estimates),
        options: ScheduleOptions {
            empty_workload_propagation: typed(input, "/enableEmptyWorkloadPropagation"),
        },
    };
    let (outcome, report) = schedule(&view);
    let broken = invariants::schedule(&view, &outcome, &report);
    same("invariants", &broken, &Vec::new())?;
    same(
        "scheduled",
        &report.trigger.decides(),
        &(out["scheduled"] == json!(true)),
    )?;
    same(
        "attempts",
        &attempts(&outcome, &report),
        &expected_attempts(out),
    )?;
    judge_binding(&spec, &status, &outcome, &out["binding"])
}

/// Room by pods and CPU: all that these cases state.
fn estimates(clusters: &[&Cluster], spec: &BindingSpec) -> BTreeMap<String, i32> {
    let request = spec
        .replica_requirements
        .as_ref()
        .map_or(0, |r| milli(&r.resource_request, "cpu"));
    clusters
        .iter()
        .map(|cluster| {
            let summary = cluster.status.resource_summary.clone().unwrap_or_default();
            let free =
                |name: &str| milli(&summary.allocatable, name) - milli(&summary.allocated, name);
            let by_cpu = if request > 0 {
                free("cpu") / request
            } else {
                i64::MAX
            };
            let room = by_cpu.min(free("pods") / 1000).max(0);
            (
                cluster.metadata.name.clone(),
                i32::try_from(room).expect("small numbers"),
            )
        })
        .collect()
}

fn milli(list: &ResourceList, name: &str) -> i64 {
    let text = list.get(name).map_or("0", String::as_str);
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().expect("a number"),
        None => 1000 * text.parse::<i64>().expect("a number"),
    }
}

/// Affinity name of each run and its result: `ok`, or the class of the error.
fn attempts(outcome: &Outcome, report: &Report) -> Vec<(String, String)> {
    let class = |result: &AttemptResult| match result {
        AttemptResult::Decided => "ok".to_owned(),
        AttemptResult::NoFit { .. } => "no-fit".to_owned(),
        AttemptResult::Unschedulable { message } => class_of(message).to_owned(),
        AttemptResult::Needs => format!("{outcome:?}"),
    };
    report
        .attempts
        .iter()
        .map(|a| (a.affinity_name.clone(), class(&a.result)))
        .collect()
}

fn class_of(message: &str) -> &'static str {
    let classes = [
        ("are not enough to schedule", "unschedulable"),
        ("feasible clusters is less", "min-clusters"),
        ("feasible region is less", "min-regions"),
        (
            "less than the cluster spreadConstraint",
            "no-region-combination",
        ),
        ("no enough resource", "not-enough-resource"),
    ];
    let found = classes.iter().find(|(text, _)| message.contains(text));
    found.map_or("unknown", |(_, class)| class)
}

fn expected_attempts(out: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let attempts = out["attempts"].as_array().into_iter().flatten();
    attempts
        .map(|a| {
            let name = text(&a["affinityName"]).unwrap_or_default();
            (name, text(&a["error"]).unwrap_or_else(|| "ok".to_owned()))
        })
        .collect()
}

fn judge_binding(
    spec: &BindingSpec,
    status: &BindingStatus,
    outcome: &Outcome,
    expected: &Value,
) -> Result<(), String> {
    let (clusters, affinity_name) = match outcome {
        Outcome::Decided {
            clusters,
            affinity_name,
        } => (clusters.clone(), affinity_name.clone()),
        Outcome::NoFit { .. } => (Vec::new(), status.scheduler_observed_affinity_name.clone()),
        _ => (
            spec.clusters.clone(),
            status.scheduler_observed_affinity_name.clone(),
        ),
    };
    let ours: BTreeMap<&str, Value> = clusters
        .iter()
        .map(|c| (c.name.as_str(), json!(c)))
        .collect();
    same("clusters", &ours, &by_name(&expected["clusters"]))?;
    let named = expected["schedulerObservingAffinityName"]
        .as_str()
        .unwrap_or("");
    same("affinity name", &affinity_name.as_str(), &named)?;
    let Some(condition) = outcome.condition() else {
        return Ok(());
    };
    let theirs = &expected["scheduledCondition"];
    same("status", &json!(condition.status), &theirs["status"])?;
    same("reason", &json!(condition.reason), &theirs["reason"])?;
    match theirs["message"].as_str() {
        Some(message) => same("message", &condition.message.as_str(), &message),
        None => Ok(()),
    }
}
