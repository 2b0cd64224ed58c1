//! A binding being written: what is to stand in it, compared with what stands.
//!
//! Keeps the rule that dropping a cluster and remembering to delete there are one write, and that a
//! write which changes nothing is not made.

use std::collections::BTreeSet;

use flotilla_policy::api::{
    BindingSpec, ObjectMeta, OwnerReference, ResourceBinding, TargetCluster,
};
use flotilla_policy::matching::{ClaimMarks, no_claim_marks};
use flotilla_policy::model::{manifest, marks};
use flotilla_policy::schedule::Outcome;
use flotilla_proto::digest::Digest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::removal::{create_named, made_at, to_entry, unsettled, work_in};
use crate::controllers::writes::Write;
use crate::front_door::binding::{Binding, Removed};
use crate::front_door::index::{PlacementView, is_draining};
use crate::front_door::keys::{BindingKey, TemplateKey};
use crate::front_door::template::Template;

/// Dropped clusters that stand on the binding: together they stay below what annotations may hold.
/// What is beyond goes into a Removal that is written first.
const REMOVED_MAX: usize = 700;
/// Longest name of an object.
const NAME_BYTES_MAX: usize = 253;

/// Names a binding of the template may have, best first: Karmada's, and one that tells API groups
/// apart where Karmada's is taken.
#[must_use]
pub fn binding_names(key: &TemplateKey) -> Vec<String> {
    let plain = format!("{}-{}", key.name, key.kind)
        .to_lowercase()
        .replace(':', ".");
    let identity = [&key.group, &key.kind, &key.name].map(String::as_str);
    let hash = Digest::of(identity.join("\0").as_bytes()).to_string();
    let suffix = &hash[..8];
    let longest = NAME_BYTES_MAX - suffix.len() - 1;
    let mut stem = plain.clone();
    while stem.len() > longest || stem.ends_with(['.', '-']) {
        stem.pop();
    }
    let told_apart = format!("{stem}-{suffix}");
    if plain.len() > NAME_BYTES_MAX {
        vec![told_apart]
    } else {
        vec![plain, told_apart]
    }
}

/// Marks of an object that no policy holds.
pub(super) fn no_marks() -> ClaimMarks {
    no_claim_marks()
}

/// A binding being written.
pub(super) struct Draft {
    key: BindingKey,
    object: ResourceBinding,
    standing: Option<ResourceBinding>,
    removed: Vec<Removed>,
    standing_removed: Vec<Removed>,
    why: Option<String>,
    body: Option<String>,
    is_renamed: bool,
    must_renew: bool,
    overflow: Option<Write>,
}

impl Draft {
    /// The binding as it stands, without what was acknowledged or detached.
    pub(super) fn of(view: &PlacementView, binding: &Binding) -> Self {
        let mut draft = Self {
            key: binding.key.clone(),
            object: binding.object.clone(),
            standing: Some(binding.object.clone()),
            removed: unsettled(view, binding).cloned().collect(),
            standing_removed: binding.removed.clone(),
            why: None,
            body: None,
            is_renamed: binding_names(&view.key).first() != Some(&binding.key.name),
            must_renew: false,
            overflow: None,
        };
        let clusters = draft.object.spec.clusters.clone();
        draft.set_clusters(view, clusters);
        draft
    }

    /// The template's binding, or a new one.
    pub(super) fn for_template(view: &PlacementView, template: &Template) -> Self {
        if let Some(binding) = view.binding.as_deref() {
            let mut draft = Self::of(view, binding);
            draft.must_renew = view.is_stale;
            draft.body = template.to_body_note();
            if !binding.is_held() {
                let finalizers = &mut draft.object.metadata.finalizers;
                finalizers.push(marks::REMOVAL_FINALIZER.to_owned());
            }
            return draft;
        }
        let names = binding_names(&template.key);
        let free = names.iter().find(|name| !view.taken.contains(*name));
        let name = free.or(names.last()).cloned().unwrap_or_default();
        let key = BindingKey {
            namespace: template.key.namespace.clone(),
            name,
        };
        Self {
            is_renamed: names.first() != Some(&key.name),
            object: new_object(&key, template, &view.predecessors),
            key,
            standing: None,
            removed: Vec::new(),
            standing_removed: Vec::new(),
            why: None,
            body: template.to_body_note(),
            must_renew: false,
            overflow: None,
        }
    }

    pub(super) fn key(&self) -> &BindingKey {
        &self.key
    }

    pub(super) fn object(&self) -> &ResourceBinding {
        &self.object
    }

    pub(super) fn spec(&self) -> &BindingSpec {
        &self.object.spec
    }

    pub(super) fn is_renamed(&self) -> bool {
        self.is_renamed
    }

