//! Deletes of one object and of collections: preconditions, finalizers, grace, propagation.
//!
//! An object that nothing holds goes at once; another gets its marks and goes with the write that
//! takes the last of them away.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::commit::Committed;
use super::definitions::{self, is_definition};
use super::options::{DeleteOptions, Propagation};
use super::show::{Form, ListMeta};
use super::steps::{is_over, modified};
use super::{Call, Engine, create, meta, show};
use crate::auth::refuse;
use crate::error::Status;
use crate::http::answer::Answer;
use crate::kinds::Kind;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const TRIES: usize = 64;
/// Grace of a pod that says none.
const POD_GRACE_SECONDS: i64 = 30;
/// Namespaces that stay.
const PROTECTED: &[&str] = &["default", "kube-system", "kube-public"];
/// Kinds whose delete answers the object.
const ANSWERS_OBJECT: &[&str] = &[
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
    "storageclasses",
];
const JOB_WARNING: &str = "child pods are preserved by default when jobs are deleted; set \
    propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this \
    warning";

/// How a delete ended.
enum Ended {
    /// It is gone; its last state.
    Gone(Value),
    /// It is still there, marked.
    Marked(Value),
}

impl Engine {
    pub(super) async fn delete(&self, call: &Call) -> Result<Answer, Status> {
        let options = DeleteOptions::read(call)?;
        if is_job(&call.kind) && options.propagation.is_none() {
            call.warnings.add(JOB_WARNING);
        }
        let answer = match self.remove(call, &options).await? {
            Ended::Gone(object) if !answers_object(&call.kind) => {
                Answer::object(200, success(call, &object))
            }
            Ended::Gone(object) | Ended::Marked(object) => {
                Answer::object(200, show::one(call, &object)?)
            }
        };
        Ok(answer)
    }

