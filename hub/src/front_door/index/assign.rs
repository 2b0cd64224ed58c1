//! From decisions to shares: what each cluster of a binding gets, with bodies by digest.
//!
//! Assigns only what can have changed. What cannot be assigned now (no template, no body, a stale
//! decision) stays as it was said last: absence takes nothing away. Never renders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_policy::api::{BindingSpec, OverridePolicy};
use flotilla_policy::assigning::{self, Conflict};
use flotilla_policy::model::{manifest, marks};
use flotilla_policy::overriding::Matched;
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;

use super::{Context, State};
use crate::fleet::share::{Assignment, Body};
use crate::front_door::binding::Binding;
use crate::front_door::keys::BindingKey;
use crate::front_door::template::Template;

/// A work that is in a cluster's share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) id: WorkId,
    /// Newest source it was made from; never falls.
    pub(super) made_at: u64,
}

/// One cluster's part of a binding, before it gets its id.
struct Part {
    cluster: String,
    share: assigning::Assignment,
    overrides: Option<Arc<Body>>,
    made_at: u64,
}

impl State {
    /// Assigns every binding, as at start.
    pub(super) fn assign_all(&mut self, ctx: &Context<'_>) {
        let keys: Vec<BindingKey> = self.bindings.keys().cloned().collect();
        for key in keys {
            self.assign(ctx, &key, None, 0);
        }
    }

    /// Assigns a binding in all of its clusters or in some; `cause` is the revision of what changed.
    pub(super) fn assign(
        &mut self,
        ctx: &Context<'_>,
        key: &BindingKey,
        only: Option<&BTreeSet<String>>,
        cause: u64,
    ) {
        let Some(binding) = self.bindings.get(key).cloned() else {
            return;
        };
        if !self.ready || binding.is_deleting() || self.is_stale(&binding) {
            return;
        }
        if only.is_none() {
            let targets = binding.targets().map(|t| t.name.clone()).collect();
            self.unassign(ctx, key, &targets);
        }
        let template = self.templates.get(&binding.template).cloned();
        let Some(template) = template.filter(|t| is_source(&binding, t)) else {
            return;
        };
        let Ok(body) = template.body.clone() else {
            return;
        };
        let is_asked = |cluster: &String| only.is_none_or(|only| only.contains(cluster));
        let parts = self.parts(ctx, &binding, &template, &is_asked);
        for mut part in parts {
            part.made_at = part.made_at.max(cause);
            self.place(ctx, &binding, &template, &body, part);
        }
    }

    fn parts(
        &mut self,
        ctx: &Context<'_>,
        binding: &Binding,
        template: &Template,
        is_asked: &dyn Fn(&String) -> bool,
    ) -> Vec<Part> {
        let cluster_policies = self.overrides.of(&template.gvk, "");
        let policies = match template.key.namespace.as_str() {
            "" => Vec::new(),
            namespace => self.overrides.of(&template.gvk, namespace),
        };
        let matched = Matched::new(&template.head, &refs(&cluster_policies), &refs(&policies));
        let newest = cluster_policies.iter().chain(&policies);
        let newest = newest.filter_map(|p| p.metadata.resource_version.parse::<u64>().ok());
        let newest = newest.max().unwrap_or(0);
        let base = binding.decision_revision.max(template.body_revision);
        let mut parts = Vec::new();
        for share in assigning::assignments(&binding.object.spec, &template.head) {
            let Some(cluster) = self.clusters.get(&share.cluster) else {
                continue;
            };
            if !is_asked(&share.cluster) {
                continue;
            }
            self.resolutions += 1;
            let list = matched.for_cluster(cluster);
            let overrides = if list.is_empty() {
                Ok(None)
            } else {
                ctx.bodies.intern(&list.to_canonical_bytes()).map(Some)
            };
            match overrides {
                Ok(overrides) => parts.push(Part {
                    cluster: share.cluster.clone(),
                    made_at: overrides.as_ref().map_or(base, |_| base.max(newest)),
                    overrides,
                    share,
                }),
                Err(error) => {
                    let cluster = &share.cluster;
                    tracing::warn!(%cluster, binding = %binding.key, %error, "too many overrides");
                }
            }
        }
        parts
    }

