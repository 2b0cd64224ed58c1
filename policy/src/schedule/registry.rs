//! The filters in the order in which they are asked. The order matters to people: the first reason
//! against a cluster is the one that the Scheduled condition counts.

use super::filter::FilterInput;
use super::plugins;
use super::report::Rejection;
use crate::api::Cluster;

/// One filter.
#[derive(Clone, Copy, Debug)]
pub struct FilterPlugin {
    /// Name, as reports show it.
    pub name: &'static str,
    pub(super) filter: fn(&FilterInput<'_>, &Cluster) -> Option<Rejection>,
}

/// All filters.
pub static FILTERS: &[FilterPlugin] = &[
    plugins::cluster_affinity::PLUGIN,
    plugins::cluster_eviction::PLUGIN,
    plugins::taint_toleration::PLUGIN,
    plugins::api_enablement::PLUGIN,
    plugins::spread_constraint::PLUGIN,
];
