//! Everything the hub knows of the front door: fed by watches (`apply`, `delete`, `reset`), read by
//! controllers, and itself the feeder of the clusters' shares.
//!
//! Synchronous and without a clock. It turns decisions into assignments, never makes a decision, and
//! never takes an object that is missing for one that was deleted.

mod assign;
mod bindings;
mod clusters;
mod kinds;
mod policies;
mod queries;
mod removals;
mod templates;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_policy::api::{
    self, Cluster, Enrolment, Epoch, EpochList, Object, OverrideSpec, PropagationSpec, registry,
};
use flotilla_policy::model::manifest;
use flotilla_proto::ids::WorkId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use super::binding::{Binding, RemovalFacts};
use super::keys::{BindingKey, Gvk, PolicyKey, Source, TemplateKey, revision_of};
use super::policies::PolicyTable;
use super::template::Template;
use crate::fleet::share::{BodyStore, ClusterName, Shares};

pub use queries::{ClusterView, Decision, PlacementView, StatusView, is_draining};

/// Deletions remembered as seen; more than a burst of deletes, less than memory notices.
const SEEN_DELETED_MAX: usize = 100_000;

/// What changed since a controller looked last.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    placement: BTreeSet<TemplateKey>,
    status: BTreeSet<BindingKey>,
    clusters: BTreeSet<String>,
    removals: BTreeSet<String>,
}

/// What the index holds.
#[derive(Debug, Default)]
pub(super) struct State {
    ready: bool,
    revision: u64,
    seen: BTreeMap<Source, u64>,
    synced: BTreeSet<Source>,
    clusters: BTreeMap<String, Arc<Cluster>>,
    gone_clusters: BTreeSet<String>,
    enrolments: BTreeMap<String, Arc<Enrolment>>,
    epochs: Vec<Epoch>,
    propagation: PolicyTable<PropagationSpec>,
    overrides: PolicyTable<OverrideSpec>,
    templates: BTreeMap<TemplateKey, Arc<Template>>,
    bindings: BTreeMap<BindingKey, Arc<Binding>>,
    binding_of: BTreeMap<TemplateKey, BindingKey>,
    by_cluster: BTreeMap<String, BTreeSet<BindingKey>>,
    removals: BTreeMap<String, Arc<RemovalFacts>>,
    /// UIDs whose binding went without a Removal, until the next binding of that name carries them.
    predecessors: BTreeMap<TemplateKey, Vec<String>>,
    /// Works that assignments were made for, per binding.
    placed: BTreeMap<BindingKey, BTreeMap<String, assign::Placed>>,
    works: BTreeMap<WorkId, (BindingKey, String)>,
    /// Who remembers a removal, by what an acknowledgement names.
    pending: BTreeMap<removals::Pending, removals::Keeper>,
    acknowledged: BTreeSet<removals::Pending>,
    decisions: BTreeMap<BindingKey, Decision>,
    seen_deleted: BTreeSet<String>,
    seen_deleted_order: VecDeque<String>,
    wanted: BTreeSet<Gvk>,
    binding_kinds: BTreeMap<Gvk, usize>,
    resolutions: u64,
    dirty: Dirty,
}

/// Where an object came from within its watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Part of a list: what is not in it may never have been.
    Listed,
    /// An event: the hub saw it happen.
    Live,
}

/// The index.
pub struct Index {
    state: Mutex<State>,
    shares: Arc<Shares>,
    bodies: Arc<BodyStore>,
    changed: watch::Sender<u64>,
    wanted: watch::Sender<BTreeSet<Gvk>>,
}

impl Index {
    /// An empty one that fills these shares.
    #[must_use]
    pub fn new(shares: Arc<Shares>, bodies: Arc<BodyStore>) -> Self {
        Self {
            state: Mutex::default(),
            shares,
            bodies,
            changed: watch::channel(0).0,
            wanted: watch::channel(BTreeSet::new()).0,
        }
    }

    /// Takes in that an object was added or changed, as an event told.
    pub fn apply(&self, source: &Source, object: Value) {
        self.change(|state, ctx| state.apply(ctx, source, object, Seen::Live));
    }