    fn place(
        &mut self,
        ctx: &Context<'_>,
        binding: &Binding,
        template: &Template,
        body: &Arc<Body>,
        part: Part,
    ) {
        let Some(uid) = self.cluster_uid(&part.cluster) else {
            return;
        };
        let key = &binding.template;
        let id = WorkId::new(&key.group, &key.kind, &key.namespace, &key.name, uid);
        let row = row(binding, template, &part);
        let placed = self.placed.entry(binding.key.clone()).or_default();
        let old = placed.get(&part.cluster).copied();
        let before = old.filter(|old| old.id == id).map_or(0, |old| old.made_at);
        let made_at = part.made_at.max(before);
        placed.insert(part.cluster.clone(), Placed { id, made_at });
        if let Some(old) = old.filter(|old| old.id != id) {
            self.works.remove(&old.id);
            ctx.shares
                .set_upsert(&Context::name(&part.cluster), old.id, None);
        }
        let place = (binding.key.clone(), part.cluster.clone());
        self.works.insert(id, place);
        let assignment = Assignment::new(id, Arc::clone(body), part.overrides, row, made_at);
        let cluster = Context::name(&part.cluster);
        ctx.shares
            .set_upsert(&cluster, id, Some(Arc::new(assignment)));
    }

    /// Takes a binding out of the clusters that are not among `keep`.
    pub(super) fn unassign(
        &mut self,
        ctx: &Context<'_>,
        key: &BindingKey,
        keep: &BTreeSet<String>,
    ) {
        let Some(placed) = self.placed.get_mut(key) else {
            return;
        };
        let (kept, dropped): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(placed)
            .into_iter()
            .partition(|(cluster, _)| keep.contains(cluster));
        *placed = kept;
        if placed.is_empty() {
            self.placed.remove(key);
        }
        for (cluster, Placed { id, .. }) in dropped {
            if self.works.get(&id).is_some_and(|(k, _)| k == key) {
                self.works.remove(&id);
                ctx.shares.set_upsert(&Context::name(&cluster), id, None);
            }
        }
    }
}

fn refs(policies: &[Arc<OverridePolicy>]) -> Vec<&OverridePolicy> {
    policies.iter().map(AsRef::as_ref).collect()
}

/// Whether the binding is about this very template. One of its own namespace with the right UID:
/// what admission asks for, asked again here.
fn is_source(binding: &Binding, template: &Template) -> bool {
    let namespace = &binding.key.namespace;
    let same_scope = namespace.is_empty() || *namespace == template.key.namespace;
    let scoped = namespace.is_empty() == template.key.namespace.is_empty();
    !template.gone && same_scope && scoped && binding.object.spec.resource.uid == template.uid
}

fn row(binding: &Binding, template: &Template, part: &Part) -> v1::Row {
    let spec = &binding.object.spec;
    let mark = manifest::text(
        &template.head,
        &["metadata", "annotations", marks::CONFLICT_RESOLUTION],
    );
    let conflict = match Conflict::from_mark(mark).unwrap_or(part.share.conflict) {
        Conflict::Abort => v1::Conflict::Abort,
        Conflict::Overwrite => v1::Conflict::Overwrite,
    };
    v1::Row {
        object: Some(v1::ObjectRef {
            api_version: template.gvk.api_version(),
            kind: template.key.kind.clone(),
            namespace: template.key.namespace.clone(),
            name: template.key.name.clone(),
        }),
        template_uid: template.uid.clone(),
        template_generation: template.delivered_generation(binding),
        replicas: part.share.replicas,
        completions: part.share.completions,
        conflict: conflict.into(),
        suspend: is_suspended(spec, &part.cluster),
        preserve: spec.preserve_resources_on_deletion == Some(true),
        lapse_ms: 0,
        term_of_decision: binding.term.unwrap_or(0),
    }
}

fn is_suspended(spec: &BindingSpec, cluster: &str) -> bool {
    let Some(suspension) = &spec.suspension else {
        return false;
    };
    let named = suspension.dispatching_on_clusters.as_ref();
    suspension.dispatching == Some(true)
        || named.is_some_and(|s| s.cluster_names.iter().any(|n| n == cluster))
}
