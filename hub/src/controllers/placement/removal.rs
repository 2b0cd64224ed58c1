//! A binding that is being deleted: what its clusters must remove is written down as a Removal, and
//! only when that was read back does our finalizer go.
//!
//! Evidence of a deletion is the binding's own deletion timestamp. When a template of that identity
//! exists whose predecessor's deletion the hub did not see, a backup was restored: no Removal.

use flotilla_policy::api::{RemovalEntry, RemovalSpec};
use flotilla_policy::model::marks;
use flotilla_proto::ids::WorkId;
use serde_json::json;

use super::Plan;
use super::draft::without_finalizer;
use crate::controllers::writes::Write;
use crate::durable::{self, Key};
use crate::front_door::binding::{Binding, Removed};
use crate::front_door::index::PlacementView;

pub(super) fn plan(view: &PlacementView, binding: &Binding) -> Plan {
    if !binding.is_held() {
        return Plan::default();
    }
    let uid = &binding.object.spec.resource.uid;
    let same = view.template.as_ref().map(|t| t.uid == *uid);
    let is_restored = same == Some(false) && !view.is_deletion_seen;
    let mut entries: Vec<RemovalEntry> = unsettled(view, binding).map(to_entry).collect();
    if !is_restored {
        entries.extend(targets(view, binding));
    }
    let write = if entries.is_empty() || view.removal.is_some() {
        without_finalizer(binding)
    } else {
        let is_approved = view.is_deletion_seen || same == Some(true);
        create(binding, entries, is_approved)
    };
    Plan {
        writes: vec![write],
        ..Plan::default()
    }
}

/// What the binding dropped earlier and nobody acknowledged.
pub(super) fn unsettled<'a>(
    view: &'a PlacementView,
    binding: &'a Binding,
) -> impl Iterator<Item = &'a Removed> {
    binding.removed.iter().filter(|r| {
        let pending = (r.cluster.clone(), r.work_id, r.made_at);
        !view.acknowledged.contains(&pending) && !view.detached.contains(&r.cluster)
    })
}

/// The revision that a removal decided now carries: not older than anything it was decided from.
pub(super) fn made_at(view: &PlacementView, binding: &Binding) -> u64 {
    view.revision.max(binding.revision)
}

/// The work of the binding in a cluster; none when the member never enrolled.
pub(super) fn work_in(view: &PlacementView, cluster: &str) -> Option<WorkId> {
    let uid = view.member_uids.get(cluster)?;
    let key = &view.key;
    Some(WorkId::new(
        &key.group,
        &key.kind,
        &key.namespace,
        &key.name,
        uid,
    ))
}

fn targets(view: &PlacementView, binding: &Binding) -> Vec<RemovalEntry> {
    let made_at = made_at(view, binding);
    let mut entries: Vec<RemovalEntry> = Vec::new();
    for target in binding.targets() {
        let name = &target.name;
        let is_known = entries.iter().any(|e| e.cluster == *name);
        if is_known || view.detached.contains(name) {
            continue;
        }
        if let Some(id) = work_in(view, name) {
            entries.push(RemovalEntry {
                cluster: name.clone(),
                work_id: id.to_string(),
                template_uid: binding.object.spec.resource.uid.clone(),
                made_at,
            });
        }
    }
    entries
}

pub(super) fn to_entry(removed: &Removed) -> RemovalEntry {
    RemovalEntry {
        cluster: removed.cluster.clone(),
        work_id: removed.work_id.to_string(),
        template_uid: removed.template_uid.clone(),
        made_at: removed.made_at,
    }
}

fn create(binding: &Binding, entries: Vec<RemovalEntry>, is_approved: bool) -> Write {
    let name = binding.object.metadata.uid.clone();
    let preserve = binding.object.spec.preserve_resources_on_deletion == Some(true);
    create_named(binding, &name, entries, (is_approved, preserve))
}

/// A Removal under a name, approved by a person or not, that leaves the members' objects or not.
pub(super) fn create_named(
    binding: &Binding,
    name: &str,
    entries: Vec<RemovalEntry>,
    (is_approved, preserve): (bool, bool),
) -> Write {
    let mut resource = binding.object.spec.resource.clone();
    resource.resource_version.clear();
    let spec = RemovalSpec {
        resource,
        preserve,
        predecessors: binding.predecessors.clone(),
        entries,
    };
    let mut metadata = json!({ "name": name });
    if is_approved {
        metadata["annotations"] = json!({ marks::APPROVED: "true" });
    }
    let object = json!({
        "apiVersion": durable::REMOVAL.api_version(),
        "kind": durable::REMOVAL.kind,
        "metadata": metadata,
        "spec": spec,
    });
    Write::Create(Key::global(durable::REMOVAL, name), object)
}
