//! A server as small as can be over the pure parts: it replays recorded steps on a map of objects and
//! counts how often the answer is that of a real server.
//!
//! It knows nothing of watches, lists, revisions and admission; steps that need those stand in a
//! table of the test with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_kubeapi::apply::{Manager, Operation, Reset, Tracker, from_scale, to_scale};
use flotilla_kubeapi::error::{Cause, Status};
use flotilla_kubeapi::kinds::{Kind, Profile, builtin, custom, defaults, prepare, validate};
use flotilla_kubeapi::patch;
use flotilla_kubeapi::schema::decode::{FieldValidation, decode};
use serde_json::{Value, json};

const PROFILE: Profile = Profile::Cluster;
const NOW: &str = "2026-01-01T00:00:00Z";

/// A reason, and which steps it is about: case, step, and the number of the step.
pub(crate) type Rule = (&'static str, fn(&str, &Value, usize) -> bool);

struct Server {
    kinds: Vec<Arc<Kind>>,
    objects: BTreeMap<String, Value>,
}

/// Where a request goes.
struct Target {
    kind: Arc<Kind>,
    namespace: String,
    name: String,
    subresource: String,
}

impl Target {
    fn key(&self) -> String {
        let (group, plural) = (&self.kind.group, &self.kind.plural);
        format!("{group}/{plural}/{}/{}", self.namespace, self.name)
    }
}

impl Server {
    fn target(&self, path: &str) -> Option<Target> {
        let mut parts = path.trim_start_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            _ => parts.next()?,
        };
        let version = parts.next()?;
        let mut rest: Vec<_> = parts.collect();
        let mut namespace = "";
        if rest.first() == Some(&"namespaces") && rest.len() > 2 && rest[2] != "status" {
            namespace = rest[1];
            rest.drain(..2);
        }
        let find = |kind: &&Arc<Kind>| {
            kind.group == group && kind.version == version && kind.plural == rest[0]
        };
        Some(Target {
            kind: Arc::clone(self.kinds.iter().find(find)?),
            namespace: namespace.to_owned(),
            name: (*rest.get(1).unwrap_or(&"")).to_owned(),
            subresource: (*rest.get(2).unwrap_or(&"")).to_owned(),
        })
    }

    /// Answers one step; none = this server cannot.
    fn answer(&mut self, step: &Value) -> Option<Result<(u16, Value), Status>> {
        let path = step["p"].as_str()?;
        let target = self.target(path)?;
        let (method, key) = (step["m"].as_str()?, target.key());
        if !matches!(target.subresource.as_str(), "" | "status" | "scale") {
            return None;
        }
        let body = match step["raw"].as_str() {
            Some(raw) => serde_json::from_str(raw).ok()?,
            None => step["body"].clone(),
        };
        if body.to_string().contains("\"{rv}\"") || body.to_string().contains("\"{uid}\"") {
            return None;
        }
        let live = self.objects.get(&key).cloned();
        match method {
            "GET" | "DELETE" if live.is_none() => Some(Err(missing(&target))),
            "GET" if target.subresource == "scale" => {
                let scale = self.scale(&target, &live?);
                Some(Ok((200, scale)))
            }
            "GET" => Some(Ok((200, self.shown(&target, live?)))),
            "DELETE" => {
                self.objects.remove(&key);
                Some(Ok((200, Value::Null)))
            }
            "POST" => Some(self.create(&target, step, body)),
            "PUT" | "PATCH" if target.subresource == "scale" => {
                Some(self.write_scale(&target, step, &body, &live?))
            }
            "PUT" | "PATCH" => Some(self.write(&target, step, body, live)),
            _ => None,
        }
    }

    fn create(
        &mut self,
        target: &Target,
        step: &Value,
        body: Value,
    ) -> Result<(u16, Value), Status> {
        let kind = &target.kind;
        let mut object = self.read(target, step, body)?;
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(target.namespace);
        }
        let object = self.track(target, step, None, object);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let target = Target {
            kind: Arc::clone(kind),
            namespace: target.namespace.clone(),
            name: name.to_owned(),
            subresource: String::new(),
        };
        self.store_new(&target, object)
    }

    fn store_new(&mut self, target: &Target, mut object: Value) -> Result<(u16, Value), Status> {
        let kind = &target.kind;
        object["metadata"]["uid"] = json!("uid-1");
        object["metadata"]["resourceVersion"] = json!("1");
        prepare::create(kind, PROFILE, &mut object, NOW);
        allocate(kind, &mut object);
        let causes = validate::create(kind, PROFILE, &object);
        refuse(target, causes)?;
        if kind.plural == "customresourcedefinitions" {
            self.kinds.extend(custom::custom(&object)?);
        }
        self.objects.insert(target.key(), object.clone());
        Ok((201, object))
    }

    fn write(
        &mut self,
        target: &Target,
        step: &Value,
        body: Value,
        live: Option<Value>,
    ) -> Result<(u16, Value), Status> {
        let patch_type = step["t"].as_str().unwrap_or_default();
        if patch_type == "apply-patch+yaml" {
            return self.apply(target, step, &body, live);
        }
        let Some(live) = live else {
            return Err(missing(target));
        };
        let shown = self.shown(target, live.clone());
        let new = if step["m"] == "PUT" {
            body
        } else {
            patched(target, patch_type, &shown, &body)?
        };
        let mut new = self.read(target, step, new).map_err(|status| {
            // A patch that makes no object of the kind is the patch's fault.
            let code = if step["m"] == "PATCH" {
                422
            } else {
                status.code
            };
            let causes = vec![Cause::new("FieldValueInvalid", "patch", status.message)];
            match code {
                422 => Status::invalid("", "", "", causes),
                _ => Status::bad_request("not an object of the kind"),
            }
        })?;
        if step["m"] == "PATCH"
            && new["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
        {
            return Err(Status::bad_request("name must be provided"));
        }
        if new["metadata"].get("namespace").is_none() && target.kind.namespaced {
            new["metadata"]["namespace"] = json!(target.namespace);
        }
        let new = self.track(target, step, Some(&shown), new);
        self.store(target, &live, new)
    }

    fn apply(
        &mut self,
        target: &Target,
        step: &Value,
        config: &Value,
        live: Option<Value>,
    ) -> Result<(u16, Value), Status> {
        let kind = &target.kind;
        if config["kind"] != kind.kind.as_str()
            || config["metadata"]["name"] != target.name.as_str()
        {
            return Err(Status::bad_request("not what the path names"));
        }
        if config["metadata"]["namespace"]
            .as_str()
            .is_some_and(|ns| ns != target.namespace)
        {
            return Err(Status::bad_request("not in this namespace"));
        }
        if live.is_none() && !target.subresource.is_empty() {
            return Err(missing(target));
        }
        if step["q"]["fieldManager"].is_null() {
            let cause = Cause::new("FieldValueRequired", "fieldManager", "Required value");
            return Err(Status::invalid("", "", "", vec![cause]));
        }
        let force = step["q"]["force"] == "true";
        let reset = Reset::of(kind, &target.subresource);
        let version = kind.api_version();
        let versions = self.versions(kind);
        let tracker = Tracker {
            kind,
            manager: manager(step, Operation::Apply, &version, &target.subresource),
            reset: &reset,
            versions: &versions,
        };
        let shown = live.clone().map(|live| self.shown(target, live));
        let applied = tracker.apply(shown.as_ref(), config, force)?;
        // What was applied to a custom resource is of its schema already, and null is seen there.
        let mut object = match kind.custom {
            true => applied,
            false => decode(kind, applied, FieldValidation::Ignore, &mut Vec::new())?,
        };
        defaults::apply(kind, PROFILE, &mut object);
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(target.namespace);
        }
        match live {
            Some(live) => self.store(target, &live, object),
            None => self.store_new(target, object),
        }
    }

    fn store(
        &mut self,
        target: &Target,
        live: &Value,
        mut new: Value,
    ) -> Result<(u16, Value), Status> {
        let kind = &target.kind;
        let has_status = kind.subresources.iter().any(|it| it.name == "status");
        if target.subresource == "status" {
            let status = new["status"].take();
            let entries = new["metadata"]["managedFields"].take();
            new = live.clone();
            new["status"] = status;
            if let Value::Object(metadata) = &mut new["metadata"] {
                metadata.remove("managedFields");
                metadata.extend(
                    Some(("managedFields".to_owned(), entries)).filter(|it| !it.1.is_null()),
                );
            }
        } else if has_status {
            match live.get("status") {
                Some(status) => new["status"] = status.clone(),
                None => drop(new.as_object_mut().map(|new| new.remove("status"))),
            }
        }
        for key in [
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
        ] {
            if let (Some(value), false) = (
                live["metadata"].get(key),
                new["metadata"].get(key).is_some(),
            ) {
                new["metadata"][key] = value.clone();
            }
        }
        allocate(kind, &mut new);
        let causes = validate::update(kind, PROFILE, &new, live);
        refuse(target, causes)?;
        self.objects.insert(target.key(), new.clone());
        Ok((200, new))
    }

    fn read(&self, target: &Target, step: &Value, body: Value) -> Result<Value, Status> {
        let kind = &target.kind;
        let mode = step["q"]["fieldValidation"].as_str().unwrap_or_default();
        let mode = FieldValidation::from_query(mode).unwrap_or_default();
        let mut object = decode(kind, body, mode, &mut Vec::new())?;
        defaults::apply(kind, PROFILE, &mut object);
        Ok(object)
    }

    fn versions(&self, kind: &Kind) -> Vec<String> {
        let same = |it: &&Arc<Kind>| it.group == kind.group && it.plural == kind.plural;
        let served = self.kinds.iter().filter(same);
        served.map(|kind| kind.api_version()).collect()
    }

    fn track(&self, target: &Target, step: &Value, live: Option<&Value>, new: Value) -> Value {
        let kind = &target.kind;
        let reset = Reset::of(kind, &target.subresource);
        let (version, versions) = (kind.api_version(), self.versions(kind));
        let tracker = Tracker {
            kind,
            manager: manager(step, Operation::Update, &version, &target.subresource),
            reset: &reset,
            versions: &versions,
        };
        tracker.update(live, new)
    }

    /// The object in the version that was asked for.
    fn shown(&self, target: &Target, mut object: Value) -> Value {
        object["apiVersion"] = json!(target.kind.api_version());
        object
    }

    fn scale(&self, target: &Target, live: &Value) -> Value {
        let entries = &live["metadata"]["managedFields"];
        let versions = self.versions(&target.kind);
        let entries = to_scale(entries, &versions, "spec.replicas").expect("entries can be read");
        let mut scale = json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": target.name, "namespace": target.namespace, "uid": "uid-1"},
            "spec": {}, "status": {"replicas": 0},
        });
        if let Some(replicas) = live.pointer("/spec/replicas") {
            scale["spec"]["replicas"] = replicas.clone();
        }
        let labels = live["spec"]["selector"]["matchLabels"].as_object();
        let labels: Vec<_> = labels
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        scale["status"]["selector"] = json!(labels.join(","));
        scale["metadata"]["managedFields"] = entries;
        scale
    }

    fn write_scale(
        &mut self,
        target: &Target,
        step: &Value,
        body: &Value,
        live: &Value,
    ) -> Result<(u16, Value), Status> {
        let kind =
            flotilla_kubeapi::kinds::body("autoscaling", "v1", "Scale").expect("a scale is known");
        let kind = Arc::new(kind);
        let at_scale = Target {
            kind: Arc::clone(&kind),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            subresource: "scale".to_owned(),
        };
        let present = self.scale(target, live);
        let reset = Reset::Nothing;
        let patch_type = step["t"].as_str().unwrap_or_default();
        let operation = match patch_type {
            "apply-patch+yaml" => Operation::Apply,
            _ => Operation::Update,
        };
        let tracker = Tracker {
            kind: &kind,
            manager: manager(step, operation, "autoscaling/v1", "scale"),
            reset: &reset,
            versions: &[],
        };
        let scale = if operation == Operation::Apply {
            tracker.apply(Some(&present), body, step["q"]["force"] == "true")?
        } else {
            let new = match step["m"].as_str() {
                Some("PUT") => body.clone(),
                _ => patched(&at_scale, patch_type, &present, body)?,
            };
            let new = self.read(&at_scale, step, new)?;
            tracker.update(Some(&present), new)
        };
        let mut new = live.clone();
        new["spec"]["replicas"] = scale["spec"]["replicas"].clone();
        new["metadata"]["managedFields"] = from_scale(
            &live["metadata"]["managedFields"],
            &scale["metadata"]["managedFields"],
            &[target.kind.api_version()],
            "spec.replicas",
        )?;
        self.objects.insert(target.key(), new.clone());
        let mut shown = self.scale(target, &new);
        if let Value::Object(metadata) = &mut shown["metadata"] {
            metadata.remove("managedFields");
        }
        Ok((200, shown))
    }
}

