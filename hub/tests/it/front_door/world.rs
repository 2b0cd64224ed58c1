//! A front door in memory with what an API server adds to it (finalizers, garbage collection,
//! generations), an index fed from it, and controllers run by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_hub::controllers::driver::{Controller, Moment, Planned};
use flotilla_hub::controllers::placement::Placement;
use flotilla_hub::controllers::writes::{Note, TemplateDoor, Write, Writer};
use flotilla_hub::durable::{self, Durable, DurableError, Key, Kind, MemoryDurable};
use flotilla_hub::fleet::share::{BodyStore, ClusterName, Said, Shares};
use flotilla_hub::front_door::index::Index;
use flotilla_hub::front_door::keys::{Gvk, Source, TemplateKey};
use flotilla_proto::ids::WorkId;
use futures::future::BoxFuture;
use serde_json::{Value, json};

const POLICY: &str = "policy.karmada.io";

const fn kind(group: &'static str, version: &'static str, kind: &'static str) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural: "",
    }
}

pub(crate) const CONFIG_MAP: Kind = kind("", "v1", "ConfigMap");
pub(crate) const NAMESPACE: Kind = kind("", "v1", "Namespace");
pub(crate) const DEPLOYMENT: Kind = kind("apps", "v1", "Deployment");
pub(crate) const JOB: Kind = kind("batch", "v1", "Job");
pub(crate) const PP: Kind = kind(POLICY, "v1alpha1", "PropagationPolicy");
pub(crate) const OP: Kind = kind(POLICY, "v1alpha1", "OverridePolicy");

const KINDS: [Kind; 11] = [
    CONFIG_MAP,
    NAMESPACE,
    DEPLOYMENT,
    JOB,
    PP,
    OP,
    durable::CLUSTER,
    durable::ENROLMENT,
    durable::RESOURCE_BINDING,
    durable::CLUSTER_RESOURCE_BINDING,
    durable::REMOVAL,
];

fn source(kind: Kind) -> Source {
    match kind {
        PP => Source::Policies,
        OP => Source::Overrides,
        durable::CLUSTER => Source::Clusters,
        durable::ENROLMENT => Source::Enrolments,
        durable::RESOURCE_BINDING => Source::Bindings,
        durable::CLUSTER_RESOURCE_BINDING => Source::ClusterBindings,
        durable::REMOVAL => Source::Removals,
        template => Source::Templates(Gvk::new(&template.api_version(), template.kind)),
    }
}

/// The world.
pub(crate) struct World {
    pub(crate) door: Arc<MemoryDurable>,
    pub(crate) index: Arc<Index>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) bodies: Arc<BodyStore>,
    pub(crate) placement: Placement,
    pub(crate) writer: Writer,
    seen: BTreeMap<Key, Value>,
    /// Every write made since it was last taken.
    pub(crate) writes: Vec<Write>,
}

impl World {
    /// An empty one whose first lists are complete.
    pub(crate) fn new() -> Self {
        let door = Arc::new(MemoryDurable::default());
        Self::over(door)
    }

    /// A hub that starts over a front door that holds something.
    pub(crate) fn over(door: Arc<MemoryDurable>) -> Self {
        let (shares, bodies) = (Arc::new(Shares::default()), Arc::new(BodyStore::default()));
        let index = Arc::new(Index::new(Arc::clone(&shares), Arc::clone(&bodies)));
        let templates = Arc::new(FakeTemplates {
            door: Arc::clone(&door),
        });
        let mut world = Self {
            placement: Placement::new(Arc::clone(&index)),
            writer: Writer::new(
                Arc::clone(&door) as Arc<dyn Durable>,
                templates as Arc<dyn TemplateDoor>,
            ),
            door,
            index,
            shares,
            bodies,
            seen: BTreeMap::new(),
            writes: Vec::new(),
        };
        world.first_lists();
        world
    }

    fn first_lists(&mut self) {
        for kind in KINDS {
            let objects = self.list(kind);
            for object in &objects {
                self.seen.insert(key_of(kind, object), object.clone());
            }
            self.index.reset(&source(kind), objects);
        }
        self.index.set_ready();
    }

    /// Stores an object, over what is there.
    pub(crate) fn put(&mut self, kind: Kind, mut object: Value) -> Value {
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        let key = key_of(kind, &object);
        let stored = match self.get(&key) {
            Some(old) => {
                object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
                now(self.door.replace(&key, object))
            }
            None => now(self.door.create(&key, object)),
        };
        self.sync();
        stored.unwrap()
    }

    /// Changes an object.
    pub(crate) fn edit(&mut self, kind: Kind, ns: &str, name: &str, f: impl FnOnce(&mut Value)) {
        let mut object = self.object(kind, ns, name);
        f(&mut object);
        self.put(kind, object);
    }

    /// Deletes an object as a person does: finalizers hold it, and its binding follows it.
    pub(crate) fn delete(&mut self, kind: Kind, ns: &str, name: &str) {
        let key = Key::namespaced(kind, ns, name);
        self.delete_quietly(&key);
        self.sync();
        self.collect_garbage();
    }

