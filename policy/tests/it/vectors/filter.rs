//! Every filter's verdict on every cluster, and the text when nothing fits.

use std::collections::BTreeMap;

use flotilla_policy::api::{BindingSpec, Cluster};
use flotilla_policy::schedule::{no_fit_message, verdicts};
use serde_json::{Value, json};

use super::{Rule, check, is_set, same, typed};

const RULES: &[Rule] = &[Rule {
    name: "not in this slice: workloadAffinityGroups",
    reason: "placement relative to other workloads is not built yet",
    applies: |input| is_set(input, "/binding/spec/workloadAffinityGroups"),
}];

#[test]
fn filters_agree() {
    let committed = include_bytes!("../../vectors/filter.jsonl.gz");
    check("filter", committed, RULES, judge);
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let clusters: Vec<Cluster> = typed(input, "/clusters");
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    let spec: BindingSpec = typed(input, "/binding/spec");
    let term: String = typed(input, "/binding/status/schedulerObservingAffinityName");
    let verdicts = verdicts(&spec, &term, &clusters);
    let ours: Vec<Value> = verdicts
        .iter()
        .map(|verdict| {
            let mut shown = json!({"name": verdict.cluster, "fit": verdict.fits()});
            let reasons: BTreeMap<&str, &str> = verdict
                .rejections
                .iter()
                .map(|r| (r.plugin.as_ref(), r.text.as_ref()))
                .collect();
            if reasons.contains_key("") {
                shown["skipped"] = json!(true);
            } else if !reasons.is_empty() {
                shown["reasons"] = json!(reasons);
            }
            shown
        })
        .collect();
    let expected: Vec<Value> = typed(out, "/clusters");
    same("verdicts", &ours, &expected)?;
    match out["fitError"].as_str() {
        Some(text) => same("text", &no_fit_message(&verdicts).as_str(), &text),
        None => Ok(()),
    }
}