fn manager<'a>(
    step: &'a Value,
    operation: Operation,
    api_version: &'a str,
    subresource: &'a str,
) -> Manager<'a> {
    let agent = step["agent"].as_str().unwrap_or("conform/1.0");
    let agent = agent.split('/').next().unwrap_or_default();
    Manager {
        name: step["q"]["fieldManager"].as_str().unwrap_or(agent),
        operation,
        api_version,
        subresource,
        now: NOW,
    }
}

fn patched(target: &Target, patch_type: &str, live: &Value, body: &Value) -> Result<Value, Status> {
    match patch_type {
        "json-patch+json" => patch::json(live, body),
        "merge-patch+json" if body.is_object() => Ok(patch::merge(live, body)),
        "merge-patch+json" => Err(Status::bad_request("not an object")),
        _ if target.kind.custom => Err(Status::new(415, "UnsupportedMediaType", "")),
        _ => patch::strategic(target.kind.schema(), live, body),
    }
}

fn missing(target: &Target) -> Status {
    Status::not_found(&target.kind.group, &target.kind.plural, &target.name)
}

fn refuse(target: &Target, causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    let kind = &target.kind;
    Err(Status::invalid(
        &kind.group,
        &kind.kind,
        &target.name,
        causes,
    ))
}

/// What a real server allocates for the Services of these cases, which are all headless.
fn allocate(kind: &Kind, object: &mut Value) {
    if kind.plural == "services" {
        let spec = &mut object["spec"];
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
        spec["ipFamilies"] = json!(["IPv4"]);
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
}

/// The answer in the form of the recorded one.
fn shape(answer: Result<(u16, Value), Status>) -> Value {
    match answer {
        Ok((code, object)) => json!({"s": code, "a": object}),
        Err(status) => {
            let details = status.details.unwrap_or_default();
            let mut causes: Vec<_> = details
                .causes
                .iter()
                .map(|cause| json!([cause.field, cause.reason]))
                .collect();
            causes.sort_by_key(Value::to_string);
            json!({"s": status.code, "a": {"causes": causes, "reason": status.reason}})
        }
    }
}

/// Takes away what depends on the moment or the store.
fn plain(answer: &Value) -> Value {
    let text = answer.to_string();
    let text = ["<time1>", "<time2>", "<time3>", "<time4>", NOW]
        .iter()
        .fold(text, |text, time| text.replace(time, "<time>"));
    let text = ["<uid1>", "<uid2>"]
        .iter()
        .fold(text, |text, uid| text.replace(uid, "uid-1"));
    let mut answer: Value = serde_json::from_str(&text).expect("still JSON");
    if let Value::Object(metadata) = &mut answer["a"]["metadata"] {
        for key in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
            metadata.remove(key);
        }
        if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
            entries.sort_by_key(Value::to_string);
        }
    }
    answer
}

