//! Rejects clusters with a NoSchedule or NoExecute taint that the placement does not tolerate.
//! Clusters that already hold the workload pass: a new taint keeps others out, it does not evict.

use std::borrow::Cow;

use crate::api::{Cluster, Taint, Toleration};
use crate::schedule::filter::FilterInput;
use crate::schedule::registry::FilterPlugin;
use crate::schedule::report::{Code, Rejection};

pub(in crate::schedule) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "TaintToleration",
    filter,
};

fn filter(input: &FilterInput<'_>, cluster: &Cluster) -> Option<Rejection> {
    if input.is_target(cluster) {
        return None;
    }
    let tolerations = &input.placement.cluster_tolerations;
    let taint = cluster
        .spec
        .taints
        .iter()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))?;
    Some(Rejection {
        plugin: Cow::Borrowed(PLUGIN.name),
        code: Code::UntoleratedTaint,
        text: Cow::Owned(format!(
            "cluster(s) had untolerated taint {{{}}}",
            taint_text(taint)
        )),
    })
}

/// An empty key or effect of a toleration means any. `Lt` and `Gt` never tolerate.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let in_reach = (toleration.effect.is_empty() || toleration.effect == taint.effect)
        && (toleration.key.is_empty() || toleration.key == taint.key);
    in_reach
        && match toleration.operator.as_str() {
            "" | "Equal" => toleration.value == taint.value,
            "Exists" => true,
            _ => false,
        }
}

fn taint_text(taint: &Taint) -> String {
    let Taint {
        key, value, effect, ..
    } = taint;
    match value.as_str() {
        "" => format!("{key}:{effect}"),
        value => format!("{key}={value}:{effect}"),
    }
}
