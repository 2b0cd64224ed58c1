//! What the agent remembers: records of works and marks of the stream, durable in Secrets of the
//! member, and bodies, which are cached on the node and kept in the member as well.
//!
//! The member's API holds the truth, so that any node can go on. Everything is read once, at start.
//! One task writes, in order; a write that another leader made first ends this leader.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::member::{At, Class, Kind, MemberApi, MemberError, Precondition, Write, version_of};
use flotilla_policy::model::manifest;

pub mod bodies;
pub mod cache;
pub mod pages;
pub mod records;
pub mod state;

/// Label of every Secret of the ledger; its value says what is in it.
pub const PART: &str = "fleet.flotilla.dev/ledger";

/// Why something could not be remembered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another leader has written: this one must stop.
    #[error("another agent leads this member now (its fence is {fence})")]
    NotLeader {
        /// The other one's fence.
        fence: u64,
    },
    /// The member's API did not do it; it may be tried again.
    #[error("the ledger in the member cannot be written")]
    Member(#[from] MemberError),
    /// What is stored cannot be read.
    #[error("{name} in the member cannot be read: {what}")]
    Damaged {
        /// Name of the Secret.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One Secret as last read or written.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Its entries, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
    /// UID; empty when it is not there.
    pub uid: String,
    /// Version; empty when it is not there.
    pub version: String,
}

impl Stored {
    /// From an object.
    #[must_use]
    pub fn from_object(object: &Value) -> Self {
        let entries = object["data"].as_object().into_iter().flatten();
        let data = entries
            .filter_map(|(name, text)| Some((name.clone(), STANDARD.decode(text.as_str()?).ok()?)))
            .collect();
        Self {
            data,
            uid: manifest::uid(object).to_owned(),
            version: version_of(object).to_owned(),
        }
    }

    /// An entry as text, or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        let bytes = self.data.get(name).map_or(&[][..], Vec::as_slice);
        std::str::from_utf8(bytes).unwrap_or("")
    }
}

/// Secrets of the agent's namespace: read, and written by compare-and-swap.
#[derive(Clone)]
pub struct Secrets {
    member: std::sync::Arc<dyn MemberApi>,
    namespace: String,
}

impl Secrets {
    /// In a namespace of the member.
    #[must_use]
    pub fn new(member: std::sync::Arc<dyn MemberApi>, namespace: &str) -> Self {
        Self {
            member,
            namespace: namespace.to_owned(),
        }
    }

    fn at(&self, name: &str) -> At {
        At::new(Kind::secret(), &self.namespace, name)
    }

    /// Reads a Secret; one that is not there is empty.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn read(&self, name: &str) -> Result<Stored, MemberError> {
        let found = self.member.get(&self.at(name)).await?;
        Ok(found.as_ref().map(Stored::from_object).unwrap_or_default())
    }

    /// All Secrets of the ledger, by name.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn read_all(&self) -> Result<BTreeMap<String, Stored>, MemberError> {
        let kind = Kind::secret();
        let found = self.member.list(&kind, &self.namespace, PART, 0).await?;
        Ok(found
            .iter()
            .map(|o| (manifest::name(o).to_owned(), Stored::from_object(o)))
            .collect())
    }

    /// Writes a Secret that has the version last seen: creates it when there was none.
    ///
    /// # Errors
    /// `Conflict` or `Exists` when somebody wrote in between.
    pub async fn swap(
        &self,
        name: &str,
        part: &str,
        stored: &mut Stored,
        data: BTreeMap<String, Vec<u8>>,
    ) -> Result<(), MemberError> {
        let at = self.at(name);
        let encoded: serde_json::Map<String, Value> = data
            .iter()
            .map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes).into()))
            .collect();
        let mut object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "fleet.flotilla.dev/agent",
            "metadata": {
                "name": name, "namespace": self.namespace, "labels": {PART: part},
            },
            "data": encoded,
        });
        let made = if stored.version.is_empty() {
            match self.member.create(&at, &object).await {
                Err(e) if e.class == Class::NamespaceMissing => {
                    self.make_namespace().await?;
                    self.member.create(&at, &object).await
                }
                other => other,
            }
        } else {
            object["metadata"]["resourceVersion"] = stored.version.clone().into();
            object["metadata"]["uid"] = stored.uid.clone().into();
            self.member.write(&at, &object, Write::Replace).await
        }?;
        *stored = Stored {
            data,
            uid: manifest::uid(&made).to_owned(),
            version: version_of(&made).to_owned(),
        };
        Ok(())
    }

    async fn make_namespace(&self) -> Result<(), MemberError> {
        let at = At::new(Kind::namespace(), "", &self.namespace);
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace},
        });
        match self.member.create(&at, &object).await {
            Err(e) if e.class != Class::Exists => Err(e),
            _ => Ok(()),
        }
    }

    /// Deletes a Secret that has the version last seen; one that is gone or changed is left.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn delete(&self, name: &str, stored: &Stored) -> Result<(), MemberError> {
        let only = Precondition {
            uid: stored.uid.clone(),
            resource_version: stored.version.clone(),
        };
        match self.member.delete(&self.at(name), &only).await {
            Err(e) if e.class != Class::Conflict => Err(e),
            _ => Ok(()),
        }
    }
}
