//! Policies by the kinds they name: what matching looks at does not grow with unrelated policies.
//!
//! One table for propagation policies and one for override policies; each holds the namespaced and
//! the cluster-scoped kind. Never decides which policy wins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_policy::api::{Object, OverrideSpec, PropagationSpec, ResourceSelector};

use super::keys::{Gvk, PolicyKey};

/// What a policy's spec says about templates.
pub trait Selects {
    /// Its selectors; none = every template.
    fn selectors(&self) -> &[ResourceSelector];
}

impl Selects for PropagationSpec {
    fn selectors(&self) -> &[ResourceSelector] {
        &self.resource_selectors
    }
}

impl Selects for OverrideSpec {
    fn selectors(&self) -> &[ResourceSelector] {
        &self.resource_selectors
    }
}

/// A table of policies.
#[derive(Debug)]
pub struct PolicyTable<S> {
    policies: BTreeMap<PolicyKey, Arc<Object<S>>>,
    by_kind: BTreeMap<Gvk, BTreeSet<PolicyKey>>,
    of_any_kind: BTreeSet<PolicyKey>,
}

impl<S> Default for PolicyTable<S> {
    fn default() -> Self {
        Self {
            policies: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            of_any_kind: BTreeSet::new(),
        }
    }
}

impl<S: Selects> PolicyTable<S> {
    /// Puts a policy in; returns the one it replaces.
    pub fn insert(&mut self, key: PolicyKey, policy: Object<S>) -> Option<Arc<Object<S>>> {
        let old = self.remove(&key);
        let kinds = kinds_of(&policy.spec);
        if policy.spec.selectors().is_empty() {
            self.of_any_kind.insert(key.clone());
        }
        for kind in kinds {
            self.by_kind.entry(kind).or_default().insert(key.clone());
        }
        self.policies.insert(key, Arc::new(policy));
        old
    }

    /// Takes a policy out.
    pub fn remove(&mut self, key: &PolicyKey) -> Option<Arc<Object<S>>> {
        let old = self.policies.remove(key)?;
        self.of_any_kind.remove(key);
        for kind in kinds_of(&old.spec) {
            if let Some(keys) = self.by_kind.get_mut(&kind) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_kind.remove(&kind);
                }
            }
        }
        Some(old)
    }

    /// The policies of a namespace that may select templates of a kind; an empty namespace gives
    /// the cluster-scoped ones.
    #[must_use]
    pub fn of(&self, kind: &Gvk, namespace: &str) -> Vec<Arc<Object<S>>> {
        let first = PolicyKey {
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let named = self.by_kind.get(kind).into_iter();
        let in_namespace = |key: &&PolicyKey| key.namespace == namespace;
        named
            .chain([&self.of_any_kind])
            .flat_map(|keys| keys.range(&first..).take_while(in_namespace))
            .filter_map(|key| self.policies.get(key).cloned())
            .collect()
    }

    /// A policy by its key.
    #[must_use]
    pub fn get(&self, key: &PolicyKey) -> Option<&Arc<Object<S>>> {
        self.policies.get(key)
    }

    /// Keys of the policies of one scope: namespaced ones, or cluster-scoped ones.
    pub fn keys(&self, namespaced: bool) -> impl Iterator<Item = &PolicyKey> {
        self.policies
            .keys()
            .filter(move |key| key.namespace.is_empty() != namespaced)
    }

    /// Every kind that a policy names.
    pub fn kinds(&self) -> impl Iterator<Item = &Gvk> {
        self.by_kind.keys()
    }
}

/// The kinds that a spec names.
pub fn kinds_of<S: Selects>(spec: &S) -> BTreeSet<Gvk> {
    let selectors = spec.selectors().iter();
    selectors
        .map(|s| Gvk::new(&s.api_version, &s.kind))
        .collect()
}