    /// Deletes an object without the hub noticing.
    pub(crate) fn delete_quietly(&mut self, key: &Key) {
        let object = self.get(key).expect("it is there");
        let held = object["metadata"]["finalizers"].as_array();
        if held.is_some_and(|f| !f.is_empty()) {
            let mut object = object;
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            now(self.door.replace(key, object)).unwrap();
        } else {
            let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
            now(self
                .door
                .delete(key, &text("uid"), &text("resourceVersion")))
            .unwrap();
        }
    }

    /// Deletes the bindings whose owner is not there.
    pub(crate) fn collect_garbage(&mut self) {
        let uids: Vec<Value> = KINDS
            .iter()
            .flat_map(|kind| self.list(*kind))
            .map(|object| object["metadata"]["uid"].clone())
            .collect();
        for kind in [durable::RESOURCE_BINDING, durable::CLUSTER_RESOURCE_BINDING] {
            for binding in self.list(kind) {
                let metadata = &binding["metadata"];
                let owner = &metadata["ownerReferences"][0]["uid"];
                if metadata.get("deletionTimestamp").is_none() && !uids.contains(owner) {
                    self.delete_quietly(&key_of(kind, &binding));
                }
            }
        }
        self.sync();
    }

    /// Brings what changed at the front door to the index, as watches do.
    pub(crate) fn sync(&mut self) {
        self.end_deletions();
        for kind in KINDS {
            let objects = self.list(kind);
            let keys: Vec<Key> = objects.iter().map(|o| key_of(kind, o)).collect();
            let gone: Vec<Key> = self
                .seen
                .keys()
                .filter(|k| k.kind == kind && !keys.contains(k))
                .cloned()
                .collect();
            for key in gone {
                let object = self.seen.remove(&key).unwrap();
                self.index.delete(&source(kind), &object);
            }
            for (key, mut object) in keys.into_iter().zip(objects) {
                let old = self.seen.get(&key);
                if old.map(version) == Some(version(&object)) {
                    continue;
                }
                if old.is_some_and(|old| old["metadata"]["uid"] != object["metadata"]["uid"]) {
                    self.index.delete(&source(kind), old.unwrap());
                }
                self.number(&key, &mut object);
                self.seen.insert(key, object.clone());
                self.index.apply(&source(kind), object);
            }
        }
    }

    fn end_deletions(&mut self) {
        for kind in KINDS {
            for object in self.list(kind) {
                let metadata = &object["metadata"];
                let held = metadata["finalizers"].as_array();
                if metadata.get("deletionTimestamp").is_some() && held.is_none_or(Vec::is_empty) {
                    self.delete_quietly(&key_of(kind, &object));
                }
            }
        }
    }

    /// Counts changes of the spec in the generation, as the API server does.
    fn number(&mut self, key: &Key, object: &mut Value) {
        let old = self.seen.get(key);
        let held = object["metadata"]["generation"].as_i64().unwrap_or(0);
        let before = old.map_or(0, |o| o["metadata"]["generation"].as_i64().unwrap_or(0));
        // Of a Deployment annotations count as well.
        let notes =
            |o: &Value| (key.kind == DEPLOYMENT).then(|| o["metadata"]["annotations"].clone());
        let same = old.is_some_and(|o| o["spec"] == object["spec"] && notes(o) == notes(object));
        let generation = if same { before } else { before + 1 };
        if held == generation || object.get("spec").is_none() {
            return;
        }
        object["metadata"]["generation"] = json!(generation);
        *object = now(self.door.replace(key, object.clone())).unwrap();
    }