    /// Sets a spec; the template's version alone is no difference.
    pub(super) fn set_spec(&mut self, spec: &BindingSpec) {
        let mut spec = spec.clone();
        let version = spec.resource.resource_version.clone();
        spec.resource
            .resource_version
            .clone_from(&self.object.spec.resource.resource_version);
        if spec != self.object.spec {
            spec.resource.resource_version = version;
            self.object.spec = spec;
        }
    }

    /// Sets claim marks; says whether that changed anything.
    pub(super) fn set_marks(&mut self, claim: &ClaimMarks) -> bool {
        let metadata = &mut self.object.metadata;
        let before = (metadata.labels.clone(), metadata.annotations.clone());
        metadata
            .labels
            .retain(|k, _| !claim.strip_labels.contains(&k.as_str()));
        metadata
            .annotations
            .retain(|k, _| !claim.strip_annotations.contains(&k.as_str()));
        metadata.labels.extend(claim.labels.clone());
        metadata.annotations.extend(claim.annotations.clone());
        before != (metadata.labels.clone(), metadata.annotations.clone())
    }

    pub(super) fn set_label(&mut self, key: &str, value: &str) {
        let labels = &mut self.object.metadata.labels;
        labels.insert(key.to_owned(), value.to_owned());
    }

    pub(super) fn set_why(&mut self, why: String) {
        self.why = Some(why);
    }

    /// Takes the outcome of scheduling over.
    pub(super) fn settle(&mut self, view: &PlacementView, outcome: &Outcome) {
        let clusters = match outcome {
            Outcome::Decided { clusters, .. } => clusters.clone(),
            Outcome::NoFit { .. } => Vec::new(),
            _ => return,
        };
        self.set_clusters(view, clusters);
        if let Some(placement) = &self.object.spec.placement {
            let text = serde_json::to_string(placement).expect("a placement is JSON");
            let notes = &mut self.object.metadata.annotations;
            notes.insert(marks::APPLIED_PLACEMENT.to_owned(), text);
        }
    }

    /// Sets the clusters. One that is left is remembered until it acknowledges; one that comes back
    /// is not removed any more; a detached one is left alone.
    pub(super) fn set_clusters(&mut self, view: &PlacementView, clusters: Vec<TargetCluster>) {
        let draining: BTreeSet<&str> = view
            .clusters
            .iter()
            .filter(|c| is_draining(c))
            .map(|c| c.metadata.name.as_str())
            .collect();
        self.object.spec.clusters = clusters
            .into_iter()
            .filter(|c| !draining.contains(c.name.as_str()) && !view.detached.contains(&c.name))
            .collect();
        let required = self
            .object
            .spec
            .required_by
            .iter()
            .flat_map(|r| &r.clusters);
        let now: BTreeSet<String> = self
            .object
            .spec
            .clusters
            .iter()
            .chain(required)
            .map(|t| t.name.clone())
            .collect();
        self.removed.retain(|r| !now.contains(&r.cluster));
        let Some(binding) = view.binding.as_deref() else {
            return;
        };
        for target in binding.targets() {
            let name = &target.name;
            let is_known = now.contains(name) || self.removed.iter().any(|r| r.cluster == *name);
            if is_known || view.detached.contains(name) {
                continue;
            }
            let is_drained = draining.contains(name.as_str());
            if let Some(work_id) = work_in(view, name) {
                self.removed.push(Removed {
                    cluster: name.clone(),
                    work_id,
                    template_uid: binding.object.spec.resource.uid.clone(),
                    made_at: made_at(view, binding),
                    reason: if is_drained { "Drained" } else { "NotPlaced" }.to_owned(),
                    preserve: binding.object.spec.preserve_resources_on_deletion == Some(true),
                    approved: is_drained,
                });
            }
        }
        self.removed.sort();
        self.spill(view, binding);
    }

    /// Moves what an annotation cannot hold into a Removal.
    fn spill(&mut self, view: &PlacementView, binding: &Binding) {
        if self.removed.len() <= REMOVED_MAX {
            return;
        }
        let spilled = self.removed.split_off(REMOVED_MAX);
        let name = format!("{}-{}", binding.object.metadata.uid, made_at(view, binding));
        let is_approved = spilled.iter().all(|r| r.approved);
        let preserve = spilled.iter().all(|r| r.preserve);
        let entries = spilled.iter().map(to_entry).collect();
        let create = create_named(binding, &name, entries, (is_approved, preserve));
        self.overflow = Some(create);
    }

    /// Whether a write would do nothing but strike acknowledgements.
    pub(super) fn is_strike_only(&self) -> bool {
        let Some(standing) = &self.standing else {
            return false;
        };
        !self.must_renew
            && self.overflow.is_none()
            && self.object.spec == standing.spec
            && same_metadata(&self.object.metadata, &standing.metadata)
            && self.removed != self.standing_removed
    }

