//! The way of an object from a body to the store, step by step, for every kind and verb.
//!
//! read (JSON, YAML, protobuf) -> decode (types, unknown fields) -> fit (name and namespace of the
//! path) -> fill (what only the server sets) -> default -> own (managed fields) -> validate ->
//! commit. A change passes the same steps over the live object, and is tried anew when another
//! write came first. The verbs' files say what goes in; this file says in which order.

use serde_json::Value;
use tokio::sync::MutexGuard;

use super::commit::Committed;
use super::options::WriteOptions;
use super::steps::{
    advance_generation, debugger_causes, exists, fill_new, finalizer_causes, fit_namespace,
    fit_stored, fixed_causes, is_over, keep_fixed, keep_marks, mark_new, modified, owner_causes,
    owners_once, refuse_invalid, split_status, versioned,
};
use super::{Call, Engine, broken, key, meta, services};
use crate::apply::keep_times;
use crate::auth::{escalation, refuse};
use crate::cacher::Object;
use crate::error::{Cause, Status};
use crate::http::answer::Answer;
use crate::http::body;
use crate::kinds::{Kind, defaults, prepare, validate};
use crate::schema::decode;

/// Tries of a write that loses to others.
const TRIES: usize = 64;

/// What a try of a change makes of the live object.
pub(super) struct Changed {
    /// The object that shall be.
    pub(super) object: Value,
    /// How its fields came about.
    pub(super) origin: Origin,
}

/// How a write says whose fields are whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A plain write: ownership is tracked.
    Plain,
    /// An apply: ownership is in the object already.
    Applied,
    /// The server's own doing: the object is stored as it is.
    Bare,
}

/// What a write ended in.
pub(super) struct Written {
    /// HTTP code.
    pub(super) code: u16,
    /// The object as it is now.
    pub(super) object: Value,
}

impl Engine {
    /// The live object of a call.
    pub(super) fn live(&self, call: &Call) -> Result<Option<std::sync::Arc<Object>>, Status> {
        let key = key(&call.kind, &call.target.namespace, &call.target.name);
        self.cacher(&call.kind)?.get(&key).map_err(broken)
    }

    /// Reads and decodes the body of a create or update.
    pub(super) fn decoded(&self, call: &Call, options: &WriteOptions) -> Result<Value, Status> {
        let kind = &*call.kind;
        let media = body::Media::of(&call.content_type)?;
        let mut found = Vec::new();
        let value = body::read(media, &call.body, (&kind.kind, kind.custom), &mut found)?;
        let value = decode::decode(kind, value, options.validation, &mut found)?;
        call.warnings.extend(found);
        Ok(value)
    }

    /// Makes a new object of a decoded one and stores it.
    pub(super) async fn insert(
        &self,
        call: &Call,
        options: &WriteOptions,
        mut object: Value,
        origin: Origin,
    ) -> Result<Written, Status> {
        let kind = &*call.kind;
        fit_namespace(call, &mut object)?;
        owners_once(call, &mut object);
        fill_new(kind, &mut object)?;
        self.check_namespace(call, meta::text(&object, "name"))?;
        defaults::apply(kind, self.profile, &mut object);
        let now = meta::now();
        mark_new(kind, &mut object);
        if origin == Origin::Plain {
            object = self.owned(call, options, None, object);
        }
        prepare::create(kind, self.profile, &mut object, &now);
        self.admit(call, &mut object)?;
        let mut causes = validate::create(kind, self.profile, &object);
        causes.append(&mut owner_causes(&object));
        refuse_invalid(kind, &object, causes)?;
        self.check_escalation(call, None, &object)?;
        fit_stored(call, &mut object);
        let _giving = self.giving(kind).await;
        if services::is_served(kind, self.profile) {
            self.give(kind, &mut object)?;
        }
        if options.dry_run {
            if self.at(kind, &object)?.is_some() {
                return Err(exists(kind, &object));
            }
            return Ok(Written { code: 201, object });
        }
        let name = object.clone();
        match self.commit(kind, None, object, false).await? {
            Committed::Done(object) => Ok(Written { code: 201, object }),
            Committed::Lost => Err(exists(kind, &name)),
        }
    }

