//! Removals: acknowledged entries are struck, and the last one takes the object along.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_policy::model::marks;
use flotilla_proto::ids::WorkId;
use serde_json::json;

use super::driver::{Controller, Moment, Planned};
use super::writes::Write;
use crate::durable::{self, Key};
use crate::fleet::reports::Reports;
use crate::front_door::binding::RemovalFacts;
use crate::front_door::index::Index;

/// Acknowledgements of many clusters come together; one write strikes them all.
const GATHER: Duration = Duration::from_millis(50);

/// The controller of Removals; it also takes acknowledgements in for bindings.
pub struct Removals {
    index: Arc<Index>,
    reports: Arc<Reports>,
}

impl Removals {
    /// Over the index and what agents report.
    #[must_use]
    pub fn new(index: Arc<Index>, reports: Arc<Reports>) -> Self {
        Self { index, reports }
    }
}

impl Controller for Removals {
    type Key = String;
    const NAME: &'static str = "removals";

    fn take(&self) -> BTreeSet<String> {
        let settled = self.reports.take_settled();
        if !settled.is_empty() {
            self.index.settle(settled);
        }
        self.index.take_removals()
    }

    fn plan(&self, name: &String, moment: &Moment) -> Planned {
        let Some(removal) = self.index.removal(name) else {
            return Planned::Nothing;
        };
        let settled = self.index.settled_entries(&removal);
        let mut left = removal.spec.clone();
        left.entries.retain(|entry| {
            // What has no work id can never be acknowledged.
            WorkId::parse(&entry.work_id)
                .is_some_and(|id| !settled.contains(&(entry.cluster.clone(), id, entry.made_at)))
        });
        if left.entries.is_empty() {
            // While the binding is there, its Removal is what lets it go.
            return match self.index.is_binding_there(&removal) {
                true => Planned::Nothing,
                false => Planned::Write(vec![delete(&removal)]),
            };
        }
        if left.entries.len() == removal.spec.entries.len() {
            return Planned::Nothing;
        }
        if moment.waited < GATHER {
            return Planned::Later(GATHER - moment.waited);
        }
        Planned::Write(vec![replace(&removal, &left)])
    }
}

fn delete(removal: &RemovalFacts) -> Write {
    Write::Delete {
        key: Key::global(durable::REMOVAL, &removal.name),
        uid: removal.uid.clone(),
        resource_version: removal.resource_version.clone(),
    }
}

fn replace(removal: &RemovalFacts, spec: &flotilla_policy::api::RemovalSpec) -> Write {
    let mut metadata = json!({
        "name": removal.name,
        "uid": removal.uid,
        "resourceVersion": removal.resource_version,
    });
    if removal.approved {
        metadata["annotations"] = json!({ marks::APPROVED: "true" });
    }
    let object = json!({
        "apiVersion": durable::REMOVAL.api_version(),
        "kind": durable::REMOVAL.kind,
        "metadata": metadata,
        "spec": spec,
    });
    Write::Replace(Key::global(durable::REMOVAL, &removal.name), object)
}
