//! What a change of a cluster touches: the placements it could enter or leave, and what it gets where
//! its labels, provider, region or zones choose override rules.

use std::sync::Arc;

use flotilla_policy::api::{Cluster, Enrolment, Placement};
use flotilla_policy::model::marks;
use flotilla_policy::model::selectors::cluster_matches;

use super::{Context, State};
use crate::front_door::keys::TemplateKey;

/// Whether a person asked to take everything off the cluster.
#[must_use]
pub fn is_draining(cluster: &Cluster) -> bool {
    let drain = cluster.metadata.annotations.get(marks::DRAIN);
    drain.is_some_and(|text| text == "true")
}

impl State {
    pub(super) fn apply_cluster(&mut self, ctx: &Context<'_>, cluster: Option<Cluster>) {
        let Some(new) = cluster else { return };
        let name = new.metadata.name.clone();
        self.gone_clusters.remove(&name);
        let cause = new.metadata.resource_version.parse().unwrap_or(0);
        let old = self.clusters.insert(name.clone(), Arc::new(new));
        let new = Arc::clone(&self.clusters[&name]);
        self.dirty.clusters.insert(name.clone());
        if old.as_ref().is_none_or(|old| !places_like(old, &new)) {
            self.touch_placements(old.as_deref(), Some(&new));
        }
        if old.is_none_or(|old| !overrides_like(&old, &new)) {
            self.assign_cluster(ctx, &name, cause);
        }
    }

    pub(super) fn remove_cluster(&mut self, ctx: &Context<'_>, name: &str) {
        let old = self.clusters.remove(name);
        self.gone_clusters.insert(name.to_owned());
        self.dirty.clusters.insert(name.to_owned());
        self.touch_placements(old.as_deref(), None);
        ctx.shares.forget(&Context::name(name));
        for placed in self.placed.values_mut() {
            if let Some(placed) = placed.remove(name) {
                self.works.remove(&placed.id);
            }
        }
    }

    pub(super) fn apply_enrolment(
        &mut self,
        ctx: &Context<'_>,
        enrolment: Option<Enrolment>,
        cause: u64,
    ) {
        let Some(new) = enrolment else { return };
        let name = new.metadata.name.clone();
        let uid = |state: &Self| state.cluster_uid(&name).map(str::to_owned);
        let before = uid(self);
        self.enrolments.insert(name.clone(), Arc::new(new));
        self.dirty.clusters.insert(name.clone());
        if before != uid(self) {
            self.assign_cluster(ctx, &name, cause);
        }
    }

    /// UID of the member: as people wrote it, or as its agent enrolled with it.
    pub(super) fn cluster_uid(&self, name: &str) -> Option<&str> {
        let stated = self.clusters.get(name).map(|c| c.spec.id.as_str());
        let enrolled = || {
            self.enrolments
                .get(name)
                .map(|e| e.spec.cluster_uid.as_str())
        };
        stated
            .filter(|id| !id.is_empty())
            .or_else(enrolled)
            .filter(|id| !id.is_empty())
    }

    fn touch_placements(&mut self, old: Option<&Cluster>, new: Option<&Cluster>) {
        let name = old.or(new).map_or("", |c| c.metadata.name.as_str());
        let concerned = self.bindings.values().filter(|binding| {
            let placement = binding.object.spec.placement.as_ref();
            let accepts = |c: &Cluster| placement.is_some_and(|p| accepts(p, c));
            binding.touches(name) || old.is_some_and(accepts) || new.is_some_and(accepts)
        });
        let keys: Vec<TemplateKey> = concerned.map(|b| b.template.clone()).collect();
        self.dirty.placement.extend(keys);
    }

    fn assign_cluster(&mut self, ctx: &Context<'_>, name: &str, cause: u64) {
        let bindings = self.by_cluster.get(name).cloned().unwrap_or_default();
        let only = [name.to_owned()].into();
        for binding in bindings {
            self.assign(ctx, &binding, Some(&only), cause);
        }
    }
}

/// Whether any affinity of the placement accepts the cluster.
fn accepts(placement: &Placement, cluster: &Cluster) -> bool {
    let terms = placement.cluster_affinities.iter().map(|t| &t.affinity);
    let mut affinities = placement.cluster_affinity.iter().chain(terms).peekable();
    affinities.peek().is_none() || affinities.any(|a| cluster_matches(a, cluster))
}

/// Whether scheduling sees no difference.
fn places_like(a: &Cluster, b: &Cluster) -> bool {
    a.metadata.labels == b.metadata.labels
        && a.metadata.is_deleting() == b.metadata.is_deleting()
        && is_draining(a) == is_draining(b)
        && a.spec == b.spec
        && a.status.api_enablements == b.status.api_enablements
}

/// Whether override rules see no difference, and works keep their ids.
fn overrides_like(a: &Cluster, b: &Cluster) -> bool {
    a.metadata.labels == b.metadata.labels
        && a.spec.provider == b.spec.provider
        && a.spec.region == b.spec.region
        && a.spec.zones == b.spec.zones
        && a.spec.id == b.spec.id
}
