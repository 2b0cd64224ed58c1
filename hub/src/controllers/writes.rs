//! The writes that plans consist of, and the one place where they are made.
//!
//! Every write is to one object. A template is only ever patched (its claim marks, its status); what
//! the hub owns is created and replaced by compare-and-swap.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::durable::{self, Durable, DurableError};
use crate::front_door::keys::{BindingKey, Gvk, Source, TemplateKey, revision_of};

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Creates an object.
    Create(durable::Key, Value),
    /// Replaces an object of this version.
    Replace(durable::Key, Value),
    /// Replaces the status of an object of this version.
    ReplaceStatus(durable::Key, Value),
    /// Deletes an object of this UID and version.
    Delete {
        /// The object.
        key: durable::Key,
        /// Its UID.
        uid: String,
        /// Its version.
        resource_version: String,
    },
    /// Merges into a template.
    Patch {
        /// Its kind.
        gvk: Gvk,
        /// The template.
        key: TemplateKey,
        /// Whether the status subresource is meant.
        status: bool,
        /// The merge patch.
        patch: Value,
    },
    /// Tells people.
    Note(Note),
}

/// An event for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Kind of the object it is about.
    pub gvk: Gvk,
    /// The object.
    pub key: TemplateKey,
    /// Its UID.
    pub uid: String,
    /// Whether it is bad news.
    pub is_warning: bool,
    /// CamelCase reason.
    pub reason: &'static str,
    /// Text.
    pub message: String,
}

/// Templates and events at the front door: what is patched or told, never owned.
pub trait TemplateDoor: Send + Sync {
    /// Merges into a template or its status.
    fn patch<'a>(
        &'a self,
        gvk: &'a Gvk,
        key: &'a TemplateKey,
        status: bool,
        patch: &'a Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>>;

    /// Tells people.
    fn note<'a>(&'a self, note: &'a Note) -> BoxFuture<'a, Result<(), DurableError>>;
}

/// What a write left behind: its watch brings it back at this revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The watch.
    pub source: Source,
    /// The revision.
    pub revision: u64,
}

/// Makes writes.
#[derive(Clone)]
pub struct Writer {
    durable: Arc<dyn Durable>,
    templates: Arc<dyn TemplateDoor>,
}

impl Writer {
    /// Over the two ways to the front door.
    #[must_use]
    pub fn new(durable: Arc<dyn Durable>, templates: Arc<dyn TemplateDoor>) -> Self {
        Self { durable, templates }
    }

    /// Makes one write.
    ///
    /// # Errors
    /// When the front door refuses or does not answer.
    pub async fn make(&self, write: &Write) -> Result<Option<Written>, DurableError> {
        let durable = self.durable.as_ref();
        let (key, stored) = match write {
            Write::Create(key, object) => (key, durable.create(key, object.clone()).await?),
            Write::Replace(key, object) => (key, durable.replace(key, object.clone()).await?),
            Write::ReplaceStatus(key, object) => {
                (key, durable.replace_status(key, object.clone()).await?)
            }
            Write::Delete {
                key,
                uid,
                resource_version,
            } => {
                durable.delete(key, uid, resource_version).await?;
                return Ok(None);
            }
            Write::Patch {
                gvk,
                key,
                status,
                patch,
            } => {
                let patched = self.templates.patch(gvk, key, *status, patch).await;
                return Ok(aside(patched)?.map(|stored| Written {
                    source: Source::Templates(gvk.clone()),
                    revision: revision_of(&stored),
                }));
            }
            Write::Note(note) => {
                aside(self.templates.note(note).await)?;
                return Ok(None);
            }
        };
        Ok(source_of(key).map(|source| Written {
            source,
            revision: revision_of(&stored),
        }))
    }
}

/// What only tells people may be refused (a role that may not be marked, a template that went): it is
/// not tried again before something changes.
fn aside<T>(result: Result<T, DurableError>) -> Result<Option<T>, DurableError> {
    match result {
        Err(DurableError::Refused {
            kind,
            name,
            reason,
            code,
        }) => {
            tracing::debug!(
                kind,
                name,
                reason,
                code,
                "left without marks, status or event"
            );
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn source_of(key: &durable::Key) -> Option<Source> {
    match key.kind {
        durable::RESOURCE_BINDING | durable::CLUSTER_RESOURCE_BINDING => {
            let binding = BindingKey {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
            };
            Some(binding.source())
        }
        durable::CLUSTER => Some(Source::Clusters),
        durable::ENROLMENT => Some(Source::Enrolments),
        durable::REMOVAL => Some(Source::Removals),
        _ => None,
    }
}
