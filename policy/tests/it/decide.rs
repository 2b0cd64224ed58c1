//! Matching and scheduling: what reports say to people, and what holds for any input.

mod arithmetic;
mod claims;
mod properties;
mod why_not;

use flotilla_policy::api::{BindingSpec, BindingStatus, Cluster, Placement};
use flotilla_policy::schedule::{Outcome, Report, ScheduleOptions, ScheduleView, schedule};
use serde_json::{Value, json};

pub(crate) fn mk<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a test writes valid objects")
}

/// A cluster that serves Deployments, with these fields of its spec.
pub(crate) fn mk_cluster(name: &str, spec: Value) -> Cluster {
    mk(json!({
        "metadata": {"name": name},
        "spec": spec,
        "status": {"apiEnablements": [
            {"groupVersion": "apps/v1", "resources": [{"name": "deployments", "kind": "Deployment"}]},
        ]},
    }))
}

/// The binding of a Deployment with these replicas and this placement.
pub(crate) fn mk_spec(replicas: i32, placement: Value) -> BindingSpec {
    mk(json!({
        "resource": {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "namespace": "default", "name": "web", "uid": "u-1",
        },
        "replicas": replicas,
        "placement": placement,
    }))
}

/// Decides a binding that was never decided.
pub(crate) fn decide(spec: &BindingSpec, clusters: &[Cluster]) -> (Outcome, Report) {
    decide_again(spec, &BindingStatus::default(), None, clusters)
}

/// Decides with all that a former decision left.
pub(crate) fn decide_again(
    spec: &BindingSpec,
    status: &BindingStatus,
    applied_placement: Option<&Placement>,
    clusters: &[Cluster],
) -> (Outcome, Report) {
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    decide_view(&ScheduleView {
        spec,
        status,
        applied_placement,
        clusters: &clusters,
        estimates: None,
        options: ScheduleOptions::default(),
    })
}

/// Decides, and checks every invariant.
pub(crate) fn decide_view(view: &ScheduleView<'_>) -> (Outcome, Report) {
    let (outcome, report) = schedule(view);
    let broken = flotilla_policy::check::schedule(view, &outcome, &report);
    assert_eq!(broken, [], "{outcome:?}\n{report}");
    (outcome, report)
}
