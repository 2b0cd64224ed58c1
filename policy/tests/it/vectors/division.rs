//! How replicas are divided among clusters that fit.

use std::collections::BTreeMap;

use flotilla_policy::api::{BindingSpec, Cluster, ClusterAffinityTerm, Placement};
use flotilla_policy::schedule::candidate::{Candidate, candidates};
use flotilla_policy::schedule::divide::{DivideInput, divide};
use flotilla_policy::schedule::select::select;
use serde_json::{Value, json};

use super::{Rule, check, is_set, same, typed};

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: components per cluster",
        reason: "the gate for several pod templates is off by default, and not built yet",
        applies: |input| {
            input["featureGates"]["MultiplePodTemplatesScheduling"] == json!(true)
                && is_set(input, "/binding/spec/components")
        },
    },
    Rule {
        name: "sums of room do not wrap",
        reason: "there they are 32 bits wide, so that much room can look like none",
        applies: |input| {
            let spec: BindingSpec = typed(input, "/binding/spec");
            let estimators: Vec<BTreeMap<String, i64>> = typed(input, "/estimators");
            let rooms = estimators.iter().flat_map(BTreeMap::values);
            spec.replicas == 0 && spec.reschedule_triggered_at.is_some()
                || rooms.sum::<i64>() > i64::from(i32::MAX)
        },
    },
];

#[test]
fn divisions_agree() {
    let committed = include_bytes!("../../vectors/division.jsonl.gz");
    check("division", committed, RULES, judge);
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let clusters: Vec<Cluster> = typed(input, "/clusters");
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    let spec: BindingSpec = typed(input, "/binding/spec");
    let placement = spec.placement.clone().unwrap_or_default();
    let term = term(input, &placement);
    let candidates = candidates(&spec, term, &clusters, &estimates(input));
    let (chosen, _) = select(&spec, &placement, &candidates)?;
    same("candidates", &shown(&chosen), &typed(out, "/candidates"))?;

    let triggered: String = typed(input, "/binding/spec/rescheduleTriggeredAt");
    let last: String = typed(input, "/binding/status/lastScheduledTime");
    let division = DivideInput {
        spec: &spec,
        placement: &placement,
        // Both are written in UTC and whole seconds.
        fresh: !last.is_empty() && triggered > last,
        tiered: term.is_some_and(|t| !t.overflow_affinities.is_empty()),
        empty_workload_propagation: typed(input, "/enableEmptyWorkloadPropagation"),
    };
    match divide(&division, &chosen) {
        Ok(divided) => {
            same("error", &Value::Null, &out["error"])?;
            let ours: BTreeMap<&str, Value> = divided
                .clusters
                .iter()
                .map(|c| (c.name.as_str(), json!(c)))
                .collect();
            same("clusters", &ours, &by_name(&out["clusters"]))
        }
        Err(outcome) => {
            let message = outcome.condition().map(|c| c.message).unwrap_or_default();
            let ours = message.replace("failed to assign replicas: ", "");
            same(
                "message",
                &ours.as_str(),
                &out["message"].as_str().unwrap_or(""),
            )
        }
    }
}

pub(super) fn term<'a>(input: &Value, placement: &'a Placement) -> Option<&'a ClusterAffinityTerm> {
    let name: String = typed(input, "/binding/status/schedulerObservingAffinityName");
    placement
        .cluster_affinities
        .iter()
        .find(|t| t.affinity_name == name)
}

/// The least of what estimators say; -1 says nothing.
pub(super) fn estimates(input: &Value) -> BTreeMap<String, i32> {
    let estimators: Vec<BTreeMap<String, i32>> = typed(input, "/estimators");
    let mut least = BTreeMap::new();
    for (name, room) in estimators
        .into_iter()
        .flatten()
        .filter(|(_, room)| *room >= 0)
    {
        let entry = least.entry(name).or_insert(room);
        *entry = room.min(*entry);
    }
    least
}

fn shown(candidates: &[Candidate<'_>]) -> Vec<Value> {
    candidates
        .iter()
        .map(|c| {
            let mut shown = json!({
                "name": c.name(), "score": c.score,
                "allocatableReplicas": c.allocatable, "availableReplicas": c.available,
            });
            if c.tier > 0 {
                shown["overflowOrder"] = json!(c.tier);
            }
            shown
        })
        .collect()
}

/// Zero replicas are written out there, and left out by us.
pub(super) fn by_name(clusters: &Value) -> BTreeMap<&str, Value> {
    let clusters = clusters.as_array().into_iter().flatten();
    clusters
        .map(|cluster| {
            let mut shown = cluster.clone();
            if shown["replicas"] == json!(0) {
                shown.as_object_mut().expect("a cluster").remove("replicas");
            }
            (cluster["name"].as_str().expect("a name"), shown)
        })
        .collect()
}
