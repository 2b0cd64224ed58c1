//! The scale of an object: a small object made of three of its fields.
//!
//! Writes change the wanted replicas of the parent and nothing else.

use serde_json::{Map, Value, json};

use super::options::WriteOptions;
use super::patch::patched;
use super::pipeline::{Changed, Origin};
use super::update::{check_name, check_resource_version};
use super::{Call, Engine, Verb, create, meta, partial};
use crate::apply::{Manager, Operation, Reset, Tracker, from_scale, to_scale};
use crate::error::{Cause, Status};
use crate::http::accept::Shape;
use crate::http::answer::Answer;
use crate::http::body::{self, PatchKind};
use crate::kinds::{self, Kind, ScalePaths};
use crate::schema::decode::{FieldValidation, decode};
use crate::select::Labels;
use crate::table::{self, Include};

impl Engine {
    pub(super) fn get_scale(&self, call: &Call) -> Result<Answer, Status> {
        let paths = paths(&call.kind)?;
        let live = self.live(call)?.ok_or_else(|| create::missing(call))?;
        let scale = scale(&call.kind, paths, &live.value);
        if call.kind.custom && scale["spec"].get("replicas").is_none() {
            let path = format!(".{}", paths.spec);
            return Err(Status::internal(format!(
                "the spec replicas field {path:?} does not exist"
            )));
        }
        Ok(Answer::object(200, shown(call, scale)?))
    }

    pub(super) async fn write_scale(&self, verb: Verb, call: &Call) -> Result<Answer, Status> {
        let paths = paths(&call.kind)?;
        let wish = Wish::read(verb, call)?;
        let name = match wish {
            Wish::Put(_) => "UpdateOptions",
            Wish::Patch(..) | Wish::Apply(_) => "PatchOptions",
        };
        let options = WriteOptions::read(call, name)?;
        let row = kinds::body("autoscaling", "v1", "Scale")
            .ok_or_else(|| Status::internal("there is no kind of scales"))?;
        let versions = self.versions(&call.kind);
        let altered = self.alter(call, &options, |live| {
            let mut present = scale(&call.kind, paths, live);
            let entries = &live["metadata"]["managedFields"];
            present["metadata"]["managedFields"] = to_scale(entries, &versions, &paths.spec)?;
            let tracker = Tracker {
                kind: &row,
                manager: Manager {
                    name: &options.manager,
                    operation: wish.operation(),
                    api_version: "autoscaling/v1",
                    subresource: "scale",
                    now: &meta::now(),
                },
                reset: &Reset::Nothing,
                versions: &[],
            };
            let wanted = wish.outcome(&tracker, &present, call)?;
            let object = scaled(call, paths, live, &wanted)?;
            Ok(Changed {
                object,
                origin: Origin::Applied,
            })
        });
        let written = altered.await?.ok_or_else(|| create::missing(call))?;
        let scale = scale(&call.kind, paths, &written.object);
        Ok(Answer::object(written.code, shown(call, scale)?))
    }
}

/// What a write wants of a scale.
enum Wish {
    Put(Value),
    Patch(PatchKind, Value),
    Apply(Value),
}

impl Wish {
    fn read(verb: Verb, call: &Call) -> Result<Self, Status> {
        if verb != Verb::Patch {
            return sent(call).map(Self::Put);
        }
        let patch_kind = PatchKind::of(&call.content_type, call.kind.custom)?;
        if patch_kind == PatchKind::Apply {
            return body::yaml(&call.body, &mut Vec::new()).map(Self::Apply);
        }
        let patch: Value = serde_json::from_slice(&call.body)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        Ok(Self::Patch(patch_kind, patch))
    }

    fn operation(&self) -> Operation {
        match self {
            Self::Apply(_) => Operation::Apply,
            Self::Put(_) | Self::Patch(..) => Operation::Update,
        }
    }

    /// The scale that shall be, with its owners.
    fn outcome(
        &self,
        tracker: &Tracker<'_>,
        present: &Value,
        call: &Call,
    ) -> Result<Value, Status> {
        let new = match self {
            Self::Apply(config) => {
                return tracker.apply(Some(present), config, call.query.is_set("force"));
            }
            Self::Put(sent) => sent.clone(),
            Self::Patch(patch_kind, patch) => {
                let changed = patched(tracker.kind, *patch_kind, present, patch)?;
                checked_patch(changed)?
            }
        };
        let new = decode(tracker.kind, new, FieldValidation::Ignore, &mut Vec::new())?;
        Ok(tracker.update(Some(present), new))
    }
}