    /// Takes in that an object was deleted, as an event told.
    pub fn delete(&self, source: &Source, object: &Value) {
        self.change(|state, ctx| {
            state.note_revision(source, revision_of(object));
            state.remove(ctx, source, object, Seen::Live);
        });
    }

    /// Takes in one object of a list.
    pub fn listed(&self, source: &Source, object: Value) {
        self.change(|state, ctx| state.apply(ctx, source, object, Seen::Listed));
    }

    /// Ends a list: what it did not hold is not there. That it was deleted is not known.
    pub fn list_ended(&self, source: &Source, held: &BTreeSet<(String, String)>) {
        self.change(|state, ctx| {
            for object in state.names(source) {
                let name = (
                    manifest::namespace(&object).to_owned(),
                    manifest::name(&object).to_owned(),
                );
                if !held.contains(&name) {
                    state.remove(ctx, source, &object, Seen::Listed);
                }
            }
            state.synced.insert(source.clone());
            state.source_synced(source);
        });
    }

    /// Takes a whole list in.
    pub fn reset(&self, source: &Source, objects: Vec<Value>) {
        let name = |o: &Value| {
            (
                manifest::namespace(o).to_owned(),
                manifest::name(o).to_owned(),
            )
        };
        let held = objects.iter().map(name).collect();
        for object in objects {
            self.listed(source, object);
        }
        self.list_ended(source, &held);
    }

    /// Forgets the templates of a kind that is not watched any more.
    pub fn forget_kind(&self, kind: &Gvk) {
        self.change(|state, _| state.forget_kind(kind));
    }

    /// Says that every first list is complete: from here on shares are filled.
    pub fn set_ready(&self) {
        self.change(|state, ctx| {
            if !state.ready {
                state.ready = true;
                state.assign_all(ctx);
            }
        });
    }

