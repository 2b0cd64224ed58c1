//! Deletions that clusters have not acknowledged: from bindings that dropped a cluster, and from
//! Removals of bindings that went. Struck only when the front door shows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_policy::api::Removal;
use flotilla_policy::model::marks;
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;

use super::{Context, State};
use crate::fleet::reports::Settled;
use crate::fleet::share::PendingRemoval;
use crate::front_door::binding::{Binding, RemovalFacts, Removed};
use crate::front_door::keys::{BindingKey, TemplateKey};

/// What an acknowledgement names.
pub(super) type Pending = (String, WorkId, u64);

/// Who remembers a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// A binding that dropped the cluster.
    Binding(BindingKey),
    /// The Removal of this name.
    Removal(String),
}

impl State {
    /// Brings the shares in line with a binding's list of dropped clusters.
    pub(super) fn set_removed(
        &mut self,
        ctx: &Context<'_>,
        key: &BindingKey,
        old: Option<&Binding>,
        new: &Binding,
    ) {
        let resource = &new.object.spec.resource;
        for removed in &new.removed {
            let pending = (removed.cluster.clone(), removed.work_id, removed.made_at);
            self.pending.insert(pending, Keeper::Binding(key.clone()));
            let cluster = Context::name(&removed.cluster);
            ctx.shares.set_removal(
                &cluster,
                PendingRemoval {
                    id: removed.work_id,
                    template_uid: removed.template_uid.clone(),
                    predecessors: new.predecessors.clone(),
                    made_at: removed.made_at,
                    reason: removed.reason.clone(),
                    preserve: removed.preserve,
                    object: resource.into(),
                    derived: !removed.approved,
                },
            );
        }
        if let Some(old) = old {
            self.strike_removed(ctx, old, &new.removed);
        }
    }

    /// Strikes what a binding remembered and does not any more.
    pub(super) fn strike_removed(&mut self, ctx: &Context<'_>, old: &Binding, kept: &[Removed]) {
        for removed in &old.removed {
            let is_kept = |k: &Removed| {
                (&k.cluster, k.work_id, k.made_at)
                    == (&removed.cluster, removed.work_id, removed.made_at)
            };
            if !kept.iter().any(is_kept) {
                let pending = (removed.cluster.clone(), removed.work_id, removed.made_at);
                self.strike(ctx, pending, &Keeper::Binding(old.key.clone()));
            }
        }
    }

    /// A removal that another keeper took over stays.
    fn strike(&mut self, ctx: &Context<'_>, pending: Pending, keeper: &Keeper) {
        if self.pending.get(&pending) != Some(keeper) {
            return;
        }
        self.pending.remove(&pending);
        self.acknowledged.remove(&pending);
        let (cluster, id, made_at) = pending;
        ctx.shares.strike(&Context::name(&cluster), id, made_at);
        self.dirty.clusters.insert(cluster);
    }

    pub(super) fn apply_removal(&mut self, ctx: &Context<'_>, removal: Option<Removal>) {
        let Some(removal) = removal else { return };
        let approved = removal.metadata.annotations.get(marks::APPROVED);
        let facts = Arc::new(RemovalFacts {
            name: removal.metadata.name.clone(),
            approved: approved.is_some_and(|text| text == "true"),
            uid: removal.metadata.uid.clone(),
            resource_version: removal.metadata.resource_version.clone(),
            spec: removal.spec,
        });
        let old = self.removals.insert(facts.name.clone(), Arc::clone(&facts));
        let object = v1::ObjectRef::from(&facts.spec.resource);
        for entry in &facts.spec.entries {
            let Some(id) = WorkId::parse(&entry.work_id) else {
                tracing::warn!(removal = facts.name, "an entry has no work id");
                continue;
            };
            let pending = (entry.cluster.clone(), id, entry.made_at);
            self.pending
                .insert(pending, Keeper::Removal(facts.name.clone()));
            ctx.shares.set_removal(
                &Context::name(&entry.cluster),
                PendingRemoval {
                    id,
                    template_uid: entry.template_uid.clone(),
                    predecessors: facts.spec.predecessors.clone(),
                    made_at: entry.made_at,
                    reason: "TemplateDeleted".to_owned(),
                    preserve: facts.spec.preserve,
                    object: object.clone(),
                    derived: !facts.approved,
                },
            );
            self.dirty.clusters.insert(entry.cluster.clone());
        }
        self.unassign_removed(ctx, &facts);
        if let Some(old) = old {
            self.strike_entries(ctx, &old, &facts);
        }
        self.touch_removal(&facts);
    }

    /// A binding that goes is in no share any more, so that nothing is said anew about a work whose
    /// removal a cluster acknowledged before the binding went.
    fn unassign_removed(&mut self, ctx: &Context<'_>, removal: &RemovalFacts) {
        let template = TemplateKey::from_reference(&removal.spec.resource);
        let Some(key) = self.binding_of.get(&template).cloned() else {
            return;
        };
        let binding = self.bindings.get(&key);
        if binding.is_some_and(|b| b.is_deleting() && b.object.metadata.uid == removal.name) {
            self.unassign(ctx, &key, &BTreeSet::new());
        }
    }

    pub(super) fn remove_removal(&mut self, ctx: &Context<'_>, name: &str) {
        if let Some(old) = self.removals.remove(name) {
            let mut empty = RemovalFacts::clone(&old);
            empty.spec.entries.clear();
            self.strike_entries(ctx, &old, &empty);
            self.touch_removal(&old);
        }
    }

    fn strike_entries(&mut self, ctx: &Context<'_>, old: &RemovalFacts, new: &RemovalFacts) {
        for entry in &old.spec.entries {
            if new.spec.entries.contains(entry) {
                continue;
            }
            if let Some(id) = WorkId::parse(&entry.work_id) {
                let pending = (entry.cluster.clone(), id, entry.made_at);
                self.strike(ctx, pending, &Keeper::Removal(old.name.clone()));
            }
        }
    }

    fn touch_removal(&mut self, removal: &RemovalFacts) {
        self.dirty.removals.insert(removal.name.clone());
        let template = TemplateKey::from_reference(&removal.spec.resource);
        self.dirty.placement.insert(template);
    }

    /// Remembers acknowledgements until their keepers are written; those nobody waits for are
    /// dropped.
    pub(super) fn settle(&mut self, settled: impl IntoIterator<Item = Settled>) {
        for Settled {
            cluster,
            id,
            made_at,
        } in settled
        {
            let pending = (cluster.as_str().to_owned(), id, made_at);
            match self.pending.get(&pending) {
                Some(Keeper::Binding(key)) => {
                    let template = self.bindings.get(key).map(|b| b.template.clone());
                    self.dirty.placement.extend(template);
                }
                Some(Keeper::Removal(name)) => {
                    self.dirty.removals.insert(name.clone());
                }
                None => continue,
            }
            self.acknowledged.insert(pending);
        }
    }
}
