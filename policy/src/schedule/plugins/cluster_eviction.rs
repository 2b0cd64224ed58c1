//! Rejects clusters that the workload is being moved away from, whatever the purge mode and even if
//! it still runs there.

use std::borrow::Cow;

use crate::api::Cluster;
use crate::schedule::filter::FilterInput;
use crate::schedule::registry::FilterPlugin;
use crate::schedule::report::{Code, Rejection};

pub(in crate::schedule) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "ClusterEviction",
    filter,
};

fn filter(input: &FilterInput<'_>, cluster: &Cluster) -> Option<Rejection> {
    let evicting = input
        .spec
        .graceful_eviction_tasks
        .iter()
        .any(|task| task.from_cluster == cluster.metadata.name);
    evicting.then_some(Rejection {
        plugin: Cow::Borrowed(PLUGIN.name),
        code: Code::Evicting,
        text: Cow::Borrowed("cluster(s) is in the process of eviction"),
    })
}
