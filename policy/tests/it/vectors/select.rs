//! Which of the clusters that fit are chosen, and how regions are scored.

use std::collections::BTreeMap;

use flotilla_policy::api::{BindingSpec, Cluster};
use flotilla_policy::schedule::candidate::{Candidate, candidates, sort};
use flotilla_policy::schedule::select::select;
use serde_json::{Value, json};

use super::division::{estimates, term};
use super::{Rule, check, same, typed};

const RULES: &[Rule] = &[];

#[test]
fn selections_agree() {
    let committed = include_bytes!("../../vectors/select.jsonl.gz");
    check("select", committed, RULES, judge);
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let clusters: Vec<Cluster> = typed(input, "/clusters");
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    let spec: BindingSpec = typed(input, "/binding/spec");
    let placement = spec.placement.clone().unwrap_or_default();
    let term = term(input, &placement);
    let mut candidates = candidates(&spec, term, &clusters, &estimates(input));
    if let Some(scores) = input["scores"].as_object() {
        for candidate in &mut candidates {
            candidate.score = scores
                .get(candidate.name())
                .map_or(0, |s| s.as_i64().expect("a score"));
        }
        sort(&mut candidates);
    }
    same("sorted", &names(&candidates), &typed(out, "/sorted"))?;
    match select(&spec, &placement, &candidates) {
        Ok((chosen, selection)) => {
            same("selected", &names(&chosen), &typed(out, "/selected"))?;
            let ours: BTreeMap<&str, Value> = selection
                .regions
                .iter()
                .map(|r| {
                    let shown = json!({"score": r.score, "availableReplicas": r.available});
                    (r.name.as_str(), shown)
                })
                .collect();
            let expected: BTreeMap<String, Value> = typed(out, "/regions");
            match selection.regions.is_empty() {
                true => Ok(()),
                false => same("regions", &json!(ours), &json!(expected)),
            }
        }
        Err(message) => same(
            "message",
            &message.as_str(),
            &out["message"].as_str().unwrap_or(""),
        ),
    }
}

fn names(candidates: &[Candidate<'_>]) -> Vec<String> {
    candidates.iter().map(|c| c.name().to_owned()).collect()
}
