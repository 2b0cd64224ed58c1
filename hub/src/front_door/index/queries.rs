//! What controllers read: for each key one immutable view, taken under one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_policy::api::{Cluster, Enrolment, EnrolmentState, PropagationPolicy};
use flotilla_policy::schedule::ScheduledCondition;
use flotilla_proto::ids::WorkId;

use super::removals::{Keeper, Pending};
use super::{Index, State};
use crate::fleet::reports::Settled;
use crate::front_door::binding::{Binding, RemovalFacts};
use crate::front_door::keys::{BindingKey, Source, TemplateKey};
use crate::front_door::template::Template;

pub use super::clusters::is_draining;

/// What placement said last about a binding; written into its status off the path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Generation of the binding it stands for; none until the binding was read back.
    pub observed_generation: Option<i64>,
    /// The Scheduled condition; none leaves the one that stands.
    pub condition: Option<ScheduledCondition>,
    /// Affinity term in force; none leaves the one that stands.
    pub affinity_name: Option<String>,
    /// RFC 3339 time of the last decision; none leaves the one that stands.
    pub scheduled_at: Option<String>,
    /// Whether the binding has another name than Karmada would give it.
    pub is_renamed: bool,
}

/// All that placement reads about one template.
#[derive(Clone, Debug)]
pub struct PlacementView {
    /// The template's identity.
    pub key: TemplateKey,
    /// The template; one that went is none.
    pub template: Option<Arc<Template>>,
    /// Its binding.
    pub binding: Option<Arc<Binding>>,
    /// Names that other templates' bindings hold in its namespace, of those it could have.
    pub taken: BTreeSet<String>,
    /// Policies of its namespace that may select it.
    pub policies: Vec<Arc<PropagationPolicy>>,
    /// Cluster-scoped policies that may select it.
    pub cluster_policies: Vec<Arc<PropagationPolicy>>,
    /// All clusters.
    pub clusters: Vec<Arc<Cluster>>,
    /// UIDs of the members the binding names.
    pub member_uids: BTreeMap<String, String>,
    /// Clusters the binding names that were detached, or are being.
    pub detached: BTreeSet<String>,
    /// The Removal of its binding.
    pub removal: Option<Arc<RemovalFacts>>,
    /// Whether the hub saw the deletion of the template its binding is about.
    pub is_deletion_seen: bool,
    /// UIDs of templates of its name whose binding went without a Removal.
    pub predecessors: Vec<String>,
    /// Whether the binding's decision was overtaken by a newer reign.
    pub is_stale: bool,
    /// Acknowledgements that its binding has not written down.
    pub acknowledged: BTreeSet<Pending>,
    /// Whether its namespace is being deleted: nothing new is created there.
    pub is_namespace_deleting: bool,
    /// Clusters that bindings of the namespace need it in; of a Namespace only.
    pub needed_in: BTreeSet<String>,
    /// Newest door revision the index has read.
    pub revision: u64,
}

/// All that status reads about one binding.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// The binding.
    pub binding: Arc<Binding>,
    /// Its template; one that went is none.
    pub template: Option<Arc<Template>>,
    /// Whether the template is not there although its kind is watched.
    pub is_missing: bool,
    /// What placement said last.
    pub decision: Option<Decision>,
    /// The work in each of its clusters; a cluster that never enrolled has none.
    pub works: BTreeMap<String, Option<WorkId>>,
}

/// All that the clusters controller reads about one cluster.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// The cluster.
    pub cluster: Option<Arc<Cluster>>,
    /// Its enrolment.
    pub enrolment: Option<Arc<Enrolment>>,
    /// Bindings that name it, or still wait for its acknowledgement.
    pub bindings: usize,
    /// Removals that wait for it.
    pub removals: usize,
}

impl Index {
    /// Templates whose placement may have changed.
    #[must_use]
    pub fn take_placement(&self) -> BTreeSet<TemplateKey> {
        std::mem::take(&mut self.lock().dirty.placement)
    }

    /// Bindings whose status may have changed.
    #[must_use]
    pub fn take_status(&self) -> BTreeSet<BindingKey> {
        std::mem::take(&mut self.lock().dirty.status)
    }

