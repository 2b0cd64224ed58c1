//! Objects as they are shared, and events that are encoded once per form.
//!
//! It decides what a stored value looks like to readers (its revision is in it), never which
//! reader gets it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::Value;

use crate::store::{Change, Entry, Revision, StoreError};

/// A stored object, decoded once and shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its key.
    pub key: Arc<str>,
    /// The object, with `metadata.resourceVersion` set to `revision`.
    pub value: Arc<Value>,
    /// Revision of the last write.
    pub revision: Revision,
    /// Revision at which it came to be.
    pub created: Revision,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// It came to be.
    Added,
    /// It changed.
    Modified,
    /// It went away.
    Deleted,
}

/// One event of one resource.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub ty: EventType,
    /// The object after it; of a deleted one the last state, with the revision of the deletion.
    pub object: Arc<Object>,
    /// The object before it; none = it was not there.
    pub previous: Option<Arc<Object>>,
    /// The revision of the event.
    pub revision: Revision,
    forms: Forms,
}

/// Encodings by the name of their form. Few forms are asked for, so a list beats a map.
#[derive(Debug, Default)]
struct Forms(Mutex<Vec<Form>>);

/// The name of a form and its bytes, once somebody asked.
type Form = (Arc<str>, Arc<OnceLock<Bytes>>);

impl Object {
    /// Decodes what the store holds.
    pub fn from_entry(entry: &Entry) -> Result<Self, StoreError> {
        Self::new(&entry.key, &entry.value, entry.revision, entry.created)
    }

    fn new(
        key: &Arc<str>,
        value: &Bytes,
        revision: Revision,
        created: Revision,
    ) -> Result<Self, StoreError> {
        let value = serde_json::from_slice(value)
            .map_err(|error| StoreError::Broken(format!("{key} is not JSON: {error}")))?;
        Ok(Self {
            key: Arc::clone(key),
            value: Arc::new(at(value, revision)),
            revision,
            created,
        })
    }

    /// The last state of an object that was deleted at `revision`.
    fn deleted(&self, revision: Revision) -> Self {
        Self {
            value: Arc::new(at(Value::clone(&self.value), revision)),
            revision,
            ..self.clone()
        }
    }
}

impl Event {
    /// The event of a change, over the object that stood there before.
    pub(super) fn of(change: &Change, previous: Option<Arc<Object>>) -> Result<Self, StoreError> {
        let (key, revision) = (&change.key, change.revision);
        let (ty, object) = match (&change.value, &previous) {
            (Some(value), None) => (
                EventType::Added,
                Object::new(key, value, revision, revision)?,
            ),
            (Some(value), Some(before)) => (
                EventType::Modified,
                Object::new(key, value, revision, before.created)?,
            ),
            (None, Some(before)) => (EventType::Deleted, before.deleted(revision)),
            (None, None) => {
                let text = format!("{key} was deleted at {revision} but was not there");
                return Err(StoreError::Broken(text));
            }
        };
        Ok(Self {
            ty,
            object: Arc::new(object),
            previous,
            revision,
            forms: Forms::default(),
        })
    }

    /// The bytes of this event in a form; `encode` runs once per form, whoever asks first.
    pub fn encoded(&self, form: &Arc<str>, encode: impl FnOnce() -> Bytes) -> Bytes {
        self.forms.slot(form).get_or_init(encode).clone()
    }
}

impl Forms {
    fn slot(&self, form: &Arc<str>) -> Arc<OnceLock<Bytes>> {
        let mut forms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms
            .iter()
            .find(|(name, _)| Arc::ptr_eq(name, form) || name == form);
        if let Some((_, slot)) = known {
            return Arc::clone(slot);
        }
        let slot = Arc::default();
        forms.push((Arc::clone(form), Arc::clone(&slot)));
        slot
    }
}

/// The value with its revision in it.
fn at(mut value: Value, revision: Revision) -> Value {
    if let Some(object) = value.as_object_mut() {
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("resourceVersion".into(), revision.to_string().into());
        }
    }
    value
}