/// Replays all cases; each difference must be in the table, and each rule of it must match.
pub(crate) fn check(bytes: &[u8], known: &[Rule]) {
    let (mut equal, mut skipped, mut wrong) = (0, 0, Vec::new());
    let mut matched = BTreeMap::new();
    for row in super::create::rows(bytes) {
        let case = row["case"].as_str().unwrap_or_default();
        let mut server = Server {
            kinds: builtin(PROFILE),
            objects: BTreeMap::new(),
        };
        for (at, step) in row["steps"].as_array().into_iter().flatten().enumerate() {
            let Some(answer) = server.answer(step) else {
                skipped += 1;
                println!("skipped: {case} step {}", at + 1);
                continue;
            };
            let got = plain(&shape(answer));
            let expected = plain(&json!({"s": step["s"], "a": step["a"]}));
            let is_equal = match step["view"].as_str() {
                Some(_) => got["s"] == expected["s"],
                None if step["m"] == "DELETE" => got["s"] == expected["s"],
                None => got == expected,
            };
            if is_equal {
                equal += 1;
            } else if let Some((rule, _)) =
                known.iter().find(|(_, applies)| applies(case, step, at))
            {
                *matched.entry(rule).or_insert(0) += 1;
            } else {
                wrong.push(format!(
                    "{case} step {}\n  request  {}\n  expected {expected}\n  got      {got}",
                    at + 1,
                    step["body"]
                ));
            }
        }
    }
    println!(
        "{equal} equal, {skipped} skipped, {matched:?}, {} wrong",
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(matched.len(), known.len(), "each rule matches something");
}
