//! A member in memory, for tests: versions, compare-and-swap, watches, and a simple server-side apply.
//!
//! Field ownership is per leaf path; lists are single leaves. It can be told to fail, before or after
//! a write took effect, so that a crash between any two writes can be played.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use flotilla_policy::model::manifest;
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    At, Call, Class, Deleted, Gvk, Kind, MemberApi, MemberError, Precondition, Seen, Served, Write,
    version_of,
};

/// Changes a watcher may lag behind before its watch expires.
const WATCH_EVENTS_MAX: usize = 1024;

/// Where the next failures strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The nth write from now (0 = the next) fails without effect, and all after it.
    Before(usize),
    /// The nth write from now has its effect but its answer is lost; all after it fail.
    After(usize),
}

/// A member in memory.
#[derive(Clone)]
pub struct MemoryMember {
    inner: Arc<Mutex<Inner>>,
}

type Key = (Gvk, String, String);

struct Inner {
    version: u64,
    objects: BTreeMap<Key, Value>,
    kinds: BTreeSet<Kind>,
    events: broadcast::Sender<(Gvk, Seen)>,
    writes: Vec<String>,
    fault: Option<Fault>,
    refusals: BTreeMap<String, (Class, String)>,
}

impl Default for MemoryMember {
    fn default() -> Self {
        let kinds = BTreeSet::from([
            Kind::secret(),
            Kind::namespace(),
            Kind::node(),
            Kind::pod(),
            Kind::lease(),
            Kind::crd(),
            Kind::known("v1", "ConfigMap", "configmaps", true),
            Kind::known("apps/v1", "Deployment", "deployments", true),
        ]);
        Self {
            inner: Arc::new(Mutex::new(Inner {
                // Far from the version that stands for "must not be there".
                version: 1000,
                objects: BTreeMap::new(),
                kinds,
                events: broadcast::channel(WATCH_EVENTS_MAX).0,
                writes: Vec::new(),
                fault: None,
                refusals: BTreeMap::new(),
            })),
        }
    }
}

impl MemoryMember {
    /// Every write so far: verb and object.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        self.with(|m| m.writes.clone())
    }

    /// Fails from some write on, until called with none.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.with(|m| m.fault = fault);
    }

    /// Refuses writes of an object (`Kind namespace/name`) until called with none.
    pub fn refuse(&self, object: &str, why: Option<(Class, &str)>) {
        self.with(|m| match why {
            Some((class, text)) => {
                m.refusals
                    .insert(object.to_owned(), (class, text.to_owned()));
            }
            None => {
                m.refusals.remove(object);
            }
        });
    }

    /// Serves one more kind.
    pub fn serve(&self, kind: Kind) {
        self.with(|m| m.kinds.insert(kind));
    }

    /// What is there, whoever wrote it.
    #[must_use]
    pub fn peek(&self, gvk: &Gvk, namespace: &str, name: &str) -> Option<Value> {
        let key = (gvk.clone(), namespace.to_owned(), name.to_owned());
        self.with(|m| m.objects.get(&key).cloned())
    }

    /// Puts an object there as some other user would.
    pub fn put(&self, at: &At, object: Value) -> Value {
        self.with(|m| m.store(at, object))
    }

    /// Takes an object away as some other user would.
    pub fn take(&self, at: &At) {
        self.with(|m| m.drop_object(at));
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn mutate<T>(
        &self,
        verb: &'static str,
        at: &At,
        f: impl FnOnce(&mut Inner) -> Result<T, MemberError>,
    ) -> Result<T, MemberError> {
        self.with(|m| {
            let lost = || MemberError::new(Class::Retry, verb, at, "no answer");
            if let Some((class, text)) = m.refusals.get(&at.to_string()) {
                return Err(MemberError::new(*class, verb, at, text));
            }
            match &mut m.fault {
                Some(Fault::Before(0)) => return Err(lost()),
                Some(Fault::Before(n)) => *n -= 1,
                Some(Fault::After(0)) => {
                    m.fault = Some(Fault::Before(0));
                    m.note(verb, at);
                    f(m)?;
                    return Err(lost());
                }
                Some(Fault::After(n)) => *n -= 1,
                None => {}
            }
            m.note(verb, at);
            f(m)
        })
    }
}