    /// Clusters that may have changed.
    #[must_use]
    pub fn take_clusters(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lock().dirty.clusters)
    }

    /// Removals that may have changed.
    #[must_use]
    pub fn take_removals(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lock().dirty.removals)
    }

    /// The revision up to which a watch has brought everything.
    #[must_use]
    pub fn seen(&self, source: &Source) -> u64 {
        self.lock().seen.get(source).copied().unwrap_or(0)
    }

    /// Whether a watch has brought its first list.
    #[must_use]
    pub fn is_synced(&self, source: &Source) -> bool {
        self.lock().synced.contains(source)
    }

    /// Newest door revision that was read.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// The facts of a template; one that went is none.
    #[must_use]
    pub fn template(&self, key: &TemplateKey) -> Option<Arc<Template>> {
        self.lock().live_template(key)
    }

    /// A binding.
    #[must_use]
    pub fn binding(&self, key: &BindingKey) -> Option<Arc<Binding>> {
        self.lock().bindings.get(key).cloned()
    }

    /// A Removal.
    #[must_use]
    pub fn removal(&self, name: &str) -> Option<Arc<RemovalFacts>> {
        self.lock().removals.get(name).cloned()
    }

    /// Whether the binding that a Removal is for has not gone yet.
    #[must_use]
    pub fn is_binding_there(&self, removal: &RemovalFacts) -> bool {
        let state = self.lock();
        let template = TemplateKey::from_reference(&removal.spec.resource);
        let key = state.binding_of.get(&template);
        let binding = key.and_then(|key| state.bindings.get(key));
        binding.is_some_and(|binding| binding.object.metadata.uid == removal.name)
    }

    /// How often override rules were resolved for a cluster.
    #[must_use]
    pub fn resolutions(&self) -> u64 {
        self.lock().resolutions
    }

    /// The binding and the cluster of a work.
    #[must_use]
    pub fn place_of(&self, work: WorkId) -> Option<(BindingKey, String)> {
        self.lock().works.get(&work).cloned()
    }

    /// Marks bindings for a look at their status.
    pub fn touch_status(&self, keys: impl IntoIterator<Item = BindingKey>) {
        self.change(|state, _| state.dirty.status.extend(keys));
    }

    /// Marks clusters for a look.
    pub fn touch_clusters(&self, names: impl IntoIterator<Item = String>) {
        self.change(|state, _| state.dirty.clusters.extend(names));
    }

    /// Takes acknowledgements in.
    pub fn settle(&self, settled: impl IntoIterator<Item = Settled>) {
        self.change(|state, _| state.settle(settled));
    }

    /// Marks everything for a look.
    pub fn touch_all(&self) {
        self.change(|state, _| {
            let dirty = &mut state.dirty;
            dirty.placement.extend(state.templates.keys().cloned());
            dirty.placement.extend(state.binding_of.keys().cloned());
            dirty.status.extend(state.bindings.keys().cloned());
            dirty.clusters.extend(state.clusters.keys().cloned());
            dirty.removals.extend(state.removals.keys().cloned());
        });
    }

    /// Remembers what placement said.
    pub fn decide(&self, key: &BindingKey, decision: Decision) {
        if self.lock().decisions.get(key) == Some(&decision) {
            return;
        }
        self.change(|state, _| {
            state.decisions.insert(key.clone(), decision);
            state.dirty.status.insert(key.clone());
        });
    }

    /// What placement said last.
    #[must_use]
    pub fn decision(&self, key: &BindingKey) -> Option<Decision> {
        self.lock().decisions.get(key).cloned()
    }

    /// What placement reads about a template.
    #[must_use]
    pub fn placement_view(&self, key: &TemplateKey) -> PlacementView {
        self.lock().placement_view(key)
    }

    /// What status reads about a binding.
    #[must_use]
    pub fn status_view(&self, key: &BindingKey) -> Option<StatusView> {
        self.lock().status_view(key)
    }

    /// Whether a cluster went since this was asked last. One that no watch has brought yet did not
    /// go: its agent may report before it is seen.
    #[must_use]
    pub fn take_gone(&self, cluster: &str) -> bool {
        self.lock().gone_clusters.remove(cluster)
    }

    /// What the clusters controller reads about a cluster.
    #[must_use]
    pub fn cluster_view(&self, name: &str) -> ClusterView {
        let state = self.lock();
        let first = (name.to_owned(), WorkId::from_array([0; 16]), 0);
        let waits = state.pending.range(first..);
        let waits = waits.take_while(|((cluster, ..), _)| cluster == name);
        let removals = waits.filter(|(_, keeper)| matches!(keeper, Keeper::Removal(_)));
        ClusterView {
            cluster: state.clusters.get(name).cloned(),
            enrolment: state.enrolments.get(name).cloned(),
            bindings: state.by_cluster.get(name).map_or(0, BTreeSet::len),
            removals: removals.count(),
        }
    }

    /// The entries of a Removal that nobody waits for any more: acknowledged, or of a detached
    /// cluster.
    #[must_use]
    pub fn settled_entries(&self, removal: &RemovalFacts) -> BTreeSet<Pending> {
        let state = self.lock();
        let entries = removal.spec.entries.iter().filter_map(|entry| {
            let id = WorkId::parse(&entry.work_id)?;
            Some((entry.cluster.clone(), id, entry.made_at))
        });
        entries
            .filter(|p| state.acknowledged.contains(p) || state.is_detached(&p.0))
            .collect()
    }
}

impl State {
    /// Looks again at what depends on a whole list.
    pub(super) fn source_synced(&mut self, source: &Source) {
        if let Source::Templates(gvk) = source {
            let concerned = self
                .bindings
                .values()
                .filter(|b| b.template.group == gvk.group && b.template.kind == gvk.kind);
            let keys: Vec<BindingKey> = concerned.map(|b| b.key.clone()).collect();
            self.dirty.status.extend(keys);
        }
    }

