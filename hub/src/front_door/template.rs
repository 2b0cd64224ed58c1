//! What the index keeps of a template: facts, and its body by digest. The object itself is not kept.
//!
//! Interprets replicas at ingest, so that no plan reads a manifest. Decides nothing.

use std::sync::Arc;

use flotilla_policy::api::ReplicaRequirements;
use flotilla_policy::assigning::to_template_body;
use flotilla_policy::interpret;
use flotilla_policy::model::{manifest, marks};
use serde_json::{Map, Value, json};

use super::binding::Binding;
use super::keys::{Gvk, TemplateKey, revision_of};
use crate::fleet::share::{Body, BodyStore};

/// Facts about one template.
#[derive(Clone, Debug)]
pub struct Template {
    /// Identity.
    pub key: TemplateKey,
    /// Kind, with the version it was read in.
    pub gvk: Gvk,
    /// `apiVersion`, `kind` and the metadata that decisions read; of a Job also `spec.completions`.
    pub head: Value,
    /// UID.
    pub uid: String,
    /// Generation; 0 for kinds without one.
    pub generation: i64,
    /// Generation at which this body was seen first. Marks move the generation of some kinds
    /// (annotations of a Deployment do), and must not deliver it again.
    pub body_generation: i64,
    /// Version of the stored object.
    pub resource_version: String,
    /// Its canonical body, or why there is none.
    pub body: Result<Arc<Body>, String>,
    /// Door revision at which body or UID changed last.
    pub body_revision: u64,
    /// Replicas; 0 for a kind without.
    pub replicas: i32,
    /// What one replica needs.
    pub requirements: Option<ReplicaRequirements>,
    /// Why its replicas cannot be read.
    pub trouble: Option<String>,
    /// Its status, to tell whether an aggregated one differs.
    pub status: Option<Value>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it went; facts stay while a binding points at it.
    pub gone: bool,
}

impl Template {
    /// Reads a template; `old` is what was known of it.
    #[must_use]
    pub fn read(gvk: &Gvk, object: &Value, bodies: &BodyStore, old: Option<&Self>) -> Self {
        let body = bodies
            .intern(&to_template_body(object))
            .map_err(|error| error.to_string());
        let (replicas, requirements, trouble) = match interpret::replicas(object) {
            Ok(Some(found)) => (
                i32::try_from(found.replicas).unwrap_or(i32::MAX),
                found.requirements,
                None,
            ),
            Ok(None) => (0, None, None),
            Err(error) => (0, None, Some(error.to_string())),
        };
        let generation = manifest::int(object, &["metadata", "generation"]).unwrap_or(0);
        let mut template = Self {
            key: TemplateKey::of(gvk, object),
            gvk: gvk.clone(),
            head: head(gvk, object),
            uid: manifest::uid(object).to_owned(),
            generation,
            body_generation: generation,
            resource_version: manifest::text(object, &["metadata", "resourceVersion"]).to_owned(),
            body,
            body_revision: revision_of(object),
            replicas,
            requirements,
            trouble,
            status: object.get("status").cloned(),
            deleting: manifest::get(object, &["metadata", "deletionTimestamp"]).is_some(),
            gone: false,
        };
        if let Some(old) = old.filter(|old| old.delivers_like(&template)) {
            template.body_revision = old.body_revision;
            template.body_generation = old.body_generation;
        }
        template
    }

    /// Whether agents get the same from both.
    #[must_use]
    pub fn delivers_like(&self, other: &Self) -> bool {
        let digest = |t: &Self| t.body.as_ref().map(|b| b.digest).ok();
        self.uid == other.uid
            && digest(self) == digest(other)
            && self.body.is_ok() == other.body.is_ok()
    }

    /// Whether placement decides the same for both.
    #[must_use]
    pub fn places_like(&self, other: &Self) -> bool {
        self.head == other.head
            && self.replicas == other.replicas
            && self.requirements == other.requirements
            && self.trouble == other.trouble
            && self.deleting == other.deleting
            && self.gone == other.gone
    }

    /// The generation that members are told, and that they report as the one they have. The binding
    /// remembers it for a hub that starts after its marks have moved the template's own.
    #[must_use]
    pub fn delivered_generation(&self, binding: &Binding) -> i64 {
        let noted = binding.object.metadata.annotations.get(marks::BODY);
        let noted = noted.and_then(|text| text.split_once('@'));
        match (noted, &self.body) {
            (Some((digest, generation)), Ok(body)) if digest == body.digest.to_string() => {
                generation.parse().unwrap_or(self.body_generation)
            }
            _ => self.body_generation,
        }
    }

    /// What a binding remembers for `delivered_generation`; none without a body.
    #[must_use]
    pub fn to_body_note(&self) -> Option<String> {
        let body = self.body.as_ref().ok()?;
        Some(format!("{}@{}", body.digest, self.body_generation))
    }

    /// The template as interpreters want it: its body with its identity, its status, and the
    /// generation that members know it by.
    #[must_use]
    pub fn to_object(&self, generation: i64) -> Option<Value> {
        let body = self.body.as_ref().ok()?;
        let raw = flotilla_proto::convert::body::decompress(&body.compressed, body.digest).ok()?;
        let mut object: Value = serde_json::from_slice(&raw).ok()?;
        let metadata = manifest::map_mut(&mut object, &["metadata"]);
        metadata.insert("uid".to_owned(), json!(self.uid));
        if generation > 0 {
            metadata.insert("generation".to_owned(), json!(generation));
        }
        if let Some(status) = &self.status {
            manifest::map_mut(&mut object, &[]).insert("status".to_owned(), status.clone());
        }
        Some(object)
    }
}

/// The generation is left out: that it moved is no reason to place anew.
fn head(gvk: &Gvk, object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "labels", "annotations"] {
        if let Some(value) = manifest::get(object, &["metadata", field]) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    // kubectl's copy of the whole object would double what the index holds.
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let mut head = json!({
        "apiVersion": gvk.api_version(),
        "kind": gvk.kind,
        "metadata": metadata,
    });
    if let Some(completions) = manifest::get(object, &["spec", "completions"])
        && gvk.kind == "Job"
    {
        head["spec"] = json!({ "completions": completions });
    }
    head
}
