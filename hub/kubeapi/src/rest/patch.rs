//! Patches of all kinds: the live object is changed by rules.
//!
//! What a patch does is decided by `patch` and `apply`; this file reads it, checks what came out as
//! if it had been sent, and tries anew when another write came first.

use serde_json::Value;

use super::options::WriteOptions;
use super::ownership::check_config;
use super::pipeline::{Changed, Origin, answer};
use super::update::{check_name, check_resource_version};
use super::{Call, Engine, create, meta};
use crate::auth::{Attributes, require};
use crate::error::{Cause, Status};
use crate::http::answer::Answer;
use crate::http::body::{self, PatchKind};
use crate::kinds::Kind;
use crate::patch;
use crate::schema::decode;

impl Engine {
    pub(super) async fn patch(&self, call: &Call) -> Result<Answer, Status> {
        let patch_kind = PatchKind::of(&call.content_type, call.kind.custom)?;
        let options = WriteOptions::read(call, "PatchOptions")?;
        check_force(call, patch_kind)?;
        let mut found = Vec::new();
        let patch = read(patch_kind, &call.body, &mut found)?;
        if patch_kind == PatchKind::Apply {
            call.warnings.extend(found);
            return self.apply(call, &options, &patch).await;
        }
        let altered = self.alter(call, &options, |live| {
            let object = patched(&call.kind, patch_kind, live, &patch)?;
            let mut found = found.clone();
            let object = checked(call, &options, object, &mut found)?;
            call.warnings.extend(found);
            let said = meta::text(&object, "resourceVersion");
            check_resource_version(&call.kind, live, said, false)?;
            Ok(Changed {
                object,
                origin: Origin::Plain,
            })
        });
        let written = altered.await?.ok_or_else(|| create::missing(call))?;
        answer(call, &written)
    }

    async fn apply(
        &self,
        call: &Call,
        options: &WriteOptions,
        config: &Value,
    ) -> Result<Answer, Status> {
        if call.query.get("fieldManager").is_empty() {
            let text = "Required value: is required for apply patch";
            let cause = Cause::new("FieldValueRequired", "fieldManager", text);
            return Err(Status::invalid(
                "meta.k8s.io",
                "PatchOptions",
                "",
                vec![cause],
            ));
        }
        check_config(call, config)?;
        check_name(call, config)?;
        let altered = self.alter(call, options, |live| {
            let said = meta::text(config, "resourceVersion");
            check_resource_version(&call.kind, live, said, false)?;
            let object = self.applied(call, options, Some(live), config)?;
            Ok(Changed {
                object,
                origin: Origin::Applied,
            })
        });
        let written = match altered.await? {
            Some(written) => written,
            None if call.target.subresource.is_empty() => {
                self.may_create(call)?;
                let mut object = self.applied(call, options, None, config)?;
                meta::set(&mut object, "resourceVersion", None);
                self.insert(call, options, object, Origin::Applied).await?
            }
            None => return Err(create::missing(call)),
        };
        answer(call, &written)
    }

    /// An apply that makes the object needs the right to create.
    fn may_create(&self, call: &Call) -> Result<(), Status> {
        let target = &call.target;
        let attributes = Attributes {
            group: &target.group,
            version: &target.version,
            resource: &target.resource,
            namespace: &target.namespace,
            name: &target.name,
            ..Attributes::new(&call.user, "create")
        };
        require(&*self.rbac, &attributes)
    }
}

fn check_force(call: &Call, patch_kind: PatchKind) -> Result<(), Status> {
    if patch_kind == PatchKind::Apply || call.query.get("force").is_empty() {
        return Ok(());
    }
    let text = "Forbidden: may not be specified for non-apply patch";
    let cause = Cause::new("FieldValueForbidden", "force", text);
    Err(Status::invalid(
        "meta.k8s.io",
        "PatchOptions",
        "",
        vec![cause],
    ))
}

fn read(patch_kind: PatchKind, bytes: &[u8], found: &mut Vec<String>) -> Result<Value, Status> {
    if patch_kind == PatchKind::Apply {
        let config = body::yaml(bytes, found).map_err(|error| {
            Status::bad_request(format!("error decoding YAML: {}", error.message))
        })?;
        return Ok(config);
    }
    decode::parse(bytes, false, found).map_err(|status| {
        let why = status.message;
        Status::bad_request(format!("error decoding patch: {why}"))
    })
}

/// What came out of a patch, as if it had been sent.
fn checked(
    call: &Call,
    options: &WriteOptions,
    object: Value,
    found: &mut Vec<String>,
) -> Result<Value, Status> {
    check_type(&call.kind, &object)?;
    let shown = object.clone();
    let decoded = decode::decode(&call.kind, object, options.validation, found)
        .map_err(|status| unusable(&call.kind, &shown, status))?;
    check_name(call, &decoded)?;
    Ok(decoded)
}

/// A patch does not make another kind of a custom object.
fn check_type(kind: &Kind, object: &Value) -> Result<(), Status> {
    if !kind.custom {
        return Ok(());
    }
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (version, said) = (text("apiVersion"), text("kind"));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let wanted = kind.api_version();
    let (field, value, wanted) = if version != wanted {
        ("apiVersion", version, wanted)
    } else if said != kind.kind {
        ("kind", said, kind.kind.clone())
    } else {
        return Ok(());
    };
    let text = format!("Invalid value: \"{value}\": must be {wanted}");
    let cause = Cause::new("FieldValueInvalid", field, text);
    let name = meta::text(object, "name");
    Err(Status::invalid(group, said, name, vec![cause]))
}

/// A patch whose result is no object of the kind is a 422 about the patch itself.
fn unusable(kind: &Kind, object: &Value, status: Status) -> Status {
    if status.code != 400 {
        return status;
    }
    let (name, version) = (&kind.kind, &kind.version);
    let lead = format!("{name} in version \"{version}\" cannot be handled as a {name}: ");
    let why = status
        .message
        .strip_prefix(&lead)
        .unwrap_or(&status.message);
    let text = format!("Invalid value: {:?}: {why}", object.to_string());
    let cause = Cause::new("FieldValueInvalid", "patch", text);
    Status::invalid("", "", "", vec![cause])
}

/// Changes a value by a patch that is no apply.
pub(super) fn patched(
    kind: &Kind,
    patch_kind: PatchKind,
    live: &Value,
    patch: &Value,
) -> Result<Value, Status> {
    match patch_kind {
        PatchKind::Json => patch::json(live, patch),
        PatchKind::Merge if patch.is_object() => Ok(patch::merge(live, patch)),
        PatchKind::Merge => Err(Status::bad_request("error decoding patch: not an object")),
        PatchKind::Strategic => patch::strategic(kind.schema(), live, patch),
        PatchKind::Apply => Err(Status::internal("an apply is no change by rules")),
    }
}
