//! Judge of pruning, with and without the time after which a Job goes.

use flotilla_policy::render::prune::{prune, prune_kept_ttl};
use serde_json::Value;

use super::outcome::compare;
use super::{Rule, check};

const RULES: &[Rule] = &[
    Rule {
        name: "adjacent token secrets",
        reason: "Karmada's loop steps over the entry after a removed one; stale tokens stay behind",
        applies: |input| {
            let object = &input["object"];
            let prefix = format!(
                "{}-token-",
                object["metadata"]["name"].as_str().unwrap_or("")
            );
            let generated = |s: &Value| s["name"].as_str().is_some_and(|n| n.starts_with(&prefix));
            object["kind"] == "ServiceAccount"
                && object["secrets"].as_array().is_some_and(|secrets| {
                    secrets.windows(2).any(|pair| pair.iter().all(generated))
                })
        },
    },
    Rule {
        name: "impossible types",
        reason: "no API server stores them; pruning needs no second opinion on types",
        applies: |input| {
            let object = &input["object"];
            let labels = object["spec"]["selector"]["matchLabels"].as_object();
            object["kind"] == "Job" && labels.is_some_and(|l| l.values().any(|v| !v.is_string()))
                || object["kind"] == "ServiceAccount" && object["secrets"][0].is_string()
        },
    },
];

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let mut object = input["object"].clone();
    if input["removeJobTTLSeconds"] == true {
        prune(&mut object);
    } else {
        prune_kept_ttl(&mut object);
    }
    compare(Ok(object), out.get("object"))
}

#[test]
fn prune_vectors() {
    check(
        "prune",
        include_bytes!("../../vectors/prune.jsonl.gz"),
        RULES,
        judge,
    );
}
