//! What selectors match: labels, clusters, resources. Semantics are Karmada's: an invalid label
//! selector matches nothing, an empty one everything, `exclude` wins over names.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest;
use crate::api::{
    Cluster, ClusterAffinity, FieldSelector, LabelSelector, Requirement, ResourceSelector,
    StringMap,
};

/// Whether the labels satisfy the selector. An invalid requirement matches nothing.
#[must_use]
pub fn labels_match(selector: &LabelSelector, labels: &StringMap) -> bool {
    selector
        .match_labels
        .iter()
        .all(|(k, v)| labels.get(k) == Some(v))
        && selector
            .match_expressions
            .iter()
            .all(|r| requirement_matches(r, labels.get(&r.key).map(String::as_str)))
}

fn requirement_matches(requirement: &Requirement, value: Option<&str>) -> bool {
    let listed = |v: &str| requirement.values.iter().any(|x| x == v);
    match requirement.operator.as_str() {
        "In" if !requirement.values.is_empty() => value.is_some_and(listed),
        "NotIn" if !requirement.values.is_empty() => !value.is_some_and(listed),
        "Exists" if requirement.values.is_empty() => value.is_some(),
        "DoesNotExist" if requirement.values.is_empty() => value.is_none(),
        _ => false,
    }
}

/// Whether the cluster's provider, region and zones satisfy the selector.
#[must_use]
pub fn fields_match(selector: &FieldSelector, cluster: &Cluster) -> bool {
    selector
        .match_expressions
        .iter()
        .all(|r| match r.key.as_str() {
            "zone" => zones_match(r, &cluster.spec.zones),
            "provider" => requirement_matches(r, non_empty(&cluster.spec.provider)),
            "region" => requirement_matches(r, non_empty(&cluster.spec.region)),
            _ => requirement_matches(r, None),
        })
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn zones_match(requirement: &Requirement, zones: &[String]) -> bool {
    let overlap = zones.iter().any(|z| requirement.values.contains(z));
    match requirement.operator.as_str() {
        "In" => overlap,
        "NotIn" => !overlap,
        "Exists" => !zones.is_empty(),
        "DoesNotExist" => zones.is_empty(),
        _ => false,
    }
}

/// Whether the affinity accepts the cluster.
#[must_use]
pub fn cluster_matches(affinity: &ClusterAffinity, cluster: &Cluster) -> bool {
    let name = &cluster.metadata.name;
    !affinity.exclude_clusters.contains(name)
        && affinity
            .label_selector
            .as_ref()
            .is_none_or(|s| labels_match(s, &cluster.metadata.labels))
        && affinity
            .field_selector
            .as_ref()
            .is_none_or(|s| fields_match(s, cluster))
        && (affinity.cluster_names.is_empty() || affinity.cluster_names.contains(name))
}

/// How exactly a selector names an object: a name beats labels, labels beat a kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Exactness {
    /// By kind only.
    Kind,
    /// By labels.
    Labels,
    /// By name.
    Name,
}

impl fmt::Display for Exactness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Labels => "labels",
            Self::Name => "name",
        })
    }
}

/// Whether and how exactly the selector matches the object.
#[must_use]
pub fn resource_matches(selector: &ResourceSelector, object: &Value) -> Option<Exactness> {
    let identity = selector.api_version == manifest::api_version(object)
        && selector.kind == manifest::kind(object)
        && (selector.namespace.is_empty() || selector.namespace == manifest::namespace(object));
    if !identity {
        return None;
    }
    if !selector.name.is_empty() {
        return (selector.name == manifest::name(object)).then_some(Exactness::Name);
    }
    match &selector.label_selector {
        None => Some(Exactness::Kind),
        Some(labels) => {
            labels_match(labels, &manifest::labels(object)).then_some(Exactness::Labels)
        }
    }
}