impl Inner {
    fn note(&mut self, verb: &str, at: &At) {
        self.writes.push(format!("{verb} {at}"));
    }

    fn store(&mut self, at: &At, mut object: Value) -> Value {
        self.version += 1;
        let old = self.objects.get(&key(at));
        let uid = old.map_or_else(
            || format!("uid-{}", self.version),
            |o| manifest::uid(o).to_owned(),
        );
        let generation = old.map_or(1, |o| {
            let same = o.get("spec") == object.get("spec");
            manifest::int(o, &["metadata", "generation"]).unwrap_or(1) + i64::from(!same)
        });
        let meta = manifest::map_mut(&mut object, &["metadata"]);
        meta.insert("uid".into(), uid.into());
        meta.insert("name".into(), at.name.clone().into());
        meta.insert("generation".into(), generation.into());
        meta.insert("resourceVersion".into(), self.version.to_string().into());
        if !at.namespace.is_empty() {
            meta.insert("namespace".into(), at.namespace.clone().into());
        }
        object["apiVersion"] = at.kind.gvk.api_version().into();
        object["kind"] = at.kind.gvk.kind.clone().into();
        self.objects.insert(key(at), object.clone());
        let _ = self
            .events
            .send((at.kind.gvk.clone(), Seen::Is(object.clone())));
        object
    }

    fn drop_object(&mut self, at: &At) {
        if let Some(object) = self.objects.remove(&key(at)) {
            self.version += 1;
            let _ = self.events.send((at.kind.gvk.clone(), Seen::Went(object)));
        }
    }

    fn check_parents(&self, verb: &'static str, at: &At) -> Result<(), MemberError> {
        if !self.kinds.contains(&at.kind) {
            return Err(MemberError::new(
                Class::UnknownKind,
                verb,
                at,
                "no such kind",
            ));
        }
        let parent = (Kind::namespace().gvk, String::new(), at.namespace.clone());
        let system = ["", "default", "kube-system", "flotilla-system"];
        if system.contains(&at.namespace.as_str()) || self.objects.contains_key(&parent) {
            return Ok(());
        }
        let text = format!("namespaces \"{}\" not found", at.namespace);
        Err(MemberError::new(Class::NamespaceMissing, verb, at, &text))
    }

    fn write(&mut self, at: &At, object: &Value, how: Write) -> Result<Value, MemberError> {
        let stored = self.objects.get(&key(at)).cloned();
        let wanted = version_of(object);
        let conflict = |text: &str| MemberError::new(Class::Conflict, "write", at, text);
        if let Some(stored) = &stored
            && !wanted.is_empty()
            && wanted != version_of(stored)
        {
            return Err(conflict("the object has been modified"));
        }
        let applies = matches!(how, Write::Apply | Write::ApplyForce);
        let Some(stored) = stored else {
            if !applies {
                return Err(MemberError::new(Class::NotFound, "write", at, "not found"));
            }
            self.check_parents("write", at)?;
            return Ok(self.store(at, apply(&json!({}), object, true).unwrap_or_default()));
        };
        let made = match how {
            Write::Replace => object.clone(),
            Write::Merge => {
                let mut merged = stored.clone();
                json_merge(&mut merged, object);
                merged
            }
            Write::Apply | Write::ApplyForce => apply(&stored, object, how == Write::ApplyForce)
                .map_err(|field| conflict(&format!("conflict with another manager: {field}")))?,
        };
        if made == stored {
            return Ok(stored);
        }
        Ok(self.store(at, made))
    }
}

fn key(at: &At) -> Key {
    (at.kind.gvk.clone(), at.namespace.clone(), at.name.clone())
}

