//! How replicas are divided among clusters that fit.

use std::collections::BTreeMap;

use flotilla_policy::api::{BindingSpec, Cluster};
use flotilla_policy::schedule::ScheduleOptions;
use flotilla_policy::schedule::divide::divide;
use serde_json::{Value, json};

use super::{Rule, check, is_set, same, typed};

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: spreadConstraints",
        reason: "choosing among clusters that fit is not built yet",
        applies: |input| is_set(input, "/binding/spec/placement/spreadConstraints"),
    },
    Rule {
        name: "not in this slice: replicaDivisionPreference Aggregated",
        reason: "division by estimates is not built yet",
        applies: |input| strategy(input)["replicaDivisionPreference"] == json!("Aggregated"),
    },
    Rule {
        name: "not in this slice: dynamicWeight",
        reason: "division by estimates is not built yet",
        applies: |input| {
            strategy(input)["weightPreference"]["dynamicWeight"] == json!("AvailableReplicas")
        },
    },
];

fn strategy(input: &Value) -> &Value {
    &input["binding"]["spec"]["placement"]["replicaScheduling"]
}

#[test]
fn divisions_agree() {
    let committed = include_bytes!("../../vectors/division.jsonl.gz");
    check("division", committed, RULES, judge);
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let clusters: Vec<Cluster> = typed(input, "/clusters");
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    let spec: BindingSpec = typed(input, "/binding/spec");
    let options = ScheduleOptions {
        empty_workload_propagation: typed(input, "/enableEmptyWorkloadPropagation"),
    };
    let placement = spec.placement.clone().unwrap_or_default();
    match divide(&spec, &placement, &clusters, options) {
        Ok((clusters, _)) => {
            same("error", &Value::Null, &out["error"])?;
            let ours: BTreeMap<&str, Value> = clusters
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