    fn live_template(&self, key: &TemplateKey) -> Option<Arc<Template>> {
        self.templates.get(key).filter(|t| !t.gone).cloned()
    }

    /// Whether nobody waits for the cluster any more. One that is merely not there, while its
    /// enrolment stands, is waited for.
    fn is_detached(&self, name: &str) -> bool {
        match (self.clusters.get(name), self.enrolments.get(name)) {
            (Some(cluster), _) => cluster.metadata.is_deleting(),
            (None, Some(enrolment)) => enrolment.spec.state == EnrolmentState::Forgotten,
            (None, None) => true,
        }
    }

    fn placement_view(&self, key: &TemplateKey) -> PlacementView {
        let template = self.live_template(key);
        let binding_key = self.binding_of.get(key);
        let binding = binding_key.and_then(|k| self.bindings.get(k)).cloned();
        let (mut policies, mut cluster_policies) = (Vec::new(), Vec::new());
        if let Some(template) = &template {
            cluster_policies = self.propagation.of(&template.gvk, "");
            if !key.namespace.is_empty() {
                policies = self.propagation.of(&template.gvk, &key.namespace);
            }
        }
        let named: BTreeSet<String> = binding.as_ref().map_or_else(BTreeSet::new, |b| {
            let removed = b.removed.iter().map(|r| &r.cluster);
            b.targets()
                .map(|t| &t.name)
                .chain(removed)
                .cloned()
                .collect()
        });
        let uid_of = |name: &String| Some((name.clone(), self.cluster_uid(name)?.to_owned()));
        let binding_uid = binding.as_ref().map(|b| b.object.metadata.uid.clone());
        let resource_uid = binding.as_ref().map(|b| &b.object.spec.resource.uid);
        PlacementView {
            taken: self.names_taken(key),
            policies,
            cluster_policies,
            clusters: self.clusters.values().cloned().collect(),
            member_uids: named.iter().filter_map(uid_of).collect(),
            removal: binding_uid.and_then(|uid| self.removals.get(&uid).cloned()),
            predecessors: self.predecessors.get(key).cloned().unwrap_or_default(),
            is_deletion_seen: resource_uid.is_some_and(|uid| self.seen_deleted.contains(uid)),
            is_stale: binding.as_ref().is_some_and(|b| self.is_stale(b)),
            acknowledged: binding.as_ref().map_or_else(BTreeSet::new, |b| {
                let pending = b.removed.iter();
                let pending = pending.map(|r| (r.cluster.clone(), r.work_id, r.made_at));
                pending.filter(|p| self.acknowledged.contains(p)).collect()
            }),
            is_namespace_deleting: self
                .live_template(&TemplateKey::of_namespace(&key.namespace))
                .is_some_and(|namespace| namespace.deleting),
            needed_in: self.needed_in(key),
            detached: named.into_iter().filter(|n| self.is_detached(n)).collect(),
            revision: self.revision,
            key: key.clone(),
            template,
            binding,
        }
    }

    /// Names in the template's namespace that bindings of other templates hold.
    fn names_taken(&self, key: &TemplateKey) -> BTreeSet<String> {
        let names = crate::controllers::placement::binding_names(key).into_iter();
        names
            .filter(|name| {
                let place = BindingKey {
                    namespace: key.namespace.clone(),
                    name: name.clone(),
                };
                let held = self.bindings.get(&place);
                held.is_some_and(|binding| binding.template != *key)
            })
            .collect()
    }

    /// The clusters of all bindings of a namespace.
    fn needed_in(&self, key: &TemplateKey) -> BTreeSet<String> {
        if !key.is_namespace() {
            return BTreeSet::new();
        }
        let first = BindingKey {
            namespace: key.name.clone(),
            name: String::new(),
        };
        let bindings = self.bindings.range(first..);
        bindings
            .take_while(|(k, _)| k.namespace == key.name)
            .filter(|(_, b)| !b.is_deleting())
            .flat_map(|(_, b)| b.targets().map(|t| t.name.clone()))
            .collect()
    }

    fn status_view(&self, key: &BindingKey) -> Option<StatusView> {
        let binding = self.bindings.get(key).cloned()?;
        let t = &binding.template;
        let template = self.live_template(t);
        let synced = self.synced.iter().any(|source| {
            matches!(source, Source::Templates(gvk) if gvk.group == t.group && gvk.kind == t.kind)
        });
        let work = |cluster: &str| {
            let uid = self.cluster_uid(cluster)?;
            Some(WorkId::new(&t.group, &t.kind, &t.namespace, &t.name, uid))
        };
        let works = binding.targets().map(|t| (t.name.clone(), work(&t.name)));
        Some(StatusView {
            is_missing: template.is_none() && synced && self.ready,
            decision: self.decisions.get(key).cloned(),
            works: works.collect(),
            template,
            binding,
        })
    }
}
