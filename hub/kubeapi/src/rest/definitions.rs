//! Custom kinds: what follows from a write of a CustomResourceDefinition.
//!
//! It happens before the write is answered: names are looked at, the definition is established, its
//! kinds are in the table. When a definition goes, its objects go first.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::commit::Committed;
use super::{Call, Engine, Table, address, broken, key, meta, prefix};
use crate::apply::keep_times;
use crate::auth::refuse;
use crate::cacher::{List, Object};
use crate::error::Status;
use crate::kinds::Kind;
use crate::kinds::custom::{self, custom as custom_kinds};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const TRIES: usize = 64;

/// The row of definitions, and one of them.
type Found = (Arc<Kind>, Arc<Object>);

/// The row of definitions.
pub(super) fn is_definition(kind: &Kind) -> bool {
    kind.group == GROUP && kind.plural == PLURAL
}

impl Engine {
    /// Takes all established definitions into the table.
    pub(super) fn load_definitions(&self) -> Result<(), Status> {
        for definition in self.definitions()? {
            self.learn(&definition);
        }
        Ok(())
    }

    /// Does what follows from a definition that was written or is gone.
    pub(super) async fn settle(&self, definition: &Value, gone: bool) -> Result<(), Status> {
        if gone {
            self.forget(definition);
            return Ok(());
        }
        if meta::is_deleting(definition) {
            return self.clean(definition).await;
        }
        let name = meta::text(definition, "name");
        for _ in 0..TRIES {
            let Some((row, live)) = self.definition(name)? else {
                return Ok(());
            };
            let all = self.definitions()?;
            let group = &live.value["spec"]["group"];
            let others: Vec<&Value> = all
                .iter()
                .map(|other| &**other)
                .filter(|other| other["spec"]["group"] == *group)
                .collect();
            let mut settled = Value::clone(&live.value);
            settled["status"] = custom::accept_names(&live.value, &others, &meta::now());
            settled = self.owned_by_server(&row, &live.value, settled);
            keep_times(&live.value, &mut settled);
            if meta::same(&settled, &live.value) {
                self.learn(&settled);
                return Ok(());
            }
            if let Committed::Done(settled) = self.write(&row, Some(&live), settled, false).await? {
                self.learn(&settled);
                return Ok(());
            }
        }
        Err(Status::internal(
            "a definition changes too often to be established",
        ))
    }

    /// An object of a custom kind is gone: its definition may wait for that.
    pub(super) async fn settle_owner(&self, kind: &Kind) -> Result<(), Status> {
        let name = format!("{}.{}", kind.plural, kind.group);
        match self.definition(&name)? {
            Some((_, live)) if meta::is_deleting(&live.value) => self.clean(&live.value).await,
            _ => Ok(()),
        }
    }

