//! What the hub tells a cluster about a template: its share (replicas, completions, what to do about a
//! foreign object), and the template's body.
//!
//! Where a template goes is decided before (`schedule`), what it looks like there
//! afterwards (`render`), by the agent; so the hub may call this on its way to an agent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::BindingSpec;
use crate::model::manifest;

mod body;
mod completions;

pub(crate) use body::DOOR_METADATA;
pub use body::to_template_body;
pub use completions::job_completions;

/// What one cluster's share of a binding says to the renderer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Name of the cluster.
    pub cluster: String,
    /// Replicas there; none leaves the template's number.
    pub replicas: Option<i64>,
    /// Completions of a Job there, split on the hub; none leaves the template's number.
    pub completions: Option<i64>,
    /// The binding's choice; a valid annotation on the template wins.
    pub conflict: Conflict,
}

/// What happens when a member already holds a foreign object of that identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conflict {
    /// Leave it and report.
    #[default]
    Abort,
    /// Take it over.
    Overwrite,
}

impl Conflict {
    /// The text in the annotation `work.karmada.io/conflict-resolution`.
    #[must_use]
    pub fn to_mark(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Overwrite => "overwrite",
        }
    }

    /// From the text of the annotation; any other text is none.
    #[must_use]
    pub fn from_mark(text: &str) -> Option<Self> {
        [Self::Abort, Self::Overwrite]
            .into_iter()
            .find(|c| c.to_mark() == text)
    }
}

/// The assignments of a binding: its clusters, then those where other bindings need the template;
/// of two for one cluster the first counts. Of a Job's template `spec.completions` and
/// `metadata.uid` are looked at, of others nothing.
#[must_use]
pub fn assignments(spec: &BindingSpec, template: &Value) -> Vec<Assignment> {
    let required = spec.required_by.iter().flat_map(|r| &r.clusters);
    let mut seen = BTreeSet::new();
    let shares: Vec<(String, i64)> = spec
        .clusters
        .iter()
        .chain(required)
        .filter(|target| seen.insert(&target.name))
        .map(|target| (target.name.clone(), target.replicas.into()))
        .collect();
    let completions = split_completions(spec, template, &shares);
    let conflict = match spec.conflict_resolution.as_str() {
        "Overwrite" => Conflict::Overwrite,
        _ => Conflict::Abort,
    };
    shares
        .into_iter()
        .map(|(cluster, replicas)| Assignment {
            replicas: has_replicas(spec).then_some(replicas),
            completions: completions.get(&cluster).copied(),
            conflict,
            cluster,
        })
        .collect()
}

/// Whether the clusters' numbers count: a template scaled to nothing and without requirements looks
/// like one that has no replicas at all, and then keeps its own number everywhere.
fn has_replicas(spec: &BindingSpec) -> bool {
    spec.replicas > 0 || spec.replica_requirements.is_some() || !spec.components.is_empty()
}

/// Completions are divided where replicas are; a duplicated Job runs whole in each cluster.
fn split_completions(
    spec: &BindingSpec,
    template: &Value,
    shares: &[(String, i64)],
) -> BTreeMap<String, i64> {
    let scheduling = spec
        .placement
        .as_ref()
        .and_then(|p| p.replica_scheduling.as_ref());
    let divided = scheduling.is_some_and(|s| s.replica_scheduling_type == "Divided");
    let total = manifest::int(template, &["spec", "completions"]);
    match total {
        Some(total) if divided && spec.replicas > 0 && manifest::kind(template) == "Job" => {
            job_completions(total, shares, manifest::uid(template))
        }
        _ => BTreeMap::new(),
    }
}
