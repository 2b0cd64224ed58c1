//! Rejects clusters that lack a property (provider, region, zones) which the placement spreads by.

use std::borrow::Cow;

use crate::api::Cluster;
use crate::schedule::filter::FilterInput;
use crate::schedule::registry::FilterPlugin;
use crate::schedule::report::{Code, Rejection};

pub(in crate::schedule) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "SpreadConstraint",
    filter,
};

fn filter(input: &FilterInput<'_>, cluster: &Cluster) -> Option<Rejection> {
    let constraints = &input.placement.spread_constraints;
    let text = constraints
        .iter()
        .find_map(|constraint| missing(&constraint.spread_by_field, cluster))?;
    Some(Rejection {
        plugin: Cow::Borrowed(PLUGIN.name),
        code: Code::PropertyMissing,
        text: Cow::Borrowed(text),
    })
}

fn missing(field: &str, cluster: &Cluster) -> Option<&'static str> {
    let spec = &cluster.spec;
    match field {
        "provider" if spec.provider.is_empty() => Some("cluster(s) did not have provider property"),
        "region" if spec.region.is_empty() => Some("cluster(s) did not have region property"),
        "zone" if spec.zones.is_empty() => Some("cluster(s) did not have zones property"),
        _ => None,
    }
}
