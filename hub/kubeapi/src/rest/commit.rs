//! The last step of every write: the store, and what the engine itself must learn of it.
//!
//! Rights change with the write that changes them, before it is acknowledged.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::definitions::is_definition;
use super::{Engine, broken, key, meta};
use crate::auth::rbac::GROUP;
use crate::cacher::{List, Object};
use crate::error::Status;
use crate::kinds::Kind;
use crate::store::{Operation, StoreError, Write, WriteError};

/// How a write ended.
pub(super) enum Committed {
    /// Stored; the object with its new version.
    Done(Value),
    /// Another write came first.
    Lost,
}

impl Engine {
    /// Stores an object over the one that was seen, or takes it away (`new` = its last state), and
    /// does what follows from that.
    pub(super) async fn commit(
        &self,
        kind: &Kind,
        live: Option<&Object>,
        new: Value,
        gone: bool,
    ) -> Result<Committed, Status> {
        let committed = self.write(kind, live, new, gone).await?;
        if let Committed::Done(object) = &committed {
            if is_definition(kind) {
                self.settle(object, gone).await?;
            } else if kind.custom && gone {
                self.settle_owner(kind).await?;
            }
        }
        Ok(committed)
    }

    /// The write itself.
    pub(super) async fn write(
        &self,
        kind: &Kind,
        live: Option<&Object>,
        mut new: Value,
        gone: bool,
    ) -> Result<Committed, Status> {
        meta::set(&mut new, "resourceVersion", None);
        let key = key(
            kind,
            meta::text(&new, "namespace"),
            meta::text(&new, "name"),
        );
        let operation = if gone {
            Operation::Delete
        } else {
            let bytes =
                serde_json::to_vec(&new).map_err(|error| Status::internal(error.to_string()))?;
            Operation::Put(Bytes::from(bytes))
        };
        let write = Write {
            key: Arc::from(key),
            expected: live.map_or(0, |live| live.revision),
            operation,
            lazy: false,
            sealed: kind.group.is_empty() && kind.plural == "secrets",
        };
        let revision = match self.cachers.store().write(write).await {
            Ok(revision) => revision,
            Err(WriteError::Conflict(_)) => return Ok(Committed::Lost),
            Err(WriteError::Store(error)) => return Err(broken(error)),
        };
        meta::set(
            &mut new,
            "resourceVersion",
            Some(Value::String(revision.to_string())),
        );
        if kind.group == GROUP {
            self.rbac.update(|index| {
                if gone {
                    index.remove(&new);
                } else {
                    index.insert(&new);
                }
            });
        }
        Ok(Committed::Done(new))
    }

    /// Takes the stored roles and bindings in.
    pub(super) fn load_rights(&self) -> Result<(), StoreError> {
        for kind in self.table().values().filter(|kind| kind.group == GROUP) {
            let cacher = self.cachers.resource(&super::prefix(kind))?;
            let listing = cacher.list(List::default())?;
            self.rbac.update(|index| {
                for object in listing.values() {
                    index.insert(object);
                }
            });
        }
        Ok(())
    }
}
