//! Rejects clusters that do not report the template's API as served. Clusters that already hold the
//! workload pass: a list that got shorter evicts nothing.

use std::borrow::Cow;

use crate::api::Cluster;
use crate::schedule::filter::FilterInput;
use crate::schedule::registry::FilterPlugin;
use crate::schedule::report::{Code, Rejection};

pub(in crate::schedule) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "APIEnablement",
    filter,
};

fn filter(input: &FilterInput<'_>, cluster: &Cluster) -> Option<Rejection> {
    if input.is_target(cluster) {
        return None;
    }
    let resource = &input.spec.resource;
    let served = cluster
        .status
        .api_enablements
        .iter()
        .filter(|api| api.group_version == resource.api_version)
        .flat_map(|api| &api.resources)
        .any(|served| served.kind == resource.kind);
    (!served).then_some(Rejection {
        plugin: Cow::Borrowed(PLUGIN.name),
        code: Code::ApiNotServed,
        text: Cow::Borrowed("cluster(s) did not have the API resource"),
    })
}
