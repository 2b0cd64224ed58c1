//! The summary of a decision's report that stands on the binding: small, for people without the
//! command line. The whole report is computed again when somebody asks.

use std::collections::BTreeMap;

use flotilla_policy::matching::{PolicyRef, Scope};
use serde::Serialize;

use super::Decided;

/// Longest summary.
const BYTES_MAX: usize = 4 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    policy: String,
    trigger: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    draining: Vec<String>,
    /// Clusters that do not fit, with the first reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rejected: BTreeMap<String, String>,
    /// Rejected clusters that are not listed here.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this signature"
)]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The summary, at most `BYTES_MAX` long.
pub(super) fn summary(policy: &PolicyRef, decided: &Decided) -> String {
    let policy = match policy.scope {
        Scope::Cluster => format!("ClusterPropagationPolicy {}", policy.name),
        Scope::Namespaced => format!("PropagationPolicy {}/{}", policy.namespace, policy.name),
    };
    let last = decided.report.attempts.last();
    let verdicts = last.into_iter().flat_map(|attempt| &attempt.verdicts);
    let rejected = verdicts.filter_map(|verdict| {
        let first = verdict.rejections.first()?;
        Some((verdict.cluster.clone(), first.text.clone().into_owned()))
    });
    let mut summary = Summary {
        policy,
        trigger: decided.report.trigger.to_string(),
        draining: decided.draining.clone(),
        rejected: rejected.collect(),
        more: 0,
    };
    loop {
        let text = serde_json::to_string(&summary).expect("a summary is texts and numbers");
        if text.len() <= BYTES_MAX || summary.rejected.pop_last().is_none() {
            return text.chars().take(BYTES_MAX).collect();
        }
        summary.more += 1;
    }
}