    /// Changes the live object until the write is not lost to another one. `missing` = what to do
    /// when it is not there.
    pub(super) async fn alter(
        &self,
        call: &Call,
        options: &WriteOptions,
        change: impl Fn(&Value) -> Result<Changed, Status>,
    ) -> Result<Option<Written>, Status> {
        let _giving = self.giving(&call.kind).await;
        for _ in 0..TRIES {
            let Some(live) = self.live(call)? else {
                return Ok(None);
            };
            let seen = versioned(call, &live.value);
            let changed = change(&seen)?;
            let mut object = match changed.origin {
                Origin::Bare => changed.object,
                Origin::Plain | Origin::Applied => self.prepared(call, options, &seen, changed)?,
            };
            fit_stored(call, &mut object);
            keep_times(&seen, &mut object);
            let gone = is_over(&object);
            if options.dry_run || (!gone && meta::same(&object, &seen)) {
                let mut object = object;
                meta::copy(&seen, &mut object, "resourceVersion");
                return Ok(Some(Written { code: 200, object }));
            }
            match self.commit(&call.kind, Some(&live), object, gone).await? {
                Committed::Done(mut object) => {
                    if gone {
                        // What is gone has no new version.
                        meta::copy(&live.value, &mut object, "resourceVersion");
                    }
                    return Ok(Some(Written { code: 200, object }));
                }
                Committed::Lost => {}
            }
        }
        Err(modified(&call.kind, &call.target.name))
    }

    /// All steps of a change between the decoded object and the commit.
    fn prepared(
        &self,
        call: &Call,
        options: &WriteOptions,
        live: &Value,
        changed: Changed,
    ) -> Result<Value, Status> {
        let kind = &*call.kind;
        let mut object = changed.object;
        fit_namespace(call, &mut object)?;
        owners_once(call, &mut object);
        let sent_uid = meta::text(&object, "uid").to_owned();
        if changed.origin == Origin::Plain {
            defaults::apply(kind, self.profile, &mut object);
            if call.target.subresource.is_empty() {
                keep_marks(kind, live, &mut object);
            }
            object = self.owned(call, options, Some(live), object);
        }
        keep_fixed(live, &mut object);
        keep_marks(kind, live, &mut object);
        split_status(call, live, &mut object);
        let served = services::is_served(kind, self.profile);
        if served {
            services::keep(live, &mut object);
        }
        if !matches!(call.target.subresource.as_str(), "status" | "approval") {
            advance_generation(kind, live, &mut object);
        }
        let mut causes = fixed_causes(live, &sent_uid);
        causes.append(&mut finalizer_causes(live, &object));
        match call.target.subresource.as_str() {
            "ephemeralcontainers" => causes.append(&mut debugger_causes(live, &object)),
            _ => causes.append(&mut validate::update(kind, self.profile, &object, live)),
        }
        refuse_invalid(kind, &object, causes)?;
        self.check_escalation(call, Some(live), &object)?;
        if served {
            self.give(kind, &mut object)?;
        }
        Ok(object)
    }

    /// The lock of what services are given; none = this kind is given nothing.
    async fn giving(&self, kind: &Kind) -> Option<MutexGuard<'_, ()>> {
        if services::is_served(kind, self.profile) {
            return Some(self.giving.lock().await);
        }
        None
    }

    fn at(&self, kind: &Kind, object: &Value) -> Result<Option<std::sync::Arc<Object>>, Status> {
        let key = key(
            kind,
            meta::text(object, "namespace"),
            meta::text(object, "name"),
        );
        self.cacher(kind)?.get(&key).map_err(broken)
    }

    /// New content needs its namespace, and one that stays.
    fn check_namespace(&self, call: &Call, name: &str) -> Result<(), Status> {
        if !call.kind.namespaced {
            return Ok(());
        }
        let namespace = &call.target.namespace;
        let row = self.row("", "v1", "namespaces");
        let row = row.ok_or_else(|| Status::internal("there is no kind of namespaces"))?;
        let found = self
            .cacher(&row)?
            .get(&key(&row, "", namespace))
            .map_err(broken)?;
        let Some(found) = found else {
            return Err(Status::not_found("", "namespaces", namespace));
        };
        if !meta::is_deleting(&found.value) {
            return Ok(());
        }
        let kind = &call.kind;
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut status = refuse(&kind.group, &kind.plural, name, &why);
        let text = format!("namespace {namespace} is being terminated");
        let cause = Cause::new("NamespaceTerminating", "metadata.namespace", text);
        status.details.get_or_insert_default().causes.push(cause);
        Err(status)
    }

    fn check_escalation(
        &self,
        call: &Call,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), Status> {
        if call.kind.group != crate::auth::rbac::GROUP {
            return Ok(());
        }
        escalation::check(
            &self.rbac,
            &escalation::Write {
                user: &call.user,
                resource: &call.kind.plural,
                namespace: &call.target.namespace,
                name: &call.target.name,
                old,
                new,
            },
        )
    }
}

/// The answer of a write, in the wanted form.
pub(super) fn answer(call: &Call, written: &Written) -> Result<Answer, Status> {
    let shown = super::show::one(call, &written.object)?;
    Ok(Answer::object(written.code, shown))
}
