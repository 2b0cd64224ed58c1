//! What the index keeps of a binding, and the text form of the clusters it has dropped.
//!
//! A binding is read with today's defaults, whoever wrote it. Decides nothing.

use flotilla_policy::api::{
    self, Placement, RemovalSpec, ResourceBinding, TargetCluster, registry,
};
use flotilla_policy::matching::{ClaimRef, claim_of};
use flotilla_policy::model::marks;
use flotilla_proto::ids::WorkId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys::{BindingKey, TemplateKey, revision_of};

/// A cluster that a binding dropped and that has not acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// The cluster.
    pub cluster: String,
    /// The work there.
    pub work_id: WorkId,
    /// UID of the template it was made from.
    pub template_uid: String,
    /// Door revision of the decision.
    pub made_at: u64,
    /// CamelCase reason.
    pub reason: String,
    /// Leave the object, take our marks off it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preserve: bool,
    /// Whether a person asked for exactly this, so that no brake holds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
}

/// Facts about one binding.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Identity.
    pub key: BindingKey,
    /// The object.
    pub object: ResourceBinding,
    /// What it points at.
    pub template: TemplateKey,
    /// Clusters dropped and not acknowledged.
    pub removed: Vec<Removed>,
    /// UIDs of earlier templates of that name whose deletion no hub saw, oldest first.
    pub predecessors: Vec<String>,
    /// Term of the hub that decided; none for another writer.
    pub term: Option<u64>,
    /// The placement it was decided for.
    pub applied_placement: Option<Placement>,
    /// Door revision of the stored object.
    pub revision: u64,
    /// Door revision at which the decision changed last, as far as this hub has seen.
    pub decision_revision: u64,
}

/// A binding that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{namespace}/{name} cannot be read")]
pub struct BindingError {
    namespace: String,
    name: String,
    #[source]
    source: serde_json::Error,
}

impl Binding {
    /// Reads a binding; `old` is what was known of it.
    ///
    /// # Errors
    /// When it is no binding, or its list of dropped clusters is broken.
    pub fn read(object: Value, old: Option<&Self>) -> Result<Self, BindingError> {
        let key = BindingKey::of(&object);
        let revision = revision_of(&object);
        let fail = |source| BindingError {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            source,
        };
        let kind = key.kind();
        let object = match registry::find(kind.group, kind.kind) {
            Some(info) => api::normalise(info, object),
            None => object,
        };
        let object: ResourceBinding = serde_json::from_value(object).map_err(fail)?;
        let notes = &object.metadata.annotations;
        let removed = notes.get(marks::REMOVED).map_or(Ok(Vec::new()), |text| {
            serde_json::from_str(text).map_err(fail)
        })?;
        // Without it a removal is held for a person, which is safe.
        let predecessors = notes.get(marks::PREDECESSORS);
        let predecessors = predecessors.and_then(|text| serde_json::from_str(text).ok());
        let placement = notes.get(marks::APPLIED_PLACEMENT);
        let mut binding = Self {
            template: TemplateKey::from_reference(&object.spec.resource),
            removed,
            predecessors: predecessors.unwrap_or_default(),
            term: notes.get(marks::TERM).and_then(|text| text.parse().ok()),
            applied_placement: placement.and_then(|text| serde_json::from_str(text).ok()),
            revision,
            decision_revision: revision,
            key,
            object,
        };
        if let Some(old) = old.filter(|old| old.decides_like(&binding)) {
            binding.decision_revision = old.decision_revision;
        }
        Ok(binding)
    }

    /// Whether both hold the same decision.
    #[must_use]
    pub fn decides_like(&self, other: &Self) -> bool {
        self.object.metadata.uid == other.object.metadata.uid
            && self.object.spec == other.object.spec
            && self.term == other.term
    }

    /// Whether it is being deleted.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.object.metadata.is_deleting()
    }

    /// Whether our finalizer holds it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let finalizers = &self.object.metadata.finalizers;
        finalizers.iter().any(|f| f == marks::REMOVAL_FINALIZER)
    }

    /// Whether it goes when its template does.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        let uid = &self.object.spec.resource.uid;
        let owners = &self.object.metadata.owner_references;
        owners.iter().any(|owner| owner.uid == *uid)
    }

    /// The claim its marks tell.
    #[must_use]
    pub fn claim(&self) -> Option<ClaimRef> {
        let metadata = &self.object.metadata;
        claim_of(&metadata.labels, &metadata.annotations)
    }

    /// Its clusters, and those where other bindings need the template.
    pub fn targets(&self) -> impl Iterator<Item = &TargetCluster> {
        let required = self.object.spec.required_by.iter();
        let required = required.flat_map(|r| &r.clusters);
        self.object.spec.clusters.iter().chain(required)
    }

    /// Whether the template is in the cluster because of it, or is still to be removed there.
    #[must_use]
    pub fn touches(&self, cluster: &str) -> bool {
        self.targets().any(|t| t.name == cluster)
            || self.removed.iter().any(|r| r.cluster == cluster)
    }
}

/// A Removal as the index keeps it.
#[derive(Clone, Debug)]
pub struct RemovalFacts {
    /// Name: the UID of the binding that went.
    pub name: String,
    /// What goes, and where from.
    pub spec: RemovalSpec,
    /// Whether a person asked for it.
    pub approved: bool,
    /// UID of the object.
    pub uid: String,
    /// Version of the stored object.
    pub resource_version: String,
}
