//! Names of what the index holds: kinds, templates, bindings, policies, and the watch each came from.
//!
//! Parses texts of the API once, so that no bare text travels further. Decides nothing.

use std::fmt;

use flotilla_policy::api::ObjectReference;
use flotilla_policy::model::manifest;
use serde_json::Value;

use crate::durable::{self, Kind};

/// A kind of templates as a policy or a binding names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind.
    pub kind: String,
}

impl Gvk {
    /// From an `apiVersion` and a kind.
    #[must_use]
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// `group/version`, or `version` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The kind of Namespaces.
    #[must_use]
    pub fn namespace() -> Self {
        Self::new("v1", "Namespace")
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// Identity of a template. Its version is no part of it: two versions show one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for a cluster-scoped template.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl TemplateKey {
    /// The key of an object of a kind.
    #[must_use]
    pub fn of(gvk: &Gvk, object: &Value) -> Self {
        Self {
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            namespace: manifest::namespace(object).to_owned(),
            name: manifest::name(object).to_owned(),
        }
    }

    /// The key of the template a binding points at.
    #[must_use]
    pub fn from_reference(reference: &ObjectReference) -> Self {
        Self {
            group: manifest::group_of(&reference.api_version).to_owned(),
            kind: reference.kind.clone(),
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
        }
    }

    /// The key of a Namespace.
    #[must_use]
    pub fn of_namespace(name: &str) -> Self {
        Self {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
        }
    }

    /// Whether it is a Namespace.
    #[must_use]
    pub fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.kind == "Namespace"
    }
}

impl fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
            ..
        } = self;
        write!(f, "{kind} {namespace}/{name}")
    }
}

/// Identity of a binding; without a namespace it is a ClusterResourceBinding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingKey {
    /// Namespace; empty for a cluster-scoped one.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl BindingKey {
    /// The key of a binding object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        Self {
            namespace: manifest::namespace(object).to_owned(),
            name: manifest::name(object).to_owned(),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.namespace.is_empty() {
            durable::CLUSTER_RESOURCE_BINDING
        } else {
            durable::RESOURCE_BINDING
        }
    }

    /// Where the watch of its kind stands in the index.
    #[must_use]
    pub fn source(&self) -> Source {
        if self.namespace.is_empty() {
            Source::ClusterBindings
        } else {
            Source::Bindings
        }
    }

    /// Its place at the front door.
    #[must_use]
    pub fn door_key(&self) -> durable::Key {
        durable::Key::namespaced(self.kind(), &self.namespace, &self.name)
    }
}

impl fmt::Display for BindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Identity of a propagation or override policy; without a namespace it is the cluster-scoped kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Namespace; empty for the cluster-scoped kind.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A watch that feeds the index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Clusters.
    Clusters,
    /// Enrolments.
    Enrolments,
    /// PropagationPolicies.
    Policies,
    /// ClusterPropagationPolicies.
    ClusterPolicies,
    /// OverridePolicies.
    Overrides,
    /// ClusterOverridePolicies.
    ClusterOverrides,
    /// ResourceBindings.
    Bindings,
    /// ClusterResourceBindings.
    ClusterBindings,
    /// Removals.
    Removals,
    /// The EpochList.
    Epochs,
    /// Templates of a kind.
    Templates(Gvk),
}

impl Source {
    /// Those that are always watched.
    #[must_use]
    pub fn fixed() -> [Self; 10] {
        [
            Self::Clusters,
            Self::Enrolments,
            Self::Policies,
            Self::ClusterPolicies,
            Self::Overrides,
            Self::ClusterOverrides,
            Self::Bindings,
            Self::ClusterBindings,
            Self::Removals,
            Self::Epochs,
        ]
    }

    /// Group and kind of a fixed one in the list of kinds; none for templates.
    #[must_use]
    pub fn kind(&self) -> Option<(&'static str, &'static str)> {
        const POLICY: &str = "policy.karmada.io";
        const WORK: &str = "work.karmada.io";
        const FLEET: &str = "fleet.flotilla.dev";
        Some(match self {
            Self::Clusters => ("cluster.karmada.io", "Cluster"),
            Self::Enrolments => (FLEET, "Enrolment"),
            Self::Policies => (POLICY, "PropagationPolicy"),
            Self::ClusterPolicies => (POLICY, "ClusterPropagationPolicy"),
            Self::Overrides => (POLICY, "OverridePolicy"),
            Self::ClusterOverrides => (POLICY, "ClusterOverridePolicy"),
            Self::Bindings => (WORK, "ResourceBinding"),
            Self::ClusterBindings => (WORK, "ClusterResourceBinding"),
            Self::Removals => (FLEET, "Removal"),
            Self::Epochs => (FLEET, "EpochList"),
            Self::Templates(_) => return None,
        })
    }
}

/// The door revision of an object; 0 when it has none.
#[must_use]
pub fn revision_of(object: &Value) -> u64 {
    manifest::text(object, &["metadata", "resourceVersion"])
        .parse()
        .unwrap_or(0)
}
