//! What a change of a policy touches: templates of the kinds it names, and for override policies the
//! clusters its rules target.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_policy::api::{Cluster, Object, OverridePolicy, OverrideSpec, PropagationSpec};
use flotilla_policy::model::selectors::{cluster_matches, resource_matches};
use serde_json::Value;

use super::{Context, State};
use crate::front_door::keys::{BindingKey, Gvk, PolicyKey, TemplateKey};
use crate::front_door::policies::{Selects, kinds_of};
use crate::front_door::template::Template;

impl State {
    pub(super) fn apply_policy(&mut self, key: PolicyKey, policy: Option<Object<PropagationSpec>>) {
        let Some(policy) = policy else { return };
        let namespace = key.namespace.clone();
        let mut kinds = kinds_of(&policy.spec);
        let old = self.propagation.insert(key, policy);
        kinds.extend(old.iter().flat_map(|p| kinds_of(&p.spec)));
        self.refresh_wanted();
        self.touch_templates(&kinds, &namespace);
    }

    pub(super) fn remove_policy(&mut self, key: &PolicyKey) {
        if let Some(old) = self.propagation.remove(key) {
            self.refresh_wanted();
            self.touch_templates(&kinds_of(&old.spec), &key.namespace);
        }
    }

    fn touch_templates(&mut self, kinds: &BTreeSet<Gvk>, namespace: &str) {
        for gvk in kinds {
            let templates = self.templates_of(gvk, scope(namespace));
            let keys: Vec<TemplateKey> = templates.map(|t| t.key.clone()).collect();
            self.dirty.placement.extend(keys);
        }
    }

    pub(super) fn apply_override(
        &mut self,
        ctx: &Context<'_>,
        key: PolicyKey,
        policy: Option<OverridePolicy>,
    ) {
        let Some(policy) = policy else { return };
        let cause = policy.metadata.resource_version.parse().unwrap_or(0);
        let old = self.overrides.insert(key.clone(), policy);
        let new = self.overrides.get(&key).cloned();
        if old.as_ref().map(|p| &p.spec) != new.as_ref().map(|p| &p.spec) {
            self.overrides_changed(ctx, &key.namespace, &[old, new], cause);
        }
    }

    pub(super) fn remove_override(&mut self, ctx: &Context<'_>, key: &PolicyKey, revision: u64) {
        let old = self.overrides.remove(key);
        let cause = revision.max(self.revision);
        self.overrides_changed(ctx, &key.namespace, &[old], cause);
    }

    /// Assigns anew what the policy says or said something about, and nothing else.
    fn overrides_changed(
        &mut self,
        ctx: &Context<'_>,
        namespace: &str,
        policies: &[Option<Arc<OverridePolicy>>],
        cause: u64,
    ) {
        let specs: Vec<&OverrideSpec> = policies.iter().flatten().map(|p| &p.spec).collect();
        let mut kinds: BTreeSet<Gvk> = specs.iter().flat_map(|s| kinds_of(*s)).collect();
        if specs.iter().any(|s| s.selectors().is_empty()) {
            kinds.extend(self.templates.values().map(|t| t.gvk.clone()));
        }
        let mut affected: Vec<(BindingKey, BTreeSet<String>)> = Vec::new();
        for gvk in &kinds {
            for template in self.templates_of(gvk, scope(namespace)) {
                let Some(binding) = self.binding_of.get(&template.key) else {
                    continue;
                };
                let selecting: Vec<_> = specs.iter().filter(|s| selects(s, template)).collect();
                let clusters = self.clusters_of(binding).filter(|cluster| {
                    let targeted = |s: &&&OverrideSpec| targets(s, cluster);
                    selecting.iter().any(targeted)
                });
                let names: BTreeSet<_> = clusters.map(|c| c.metadata.name.clone()).collect();
                if !names.is_empty() {
                    affected.push((binding.clone(), names));
                }
            }
        }
        for (binding, clusters) in affected {
            self.assign(ctx, &binding, Some(&clusters), cause);
        }
    }

    fn clusters_of(&self, binding: &BindingKey) -> impl Iterator<Item = &Cluster> {
        let binding = self.bindings.get(binding);
        let targets = binding.into_iter().flat_map(|b| b.targets());
        targets
            .filter_map(|target| self.clusters.get(&target.name))
            .map(AsRef::as_ref)
    }

    /// Templates of a kind, in one namespace or in all.
    pub(super) fn templates_of<'a>(
        &'a self,
        gvk: &'a Gvk,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Template>> + 'a {
        let first = TemplateKey {
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        self.templates
            .range(first..)
            .take_while(move |(key, _)| {
                key.group == gvk.group
                    && key.kind == gvk.kind
                    && namespace.is_none_or(|n| key.namespace == n)
            })
            .map(|(_, template)| template)
            .filter(move |template| template.gvk == *gvk)
    }
}

/// A cluster-scoped policy concerns every namespace.
fn scope(namespace: &str) -> Option<&str> {
    (!namespace.is_empty()).then_some(namespace)
}

fn selects(spec: &OverrideSpec, template: &Template) -> bool {
    let head: &Value = &template.head;
    let mut selectors = spec.resource_selectors.iter();
    spec.resource_selectors.is_empty() || selectors.any(|s| resource_matches(s, head).is_some())
}

fn targets(spec: &OverrideSpec, cluster: &Cluster) -> bool {
    let rules = spec.override_rules.iter().map(|r| &r.target_cluster);
    let legacy = spec
        .override_rules
        .is_empty()
        .then_some(&spec.target_cluster);
    rules
        .chain(legacy)
        .any(|target| target.as_ref().is_none_or(|t| cluster_matches(t, cluster)))
}