    /// The writes that make it stand; none when it stands already. The term is that of a decision:
    /// a write that only strikes acknowledgements keeps the one that stands.
    pub(super) fn write(&self, term: Option<u64>) -> Vec<Write> {
        let mut object = self.object.clone();
        let is_decision = match &self.standing {
            None => true,
            Some(standing) => {
                self.must_renew
                    || object.spec != standing.spec
                    || !same_metadata(&object.metadata, &standing.metadata)
            }
        };
        if !is_decision && self.removed == self.standing_removed {
            return Vec::new();
        }
        let notes = &mut object.metadata.annotations;
        if self.removed.is_empty() {
            notes.remove(marks::REMOVED);
        } else {
            let text = serde_json::to_string(&self.removed).expect("entries are texts and numbers");
            notes.insert(marks::REMOVED.to_owned(), text);
        }
        if let Some(term) = term.filter(|_| is_decision) {
            notes.insert(marks::TERM.to_owned(), term.to_string());
        }
        if let Some(body) = self.body.as_ref().filter(|_| is_decision) {
            notes.insert(marks::BODY.to_owned(), body.clone());
        }
        if let Some(why) = self.why.as_ref().filter(|_| is_decision) {
            notes.insert(marks::WHY.to_owned(), why.clone());
        }
        let value = serde_json::to_value(&object).expect("a binding is JSON");
        let key = self.key.door_key();
        let write = match self.standing {
            None => Write::Create(key, value),
            Some(_) => Write::Replace(key, value),
        };
        self.overflow.iter().cloned().chain([write]).collect()
    }
}

/// The binding without our finalizer.
pub(super) fn without_finalizer(binding: &Binding) -> Write {
    let mut object = binding.object.clone();
    let finalizers = &mut object.metadata.finalizers;
    finalizers.retain(|f| f != marks::REMOVAL_FINALIZER);
    let value = serde_json::to_value(&object).expect("a binding is JSON");
    Write::Replace(binding.key.door_key(), value)
}

fn same_metadata(a: &ObjectMeta, b: &ObjectMeta) -> bool {
    a.labels == b.labels && a.annotations == b.annotations && a.finalizers == b.finalizers
}

fn new_object(key: &BindingKey, template: &Template, predecessors: &[String]) -> ResourceBinding {
    let kind = key.kind();
    let mut object = ResourceBinding {
        api_version: kind.api_version(),
        kind: kind.kind.to_owned(),
        ..ResourceBinding::default()
    };
    let label = if key.namespace.is_empty() {
        marks::CLUSTER_BINDING_ID
    } else {
        marks::BINDING_ID
    };
    // From the template's UID: the same template gets the same id again, and no chance is needed.
    let id = Uuid::new_v5(
        &Uuid::NAMESPACE_OID,
        format!("{key}\0{}", template.uid).as_bytes(),
    );
    object.metadata = ObjectMeta {
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        labels: [(label.to_owned(), id.to_string())].into(),
        finalizers: vec![marks::REMOVAL_FINALIZER.to_owned()],
        owner_references: vec![OwnerReference {
            api_version: template.gvk.api_version(),
            kind: template.key.kind.clone(),
            name: template.key.name.clone(),
            uid: template.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }],
        ..ObjectMeta::default()
    };
    let others: Vec<&String> = predecessors
        .iter()
        .filter(|u| **u != template.uid)
        .collect();
    if !others.is_empty() {
        let text = serde_json::to_string(&others).expect("UIDs are texts");
        let notes = &mut object.metadata.annotations;
        notes.insert(marks::PREDECESSORS.to_owned(), text);
    }
    object.spec.resource = super::spec::reference(template);
    object
}

/// The patch that makes a template carry the marks; none when it does.
pub(super) fn template_patch(template: &Template, claim: &ClaimMarks) -> Option<Write> {
    if template.deleting {
        return None;
    }
    let head = &template.head;
    let diff = |have: &flotilla_policy::api::StringMap,
                want: &flotilla_policy::api::StringMap,
                strip: &[&str]| {
        let set = want.iter().filter(|(k, v)| have.get(*k) != Some(v));
        let set = set.map(|(k, v)| (k.clone(), Value::String(v.clone())));
        let strip = strip.iter().filter(|k| have.contains_key(**k));
        set.chain(strip.map(|k| ((*k).to_owned(), Value::Null)))
            .collect::<Map<String, Value>>()
    };
    let labels = diff(&manifest::labels(head), &claim.labels, claim.strip_labels);
    let annotations = diff(
        &manifest::annotations(head),
        &claim.annotations,
        claim.strip_annotations,
    );
    let mut metadata = Map::new();
    for (name, map) in [("labels", labels), ("annotations", annotations)] {
        if !map.is_empty() {
            metadata.insert(name.to_owned(), Value::Object(map));
        }
    }
    if metadata.is_empty() {
        return None;
    }
    // Not that of another object under this name.
    metadata.insert("uid".to_owned(), json!(template.uid));
    Some(Write::Patch {
        gvk: template.gvk.clone(),
        key: template.key.clone(),
        status: false,
        patch: json!({ "metadata": metadata }),
    })
}