    /// Runs placement until nothing is due.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            let keys = self.placement.take();
            if keys.is_empty() {
                return;
            }
            for key in keys {
                self.place(&key);
            }
        }
        panic!("placement does not come to rest");
    }

    fn place(&mut self, key: &TemplateKey) {
        match self.placement.plan(key, &moment(3)) {
            Planned::Nothing | Planned::Later(_) => {}
            Planned::Write(writes) => self.execute(&writes),
        }
    }

    /// Makes writes, and brings them to the index.
    pub(crate) fn execute(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                // As an API server does: finalizers hold it.
                Write::Delete { key, .. } => self.delete_quietly(key),
                other => drop(now(self.writer.make(other)).unwrap()),
            }
        }
        self.writes.extend_from_slice(writes);
        self.sync();
    }

    /// The writes since the last call, one word each.
    pub(crate) fn take_writes(&mut self) -> Vec<String> {
        let word = |write: &Write| match write {
            Write::Create(key, _) => format!("create {} {}", key.kind.kind, key.name),
            Write::Replace(key, _) => format!("replace {} {}", key.kind.kind, key.name),
            Write::ReplaceStatus(key, _) => format!("status {} {}", key.kind.kind, key.name),
            Write::Delete { key, .. } => format!("delete {} {}", key.kind.kind, key.name),
            Write::Patch { key, status, .. } => {
                let what = if *status { "patch status" } else { "patch" };
                format!("{what} {} {}", key.kind, key.name)
            }
            Write::Note(note) => format!("note {}", note.reason),
        };
        std::mem::take(&mut self.writes).iter().map(word).collect()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        now(self.door.get(key)).unwrap()
    }

    pub(crate) fn object(&self, kind: Kind, ns: &str, name: &str) -> Value {
        let key = Key::namespaced(kind, ns, name);
        self.get(&key)
            .unwrap_or_else(|| panic!("{key:?} is not there"))
    }

    pub(crate) fn binding(&self, ns: &str, name: &str) -> Value {
        self.object(durable::RESOURCE_BINDING, ns, name)
    }

    pub(crate) fn list(&self, kind: Kind) -> Vec<Value> {
        now(self.door.list(kind, "")).unwrap()
    }

    /// A member that serves what the tests use.
    pub(crate) fn cluster(&mut self, name: &str) {
        self.cluster_with(name, |_| {});
    }

    /// A member, changed before it is stored.
    pub(crate) fn cluster_with(&mut self, name: &str, f: impl FnOnce(&mut Value)) {
        let api = |version: &str, kinds: &[&str]| {
            let resources: Vec<Value> = kinds
                .iter()
                .map(|kind| json!({ "name": kind.to_lowercase(), "kind": kind }))
                .collect();
            json!({ "groupVersion": version, "resources": resources })
        };
        let mut object = json!({
            "metadata": { "name": name },
            "spec": { "id": uid(name), "syncMode": "Pull" },
            "status": { "apiEnablements": [
                api("v1", &["ConfigMap", "Namespace"]),
                api("apps/v1", &["Deployment"]),
                api("batch/v1", &["Job"]),
            ] },
        });
        f(&mut object);
        self.put(durable::CLUSTER, object);
    }

    /// A policy for ConfigMaps, Deployments and Jobs of its namespace in these clusters.
    pub(crate) fn policy(&mut self, ns: &str, name: &str, clusters: &[&str]) {
        let selector = |version: &str, kind: &str| json!({ "apiVersion": version, "kind": kind, "namespace": ns });
        self.put(
            PP,
            json!({
                "metadata": { "name": name, "namespace": ns,
                    "labels": { "propagationpolicy.karmada.io/permanent-id": format!("id-{name}") } },
                "spec": {
                    "resourceSelectors": [
                        selector("v1", "ConfigMap"),
                        selector("apps/v1", "Deployment"),
                        selector("batch/v1", "Job"),
                    ],
                    "placement": { "clusterAffinity": { "clusterNames": clusters } },
                },
            }),
        );
    }

    /// A ConfigMap.
    pub(crate) fn config_map(&mut self, ns: &str, name: &str, value: &str) {
        let object = json!({
            "metadata": { "name": name, "namespace": ns }, "data": { "key": value } });
        self.put(CONFIG_MAP, object);
    }

    /// What a cluster is told about a template: `upsert`, `tombstone` or `nothing`.
    pub(crate) fn said(&self, cluster: &str, kind: Kind, ns: &str, name: &str) -> Said {
        let id = work(cluster, kind, ns, name);
        let said = self.shares.snapshot(&ClusterName::new(cluster));
        let found = said.into_iter().find(|(work, _)| *work == id);
        found.map_or(Said::Nothing, |(_, said)| said)
    }
}

/// Templates patched in place.
pub(crate) struct FakeTemplates {
    door: Arc<MemoryDurable>,
}

impl TemplateDoor for FakeTemplates {
    fn patch<'a>(
        &'a self,
        gvk: &'a Gvk,
        key: &'a TemplateKey,
        _status: bool,
        patch: &'a Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move {
            let kind = KINDS.iter().find(|k| k.kind == gvk.kind).unwrap();
            let key = Key::namespaced(*kind, &key.namespace, &key.name);
            let mut object = self.door.get(&key).await?.unwrap();
            merge(&mut object, patch);
            self.door.replace(&key, object).await
        })
    }

    fn note<'a>(&'a self, _note: &'a Note) -> BoxFuture<'a, Result<(), DurableError>> {
        Box::pin(async { Ok(()) })
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

pub(crate) fn work(cluster: &str, kind: Kind, ns: &str, name: &str) -> WorkId {
    WorkId::new(kind.group, kind.kind, ns, name, &uid(cluster))
}

fn uid(cluster: &str) -> String {
    format!("uid-of-{cluster}")
}

/// A moment of a hub's reign.
pub(crate) fn moment(term: u64) -> Moment {
    Moment {
        now: "2026-01-01T00:00:00Z".to_owned(),
        waited: Duration::from_secs(1),
        running: Duration::from_secs(600),
        term,
    }
}

/// The value of a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    futures::FutureExt::now_or_never(future).expect("memory never waits")
}

fn key_of(kind: Kind, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    Key::namespaced(kind, &text("namespace"), &text("name"))
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or("")
}