    pub(super) async fn delete_collection(&self, call: &Call) -> Result<Answer, Status> {
        let options = DeleteOptions::read(call)?;
        let form = Form::of(call)?;
        let page = self.page(call)?;
        for object in &page.objects {
            let mut one = call.clone();
            meta::text(&object.value, "name").clone_into(&mut one.target.name);
            meta::text(&object.value, "namespace").clone_into(&mut one.target.namespace);
            match self.remove(&one, &options).await {
                // Somebody else was faster.
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        let found: Vec<&Value> = page.objects.iter().map(|object| &*object.value).collect();
        let meta = ListMeta {
            revision: page.meta.revision,
            ..ListMeta::default()
        };
        Ok(Answer::object(200, form.list(&found, &meta)))
    }

    /// Deletes as an eviction asks for it.
    pub(super) async fn evict(&self, call: &Call, options: &DeleteOptions) -> Result<(), Status> {
        self.remove(call, options).await.map(drop)
    }

    async fn remove(&self, call: &Call, options: &DeleteOptions) -> Result<Ended, Status> {
        let kind = &*call.kind;
        let name = &call.target.name;
        for _ in 0..TRIES {
            let live = self.live(call)?.ok_or_else(|| create::missing(call))?;
            check(kind, &live.value, options)?;
            if is_namespace(kind) && PROTECTED.contains(&name.as_str()) {
                return Err(refuse(
                    "",
                    "namespaces",
                    name,
                    "this namespace may not be deleted",
                ));
            }
            let marked = marked(kind, &live.value, options);
            let gone = is_over(&marked);
            // Only what takes its time shows the marks of a delete that took none.
            let last = if gone && !is_pod(kind) {
                Value::clone(&live.value)
            } else {
                marked
            };
            let ended = if gone { Ended::Gone } else { Ended::Marked };
            if options.dry_run || (!gone && meta::same(&last, &live.value)) {
                return Ok(ended(last));
            }
            match self.commit(kind, Some(&live), last, gone).await? {
                Committed::Done(object) => return Ok(ended(object)),
                Committed::Lost => {}
            }
        }
        Err(modified(kind, name))
    }
}

/// Preconditions.
fn check(kind: &Kind, live: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let name = meta::text(live, "name");
    let conditions = [
        ("UID", &options.uid, "uid", "deleted and then recreated"),
        (
            "ResourceVersion",
            &options.resource_version,
            "resourceVersion",
            "modified",
        ),
    ];
    for (word, wanted, field, happened) in conditions {
        let found = meta::text(live, field);
        if let Some(wanted) = wanted
            && wanted != found
        {
            let why = format!(
                "the {word} in the precondition ({wanted}) does not match the {word} in record \
                 ({found}). The object might have been {happened}"
            );
            return Err(Status::conflict(&kind.group, &kind.kind, name, &why));
        }
    }
    Ok(())
}

/// The object with all marks of this delete; over = it goes at once.
fn marked(kind: &Kind, live: &Value, options: &DeleteOptions) -> Value {
    let mut object = live.clone();
    set_collector_finalizers(kind, &mut object, options);
    let grace = grace(kind, live, options);
    let before = meta::is_deleting(live);
    if before && (grace >= meta::grace(live)) {
        return object;
    }
    let until = Timestamp::now() + SignedDuration::from_secs(grace);
    meta::set(
        &mut object,
        "deletionTimestamp",
        Some(json!(meta::time(until))),
    );
    meta::set(
        &mut object,
        "deletionGracePeriodSeconds",
        Some(json!(grace)),
    );
    if is_definition(kind) && !before {
        definitions::mark(&mut object);
        return object;
    }
    if !before && meta::generation(live) > 0 {
        let next = meta::generation(live) + 1;
        meta::set(&mut object, "generation", Some(json!(next)));
    }
    if is_namespace(kind) {
        object["status"]["phase"] = json!("Terminating");
        meta::set(&mut object, "deletionGracePeriodSeconds", None);
    }
    object
}

fn set_collector_finalizers(kind: &Kind, object: &mut Value, options: &DeleteOptions) {
    let names: Vec<String> = meta::finalizers(object)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    let wish = match options.propagation {
        Some(wish) => wish,
        None if has(ORPHAN) => Propagation::Orphan,
        None if has(FOREGROUND) => Propagation::Foreground,
        None if orphans_by_default(kind) => Propagation::Orphan,
        None => Propagation::Background,
    };
    let mut kept: Vec<&str> = names.iter().map(String::as_str).collect();
    kept.retain(|name| *name != ORPHAN && *name != FOREGROUND);
    match wish {
        Propagation::Orphan => kept.push(ORPHAN),
        Propagation::Foreground => kept.push(FOREGROUND),
        Propagation::Background => {}
    }
    let before: Vec<&str> = names.iter().map(String::as_str).collect();
    if kept != before {
        meta::set_finalizers(object, &kept);
    }
}

/// Seconds that the object may take.
fn grace(kind: &Kind, live: &Value, options: &DeleteOptions) -> i64 {
    if !is_pod(kind) {
        return 0;
    }
    let phase = live["status"]["phase"].as_str().unwrap_or_default();
    let unassigned = live["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    if unassigned || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let own = live["spec"]["terminationGracePeriodSeconds"].as_i64();
    options
        .grace_seconds
        .unwrap_or_else(|| own.unwrap_or(POD_GRACE_SECONDS))
        .max(0)
}

fn success(call: &Call, object: &Value) -> Value {
    let mut details = json!({"name": meta::text(object, "name"), "kind": call.kind.plural,
        "uid": meta::text(object, "uid")});
    if !call.kind.group.is_empty() {
        details["group"] = json!(call.kind.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details})
}

fn answers_object(kind: &Kind) -> bool {
    matches!(kind.group.as_str(), "" | "storage.k8s.io")
        && ANSWERS_OBJECT.contains(&kind.plural.as_str())
}

fn orphans_by_default(kind: &Kind) -> bool {
    is_job(kind) || (kind.group.is_empty() && kind.plural == "replicationcontrollers")
}

fn is_job(kind: &Kind) -> bool {
    kind.group == "batch" && kind.plural == "jobs"
}

fn is_pod(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "pods"
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "namespaces"
}