/// The object with the replicas of a scale, and their owners.
fn scaled(call: &Call, paths: &ScalePaths, live: &Value, scale: &Value) -> Result<Value, Status> {
    check_name(call, scale)?;
    let said = meta::text(scale, "resourceVersion");
    check_resource_version(&call.kind, live, said, false)?;
    let mut object = live.clone();
    set_path(&mut object, &paths.spec, json!(replicas(scale)?));
    let entries = from_scale(
        &live["metadata"]["managedFields"],
        &scale["metadata"]["managedFields"],
        &[call.kind.api_version()],
        &paths.spec,
    )?;
    meta::set(&mut object, "managedFields", Some(entries));
    Ok(object)
}

/// A scale in the form of a call.
fn shown(call: &Call, scale: Value) -> Result<Value, Status> {
    Ok(match call.shape {
        Shape::Metadata(version) => partial(&scale, version),
        Shape::Table(version) => {
            let include = Include::from_query(call.query.get("includeObject"))?;
            let kind = kinds::body("autoscaling", "v1", "Scale")
                .ok_or_else(|| Status::internal("there is no kind of scales"))?;
            let meta = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
            table::of(&kind, &[&scale], (version, include), meta)
        }
        Shape::Object | Shape::Discovery(_) => scale,
    })
}

/// The scale that an update sends.
fn sent(call: &Call) -> Result<Value, Status> {
    let media = body::Media::of(&call.content_type)?;
    let sent = body::read(media, &call.body, ("Scale", false), &mut Vec::new())?;
    let text = |key: &str, otherwise: &str| {
        let said = sent[key].as_str().filter(|said| !said.is_empty());
        said.unwrap_or(otherwise).to_owned()
    };
    let kind = text("kind", "Scale");
    let api_version = text("apiVersion", "autoscaling/v1");
    if kind != "Scale" || !api_version.starts_with("autoscaling/") {
        let version = api_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a Scale: converting \
             ({version}.{kind}) to (autoscaling.Scale): unknown conversion"
        )));
    }
    let count = &sent["spec"]["replicas"];
    if !count.is_null() && whole(count).is_none() {
        return Err(Status::bad_request(
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal into Go \
             struct field ScaleSpec.spec.replicas of type int32",
        ));
    }
    Ok(sent)
}

fn checked_patch(scale: Value) -> Result<Value, Status> {
    let count = &scale["spec"]["replicas"];
    if count.is_null() || whole(count).is_some() {
        return Ok(scale);
    }
    let text = format!(
        "Invalid value: {:?}: json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas \
         of type int32",
        scale.to_string()
    );
    let cause = Cause::new("FieldValueInvalid", "patch", text);
    Err(Status::invalid("", "", "", vec![cause]))
}

fn whole(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|value| i32::try_from(value).ok())
}

fn replicas(scale: &Value) -> Result<i32, Status> {
    let count = whole(&scale["spec"]["replicas"]).unwrap_or_default();
    if count >= 0 {
        return Ok(count);
    }
    let text = format!("Invalid value: {count}: must be greater than or equal to 0");
    let cause = Cause::new("FieldValueInvalid", "spec.replicas", text);
    let name = meta::text(scale, "name");
    Err(Status::invalid("autoscaling", "Scale", name, vec![cause]))
}

fn paths(kind: &Kind) -> Result<&ScalePaths, Status> {
    let part = kind.subresources.iter().find(|part| part.name == "scale");
    part.and_then(|part| part.scale.as_ref())
        .ok_or_else(|| Status::internal("the scale of this kind has no paths"))
}

/// The scale of an object.
fn scale(kind: &Kind, paths: &ScalePaths, object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        let value = &object["metadata"][field];
        if !value.is_null() {
            metadata.insert(field.into(), value.clone());
        }
    }
    let mut spec = Map::new();
    let wanted = at(object, &paths.spec).and_then(whole);
    // A built-in zero is not shown; a custom object without the field has no number.
    if let Some(count) = wanted.filter(|count| *count != 0 || kind.custom) {
        spec.insert("replicas".into(), json!(count));
    }
    let present = at(object, &paths.status)
        .and_then(whole)
        .unwrap_or_default();
    let mut status = Map::new();
    status.insert("replicas".into(), json!(present));
    let selector = match at(object, &paths.selector) {
        Some(Value::String(text)) => text.clone(),
        Some(selector) if kind.group.is_empty() => pairs(selector),
        Some(selector) => Labels::from_object(selector)
            .map(|labels| labels.to_string())
            .unwrap_or_default(),
        None => String::new(),
    };
    if !selector.is_empty() {
        status.insert("selector".into(), json!(selector));
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": spec, "status": status})
}

/// The selector of a replication controller is a plain map.
fn pairs(selector: &Value) -> String {
    let pairs = selector.as_object().into_iter().flatten();
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.join(",")
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return None;
    }
    path.split('.').try_fold(object, |at, key| at.get(key))
}

fn set_path(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for key in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[key];
    }
    *at = value;
}
