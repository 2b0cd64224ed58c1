//! Objects and lists in the form that a client asked for: whole, as metadata, or as a table.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Call;
use crate::error::Status;
use crate::http::accept::Shape;
use crate::kinds::Kind;
use crate::schema::structural;
use crate::table::{self, Include};

/// How objects of a kind are shown.
#[derive(Debug, Clone)]
pub(super) struct Form {
    kind: Arc<Kind>,
    stored: Option<Arc<Kind>>,
    shape: Shape,
    include: Include,
}

/// What stands in the metadata of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct ListMeta {
    /// The version of the list.
    pub(super) revision: u64,
    /// Where the next page starts; empty = this is the last one.
    pub(super) token: String,
    /// How many objects follow, when that is known.
    pub(super) remaining: Option<usize>,
}

/// One object in the form of a call.
pub(super) fn one(call: &Call, object: &Value) -> Result<Value, Status> {
    Ok(Form::of(call)?.one(object))
}

impl Form {
    /// The form that a call asks for.
    pub(super) fn of(call: &Call) -> Result<Self, Status> {
        let include = match call.shape {
            Shape::Table(_) => Include::from_query(call.query.get("includeObject"))?,
            _ => Include::default(),
        };
        Ok(Self {
            kind: Arc::clone(&call.kind),
            stored: call.stored.clone(),
            shape: call.shape,
            include,
        })
    }

    /// A name for caches: equal names give equal bytes.
    pub(super) fn name(&self) -> String {
        let version = self.kind.api_version();
        format!("{version} {:?} {:?}", self.shape, self.include)
    }

    /// Tables tell their columns once in a watch.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.shape, Shape::Table(_))
    }

    /// One object.
    pub(super) fn one(&self, object: &Value) -> Value {
        match self.shape {
            Shape::Metadata(version) => partial(object, version),
            Shape::Table(version) => {
                let version_of = object["metadata"]["resourceVersion"].clone();
                let meta = json!({"resourceVersion": version_of});
                table::of(&self.kind, &[object], (version, self.include), meta)
            }
            Shape::Object | Shape::Discovery(_) => self.whole(object),
        }
    }

    /// A row without columns.
    pub(super) fn without_columns(mut shown: Value) -> Value {
        shown["columnDefinitions"] = Value::Null;
        shown
    }

    /// A list.
    pub(super) fn list(&self, objects: &[&Value], meta: &ListMeta) -> Value {
        let mut metadata = meta.to_json();
        if self.kind.custom && self.shape == Shape::Object && meta.token.is_empty() {
            // Lists of custom objects show it even when there is no next page.
            metadata["continue"] = json!("");
        }
        match self.shape {
            Shape::Table(version) => {
                table::of(&self.kind, objects, (version, self.include), metadata)
            }
            Shape::Metadata(version) => {
                let items: Vec<_> = objects.iter().map(|one| partial(one, version)).collect();
                let api_version = format!("meta.k8s.io/{version}");
                json!({"kind": "PartialObjectMetadataList", "apiVersion": api_version,
                    "metadata": metadata, "items": items})
            }
            Shape::Object | Shape::Discovery(_) => {
                let items: Vec<_> = objects.iter().map(|one| self.item(one)).collect();
                json!({"kind": self.kind.list_kind, "apiVersion": self.kind.api_version(),
                    "metadata": metadata, "items": items})
            }
        }
    }

    /// A bookmark: an object of the kind with a version only.
    pub(super) fn bookmark(&self, revision: u64, ends_initial: bool) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".into(), json!(revision.to_string()));
        if ends_initial {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            metadata.insert("annotations".into(), annotations);
        }
        let object = json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": metadata});
        self.one(&object)
    }

    fn whole(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if let Some(row) = &self.stored {
            structural::default(row.schema(), &mut object);
        }
        object["apiVersion"] = json!(self.kind.api_version());
        object["kind"] = json!(self.kind.kind);
        object
    }

    /// Items of built-in lists do not repeat their kind.
    fn item(&self, object: &Value) -> Value {
        if self.kind.custom {
            return self.whole(object);
        }
        let mut object = object.clone();
        if let Some(object) = object.as_object_mut() {
            object.remove("apiVersion");
            object.remove("kind");
        }
        object
    }
}

impl ListMeta {
    fn to_json(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".into(), json!(self.revision.to_string()));
        if !self.token.is_empty() {
            metadata.insert("continue".into(), json!(self.token));
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".into(), json!(remaining));
        }
        Value::Object(metadata)
    }
}

/// The metadata alone.
pub(crate) fn partial(object: &Value, version: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"]})
}