    /// Takes the objects of a definition away, then the definition.
    async fn clean(&self, definition: &Value) -> Result<(), Status> {
        if !meta::finalizers(definition).contains(&CLEANUP) {
            return Ok(());
        }
        let rows = custom_kinds(definition)?;
        if let Some(kind) = rows.first() {
            let cacher = self.cacher(kind)?;
            for object in cacher.list(List::default()).map_err(broken)?.objects {
                let mut marked = Value::clone(&object.value);
                let held = !meta::finalizers(&marked).is_empty();
                if held && meta::is_deleting(&marked) {
                    continue;
                }
                if held {
                    meta::set(&mut marked, "deletionTimestamp", Some(json!(meta::now())));
                    meta::set(&mut marked, "deletionGracePeriodSeconds", Some(json!(0)));
                }
                self.write(kind, Some(&object), marked, !held).await?;
            }
            let left = cacher.list(List::default()).map_err(broken)?;
            if !left.objects.is_empty() {
                return Ok(());
            }
        }
        let name = meta::text(definition, "name");
        for _ in 0..TRIES {
            let Some((row, live)) = self.definition(name)? else {
                return Ok(());
            };
            let mut finalizers = meta::finalizers(&live.value);
            finalizers.retain(|finalizer| *finalizer != CLEANUP);
            let mut last = Value::clone(&live.value);
            meta::set_finalizers(&mut last, &finalizers);
            let gone = finalizers.is_empty();
            if let Committed::Done(last) = self.write(&row, Some(&live), last, gone).await? {
                if gone {
                    self.forget(&last);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// A definition that goes gets no new objects.
    pub(super) fn check_definition(&self, call: &Call, object: &Value) -> Result<(), Status> {
        let kind = &call.kind;
        if !kind.custom {
            return Ok(());
        }
        let definition = self.definition(&format!("{}.{}", kind.plural, kind.group))?;
        if definition.is_none_or(|(_, live)| !meta::is_deleting(&live.value)) {
            return Ok(());
        }
        let name = meta::text(object, "name");
        let why = "create not allowed while custom resource definition is terminating";
        Err(refuse(&kind.group, &kind.plural, name, why))
    }

    fn definition(&self, name: &str) -> Result<Option<Found>, Status> {
        let row = self.definition_row()?;
        let live = self
            .cacher(&row)?
            .get(&key(&row, "", name))
            .map_err(broken)?;
        Ok(live.map(|live| (row, live)))
    }

    fn definitions(&self) -> Result<Vec<Arc<Value>>, Status> {
        let row = self.definition_row()?;
        let listing = self.cacher(&row)?.list(List::default()).map_err(broken)?;
        Ok(listing.values().cloned().collect())
    }

    fn definition_row(&self) -> Result<Arc<Kind>, Status> {
        self.row(GROUP, "v1", PLURAL)
            .ok_or_else(|| Status::internal("there is no kind of definitions"))
    }

    /// Puts the kinds of an established definition into the table, and takes older ones out.
    fn learn(&self, definition: &Value) {
        let rows = if custom::is_established(definition) {
            custom_kinds(definition).unwrap_or_default()
        } else {
            Vec::new()
        };
        self.table.rcu(|table| {
            let mut table = without(table, definition);
            for kind in &rows {
                table.insert(address(kind), Arc::clone(kind));
            }
            table
        });
        if let Some(kind) = stored_row(definition) {
            let key = (kind.group.clone(), kind.plural.clone());
            self.stored.rcu(|stored| {
                let mut stored = BTreeMap::clone(stored);
                stored.insert(key.clone(), Arc::clone(&kind));
                stored
            });
        }
    }

    fn forget(&self, definition: &Value) {
        self.table.rcu(|table| without(table, definition));
        if let Some(kind) = custom_kinds(definition).unwrap_or_default().first() {
            self.cachers.remove(&prefix(kind));
        }
    }
}

/// Marks a definition as going: its objects go before it.
pub(super) fn mark(definition: &mut Value) {
    let mut finalizers = meta::finalizers(definition);
    if !finalizers.contains(&CLEANUP) {
        finalizers.push(CLEANUP);
        let finalizers: Vec<String> = finalizers.into_iter().map(str::to_owned).collect();
        let finalizers: Vec<&str> = finalizers.iter().map(String::as_str).collect();
        meta::set_finalizers(definition, &finalizers);
    }
    meta::set(definition, "deletionGracePeriodSeconds", None);
    let condition = json!({"type": "Terminating", "status": "True",
        "reason": "InstanceDeletionPending", "lastTransitionTime": meta::now(),
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"});
    if let Some(conditions) = definition["status"]["conditions"].as_array_mut() {
        conditions.push(condition);
    }
}

/// The row of the version that is stored, whether it is served or not.
fn stored_row(definition: &Value) -> Option<Arc<Kind>> {
    let mut definition = definition.clone();
    let versions = definition["spec"]["versions"].as_array_mut()?;
    versions.retain(|version| version["storage"] == true);
    versions
        .iter_mut()
        .for_each(|version| version["served"] = json!(true));
    custom_kinds(&definition).ok()?.into_iter().next()
}

/// The table without the kinds of a definition.
fn without(table: &Table, definition: &Value) -> Table {
    let mut table = table.clone();
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let plural = definition["spec"]["names"]["plural"]
        .as_str()
        .unwrap_or_default();
    table.retain(|_, kind| !(kind.custom && kind.group == group && kind.plural == plural));
    table
}
