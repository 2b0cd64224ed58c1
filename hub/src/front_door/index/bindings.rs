//! What a change of a binding touches: shares, removals, the namespaces its clusters need, and the
//! clusters that wait to be left.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_policy::api::Epoch;
use serde_json::Value;

use super::{Context, State};
use crate::front_door::binding::Binding;
use crate::front_door::keys::{BindingKey, Gvk, TemplateKey};

/// UIDs that a binding carries of those before it; an object of an older one is left to a person.
const PREDECESSORS_MAX: usize = 8;

impl State {
    pub(super) fn apply_binding(&mut self, ctx: &Context<'_>, object: Value) {
        let key = BindingKey::of(&object);
        let old = self.bindings.get(&key).cloned();
        let new = match Binding::read(object, old.as_deref()) {
            Ok(new) => Arc::new(new),
            Err(error) => {
                tracing::warn!(binding = %key, %error, "a binding is left aside");
                return;
            }
        };
        if let Some(old) = &old
            && old.object.metadata.uid != new.object.metadata.uid
        {
            self.remove_binding(ctx, &key);
        }
        let old = self.bindings.insert(key.clone(), Arc::clone(&new));
        if !new.is_deleting() {
            // The one that took its place carries them from here on.
            self.predecessors.remove(&new.template);
        }
        self.link(&key, old.as_deref(), Some(&new));
        self.set_removed(ctx, &key, old.as_deref(), &new);
        if new.is_deleting() && self.removals.contains_key(&new.object.metadata.uid) {
            self.unassign(ctx, &key, &BTreeSet::new());
        }
        self.touch_binding(&new);
        let cause = new.decision_revision;
        if old.is_none_or(|old| !old.decides_like(&new)) {
            self.assign(ctx, &key, None, cause);
        }
    }

    pub(super) fn remove_binding(&mut self, ctx: &Context<'_>, key: &BindingKey) {
        let Some(old) = self.bindings.remove(key) else {
            return;
        };
        self.remember_predecessors(&old);
        self.link(key, Some(&old), None);
        self.touch_binding(&old);
        self.strike_removed(ctx, &old, &[]);
        self.unassign(ctx, key, &BTreeSet::new());
        self.decisions.remove(key);
        // Its Removal may go now, if all have acknowledged.
        let removal = old.object.metadata.uid.clone();
        self.dirty.removals.insert(removal);
        if self.templates.get(&old.template).is_some_and(|t| t.gone) {
            self.templates.remove(&old.template);
        }
    }

    /// A binding that went without a Removal left its members' objects as they are; the binding that
    /// takes its place removes them one day. A hub that dies in between forgets it: then a person is
    /// asked.
    fn remember_predecessors(&mut self, old: &Binding) {
        let uid = &old.object.spec.resource.uid;
        let successor = self.templates.get(&old.template);
        let is_replaced = successor.is_some_and(|t| !t.gone && t.uid != *uid);
        if !is_replaced || self.removals.contains_key(&old.object.metadata.uid) {
            return;
        }
        let mut uids = old.predecessors.clone();
        uids.push(uid.clone());
        let surplus = uids.len().saturating_sub(PREDECESSORS_MAX);
        uids.drain(..surplus);
        self.predecessors.insert(old.template.clone(), uids);
    }

    fn touch_binding(&mut self, binding: &Binding) {
        self.dirty.placement.insert(binding.template.clone());
        self.dirty.status.insert(binding.key.clone());
        if !binding.key.namespace.is_empty() {
            let namespace = TemplateKey::of_namespace(&binding.key.namespace);
            // In a burst most of them go where the namespace is already.
            let held = self.binding_of.get(&namespace);
            let held = held.and_then(|key| self.bindings.get(key));
            let is_there = |name: &str| held.is_some_and(|b| b.targets().any(|t| t.name == name));
            if !binding.targets().all(|t| is_there(&t.name)) {
                self.dirty.placement.insert(namespace);
            }
        }
    }

    /// Keeps the ways from templates, clusters and kinds to bindings.
    fn link(&mut self, key: &BindingKey, old: Option<&Binding>, new: Option<&Binding>) {
        let clusters = |b: Option<&Binding>| -> BTreeSet<String> {
            b.map_or_else(BTreeSet::new, |b| {
                let removed = b.removed.iter().map(|r| &r.cluster);
                b.targets()
                    .map(|t| &t.name)
                    .chain(removed)
                    .cloned()
                    .collect()
            })
        };
        let (before, after) = (clusters(old), clusters(new));
        for cluster in before.difference(&after) {
            if let Some(keys) = self.by_cluster.get_mut(cluster) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_cluster.remove(cluster);
                }
            }
            self.dirty.clusters.insert(cluster.clone());
        }
        for cluster in after.difference(&before) {
            let keys = self.by_cluster.entry(cluster.clone()).or_default();
            keys.insert(key.clone());
            self.dirty.clusters.insert(cluster.clone());
        }
        if let Some(old) = old
            && new.map(|b| &b.template) != Some(&old.template)
            && self.binding_of.get(&old.template) == Some(key)
        {
            self.binding_of.remove(&old.template);
        }
        if let Some(new) = new {
            self.binding_of.insert(new.template.clone(), key.clone());
        }
        let kind = |b: &Binding| {
            let resource = &b.object.spec.resource;
            Gvk::new(&resource.api_version, &resource.kind)
        };
        let (before, after) = (old.map(kind), new.map(kind));
        if before != after {
            for (gvk, by) in [(after, 1), (before, -1)] {
                if let Some(gvk) = gvk {
                    self.count_binding_kind(&gvk, by);
                }
            }
        }
    }

    /// Whether a decision was overtaken: written after the reign that followed its writer's began.
    pub(super) fn is_stale(&self, binding: &Binding) -> bool {
        is_stale(&self.epochs, binding)
    }
}

/// See `State::is_stale`. A binding that was seen first in a list carries the revision of its last
/// write, which may have been a status write of the newer reign; a decision that a hub has observed
/// in its status was judged then.
pub(super) fn is_stale(epochs: &[Epoch], binding: &Binding) -> bool {
    let Some(term) = binding.term else {
        return false;
    };
    let status = &binding.object.status;
    let observed = binding.object.metadata.generation == Some(status.scheduler_observed_generation);
    let next = epochs.iter().find(|epoch| epoch.term > term);
    !observed && next.is_some_and(|epoch| epoch.revision < binding.decision_revision)
}