    /// Wakes whoever waits for a change.
    pub fn touch(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Wakes on any change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The kinds of templates to watch.
    #[must_use]
    pub fn wanted_kinds(&self) -> watch::Receiver<BTreeSet<Gvk>> {
        self.wanted.subscribe()
    }

    fn change(&self, f: impl FnOnce(&mut State, &Context<'_>)) {
        let ctx = Context {
            shares: &self.shares,
            bodies: &self.bodies,
        };
        let (revision, wanted) = {
            let mut state = self.lock();
            f(&mut state, &ctx);
            (state.revision, state.wanted.clone())
        };
        self.shares.set_revision(revision);
        self.wanted.send_if_modified(|held| {
            let changed = *held != wanted;
            *held = wanted;
            changed
        });
        self.changed.send_modify(|n| *n += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the state fills while it changes.
struct Context<'a> {
    shares: &'a Shares,
    bodies: &'a BodyStore,
}

impl Context<'_> {
    fn name(cluster: &str) -> ClusterName {
        ClusterName::new(cluster)
    }
}

impl State {
    fn note_revision(&mut self, source: &Source, revision: u64) {
        self.revision = self.revision.max(revision);
        let seen = self.seen.entry(source.clone()).or_default();
        *seen = (*seen).max(revision);
    }

    fn apply(&mut self, ctx: &Context<'_>, source: &Source, object: Value, seen: Seen) {
        let revision = revision_of(&object);
        self.note_revision(source, revision);
        match source {
            Source::Clusters => self.apply_cluster(ctx, read(source, object)),
            Source::Enrolments => self.apply_enrolment(ctx, read(source, object), revision),
            Source::Policies | Source::ClusterPolicies => {
                self.apply_policy(policy_key(&object), read(source, object));
            }
            Source::Overrides | Source::ClusterOverrides => {
                self.apply_override(ctx, policy_key(&object), read(source, object));
            }
            Source::Bindings | Source::ClusterBindings => self.apply_binding(ctx, object),
            Source::Removals => self.apply_removal(ctx, read(source, object)),
            Source::Epochs => self.apply_epochs(ctx, read(source, object)),
            Source::Templates(gvk) => self.apply_template(ctx, gvk, &object, seen),
        }
    }

    fn remove(&mut self, ctx: &Context<'_>, source: &Source, object: &Value, seen: Seen) {
        let name = manifest::name(object);
        let revision = revision_of(object);
        match source {
            Source::Clusters => self.remove_cluster(ctx, name),
            Source::Enrolments => {
                self.enrolments.remove(name);
                self.dirty.clusters.insert(name.to_owned());
            }
            Source::Policies | Source::ClusterPolicies => self.remove_policy(&policy_key(object)),
            Source::Overrides | Source::ClusterOverrides => {
                self.remove_override(ctx, &policy_key(object), revision);
            }
            Source::Bindings | Source::ClusterBindings => {
                self.remove_binding(ctx, &BindingKey::of(object));
            }
            Source::Removals => self.remove_removal(ctx, name),
            Source::Epochs => self.epochs.clear(),
            Source::Templates(gvk) => {
                let uid = manifest::uid(object);
                self.remove_template(&TemplateKey::of(gvk, object), uid, seen);
            }
        }
    }

    fn apply_epochs(&mut self, ctx: &Context<'_>, list: Option<EpochList>) {
        let Some(list) = list else { return };
        if self.epochs != list.spec.epochs {
            self.epochs = list.spec.epochs;
            // A decision may have become stale, or stopped being so.
            self.dirty.placement.extend(self.binding_of.keys().cloned());
            self.assign_all(ctx);
        }
    }

    /// The objects a watch has brought, as far as `remove` needs them.
    fn names(&self, source: &Source) -> Vec<Value> {
        let object = |namespace: &str, name: &str| serde_json::json!({ "metadata": { "namespace": namespace, "name": name } });
        let of_policies = |keys: &mut dyn Iterator<Item = &PolicyKey>| {
            keys.map(|k| object(&k.namespace, &k.name)).collect()
        };
        match source {
            Source::Clusters => self.clusters.keys().map(|n| object("", n)).collect(),
            Source::Enrolments => self.enrolments.keys().map(|n| object("", n)).collect(),
            Source::Policies => of_policies(&mut self.propagation.keys(true)),
            Source::ClusterPolicies => of_policies(&mut self.propagation.keys(false)),
            Source::Overrides => of_policies(&mut self.overrides.keys(true)),
            Source::ClusterOverrides => of_policies(&mut self.overrides.keys(false)),
            Source::Bindings | Source::ClusterBindings => {
                let keys = self.bindings.keys().filter(|k| k.source() == *source);
                keys.map(|k| object(&k.namespace, &k.name)).collect()
            }
            Source::Removals => self.removals.keys().map(|n| object("", n)).collect(),
            Source::Epochs => Vec::new(),
            Source::Templates(gvk) => {
                let templates = self.templates_of(gvk, None).filter(|t| !t.gone);
                let keys = templates.map(|t| &t.key);
                keys.map(|k| object(&k.namespace, &k.name)).collect()
            }
        }
    }

    fn note_deleted(&mut self, uid: &str) {
        if self.seen_deleted.insert(uid.to_owned()) {
            self.seen_deleted_order.push_back(uid.to_owned());
        }
        while self.seen_deleted_order.len() > SEEN_DELETED_MAX {
            if let Some(oldest) = self.seen_deleted_order.pop_front() {
                self.seen_deleted.remove(&oldest);
            }
        }
    }
}

fn policy_key(object: &Value) -> PolicyKey {
    PolicyKey {
        namespace: manifest::namespace(object).to_owned(),
        name: manifest::name(object).to_owned(),
    }
}

/// A stored object with today's defaults. One that cannot be read changes nothing: what was known of
/// it stays in force.
fn read<S, T>(source: &Source, object: Value) -> Option<Object<S, T>>
where
    Object<S, T>: DeserializeOwned,
    T: Default + PartialEq,
{
    let name = manifest::name(&object).to_owned();
    let info = source.kind().and_then(|(g, k)| registry::find(g, k));
    let object = match info {
        Some(info) => api::normalise(info, object),
        None => object,
    };
    match serde_json::from_value(object) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::warn!(?source, name, %error, "an object cannot be read and is left aside");
            None
        }
    }
}