fn json_merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    let map = manifest::map_mut(into, &[]);
    for (name, value) in patch {
        if value.is_null() {
            map.remove(name);
        } else {
            json_merge(map.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Leaves of an object as `fieldsV1` text paths, without what identifies it.
fn leaves(object: &Value, path: &str, out: &mut BTreeMap<String, Value>) {
    match object {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let skipped = path.is_empty() && (name == "apiVersion" || name == "kind")
                    || path == "\u{1}metadata"
                        && [
                            "name",
                            "namespace",
                            "resourceVersion",
                            "uid",
                            "managedFields",
                            "generation",
                        ]
                        .contains(&name.as_str());
                if !skipped {
                    leaves(value, &format!("{path}\u{1}{name}"), out);
                }
            }
        }
        other => {
            out.insert(path.to_owned(), other.clone());
        }
    }
}

fn leaf_paths(object: &Value) -> BTreeMap<Vec<String>, Value> {
    let mut out = BTreeMap::new();
    leaves(object, "", &mut out);
    out.into_iter()
        .map(|(path, value)| {
            (
                path.split('\u{1}').skip(1).map(str::to_owned).collect(),
                value,
            )
        })
        .collect()
}

fn fields_of(paths: impl Iterator<Item = Vec<String>>) -> Value {
    let mut fields = json!({});
    for path in paths {
        let mut at = &mut fields;
        for name in &path {
            at = manifest::map_mut(at, &[])
                .entry(format!("f:{name}"))
                .or_insert_with(|| json!({}));
        }
    }
    fields
}

fn paths_of(fields: &Value, path: &mut Vec<String>, out: &mut BTreeSet<Vec<String>>) {
    let map = fields.as_object().filter(|map| !map.is_empty());
    let Some(map) = map else {
        out.insert(path.clone());
        return;
    };
    for (name, value) in map {
        let Some(name) = name.strip_prefix("f:") else {
            continue;
        };
        path.push(name.to_owned());
        paths_of(value, path, out);
        path.pop();
    }
}

/// Server-side apply by the manager `flotilla`; the field in the way, when another owns it.
fn apply(stored: &Value, desired: &Value, force: bool) -> Result<Value, String> {
    let mut made = stored.clone();
    let wanted = leaf_paths(desired);
    let mut others = Vec::new();
    let mut before = BTreeSet::new();
    let entries = stored["metadata"]["managedFields"].as_array();
    for entry in entries.into_iter().flatten() {
        let mut paths = BTreeSet::new();
        paths_of(&entry["fieldsV1"], &mut Vec::new(), &mut paths);
        if entry["manager"] == "flotilla" && entry["operation"] == "Apply" {
            before = paths;
        } else {
            others.push((entry.clone(), paths));
        }
    }
    for (path, value) in &wanted {
        let pointer = format!("/{}", path.join("/"));
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let differs = manifest::get(stored, &names).is_some_and(|old| old != value);
        for (_, paths) in others
            .iter_mut()
            .filter(|(_, p)| differs && p.contains(path))
        {
            if !force {
                return Err(pointer.clone());
            }
            paths.remove(path);
        }
        set(&mut made, &names, value.clone());
    }
    for path in before.iter().filter(|path| !wanted.contains_key(*path)) {
        if !others.iter().any(|(_, paths)| paths.contains(path)) {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            manifest::remove(&mut made, &names);
        }
    }
    let mut entries: Vec<Value> = others
        .into_iter()
        .filter(|(_, paths)| !paths.is_empty())
        .map(|(mut entry, paths)| {
            entry["fieldsV1"] = fields_of(paths.into_iter());
            entry
        })
        .collect();
    entries.push(json!({
        "manager": "flotilla", "operation": "Apply",
        "fieldsV1": fields_of(wanted.into_keys()),
    }));
    manifest::map_mut(&mut made, &["metadata"]).insert("managedFields".into(), entries.into());
    Ok(made)
}

fn set(object: &mut Value, path: &[&str], value: Value) {
    if let Some((last, parents)) = path.split_last() {
        manifest::map_mut(object, parents).insert((*last).to_owned(), value);
    }
}

/// A label selector of the forms the agent uses: empty, `key`, or `key=value`.
fn selected(object: &Value, labels: &str) -> bool {
    let found = manifest::labels(object);
    match labels.split_once('=') {
        _ if labels.is_empty() => true,
        Some((name, value)) => found.get(name).is_some_and(|v| v == value),
        None => found.contains_key(labels),
    }
}

impl MemberApi for MemoryMember {
    fn get<'a>(&'a self, at: &'a At) -> Call<'a, Option<Value>> {
        Box::pin(async move { Ok(self.with(|m| m.objects.get(&key(at)).cloned())) })
    }

    fn create<'a>(&'a self, at: &'a At, object: &'a Value) -> Call<'a, Value> {
        Box::pin(async move {
            self.mutate("create", at, |m| {
                m.check_parents("create", at)?;
                if m.objects.contains_key(&key(at)) {
                    return Err(MemberError::new(
                        Class::Exists,
                        "create",
                        at,
                        "already exists",
                    ));
                }
                let mut made = object.clone();
                let fields = fields_of(leaf_paths(object).into_keys());
                let entry = json!([{
                    "manager": "flotilla", "operation": "Update", "fieldsV1": fields,
                }]);
                manifest::map_mut(&mut made, &["metadata"]).insert("managedFields".into(), entry);
                Ok(m.store(at, made))
            })
        })
    }

    fn write<'a>(&'a self, at: &'a At, object: &'a Value, how: Write) -> Call<'a, Value> {
        Box::pin(async move { self.mutate("write", at, |m| m.write(at, object, how)) })
    }

    fn delete<'a>(&'a self, at: &'a At, only: &'a Precondition) -> Call<'a, Deleted> {
        Box::pin(async move {
            self.mutate("delete", at, |m| {
                let Some(stored) = m.objects.get(&key(at)) else {
                    return Ok(Deleted::Gone);
                };
                if manifest::uid(stored) != only.uid || version_of(stored) != only.resource_version
                {
                    return Err(MemberError::new(Class::Conflict, "delete", at, "changed"));
                }
                m.drop_object(at);
                Ok(Deleted::Gone)
            })
        })
    }

    fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &'a str,
        labels: &'a str,
        limit: usize,
    ) -> Call<'a, Vec<Value>> {
        Box::pin(async move {
            let limit = if limit == 0 { usize::MAX } else { limit };
            Ok(self.with(|m| {
                m.objects
                    .iter()
                    .filter(|((gvk, ns, _), o)| {
                        *gvk == kind.gvk
                            && (namespace.is_empty() || ns == namespace)
                            && selected(o, labels)
                    })
                    .map(|(_, o)| o.clone())
                    .take(limit)
                    .collect()
            }))
        })
    }

    fn watch(&self, kind: &Kind, labels: &str) -> BoxStream<'static, Result<Seen, MemberError>> {
        let labels = labels.to_owned();
        let gvk = kind.gvk.clone();
        let target = gvk.to_string();
        let (all, rx) = self.with(|m| {
            let all = m.objects.iter();
            let all = all.filter(|((k, ..), o)| *k == gvk && selected(o, &labels));
            let all = all.map(|(_, o)| o.clone()).collect();
            (Seen::All(all), m.events.subscribe())
        });
        let rest = stream::unfold((rx, true), move |(mut rx, alive)| {
            let (gvk, labels, target) = (gvk.clone(), labels.clone(), target.clone());
            async move {
                loop {
                    if !alive {
                        return None;
                    }
                    match rx.recv().await {
                        Ok((kind, seen)) if kind == gvk => {
                            let seen = match seen {
                                Seen::Is(o) if !selected(&o, &labels) => Seen::Went(o),
                                other => other,
                            };
                            return Some((Ok(seen), (rx, true)));
                        }
                        Ok(_) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                        Err(broadcast::error::RecvError::Lagged(_)) => {
                            let error = MemberError::new(Class::Expired, "watch", target, "lagged");
                            return Some((Err(error), (rx, false)));
                        }
                    }
                }
            }
        });
        stream::once(async move { Ok(all) }).chain(rest).boxed()
    }

    fn discover(&self) -> Call<'_, Vec<Served>> {
        Box::pin(async move {
            let kinds = self.with(|m| m.kinds.clone());
            let mut served: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
            for kind in kinds {
                let group_version = kind.gvk.api_version();
                served.entry(group_version).or_default().push(kind);
            }
            let pairs = served.into_iter();
            Ok(pairs
                .map(|(group_version, kinds)| Served {
                    group_version,
                    kinds,
                })
                .collect())
        })
    }

    fn version(&self) -> Call<'_, String> {
        Box::pin(async { Ok("v1.34.0-memory".to_owned()) })
    }
}
