//! From what a client sent to an object of its kind: types are strict, unknown and duplicate fields
//! are found and dropped, and empty fields take the form in which a real server shows them.
//!
//! It neither sets defaults nor judges values; a wrong JSON type is refused here for built-in kinds
//! and left to validation for custom resources.

mod json;
mod scalars;
mod typed;

use serde_json::{Map, Value};

pub use json::parse;
pub(crate) use typed::zero;

use super::{Schema, builtin, structural};
use crate::error::Status;
use crate::kinds::Kind;

/// What becomes of unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// They are dropped without a word.
    Ignore,
    /// They are dropped, and the client is told.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; none = not one of the values. An empty text means the default.
    #[must_use]
    pub fn from_query(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(Self::Warn),
            "Strict" => Some(Self::Strict),
            "Ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// Makes an object of this kind. `found` may hold findings of [`parse`] already; afterwards it holds
/// the texts of all unknown and duplicate fields, for Warnings, and nothing when they are ignored.
pub fn decode(
    kind: &Kind,
    value: Value,
    mode: FieldValidation,
    found: &mut Vec<String>,
) -> Result<Value, Status> {
    let value = identify(kind, value)?;
    let decoded = if kind.custom {
        custom(kind, value, found)
    } else {
        typed::decode(kind.schema(), Value::Object(value), found)
    };
    let decoded = decoded.map_err(|why| refused(kind, &why))?;
    match mode {
        FieldValidation::Ignore => found.clear(),
        FieldValidation::Strict if !found.is_empty() => {
            let why = format!("strict decoding error: {}", found.join(", "));
            return Err(refused(kind, &why));
        }
        FieldValidation::Strict | FieldValidation::Warn => {}
    }
    Ok(decoded)
}

fn refused(kind: &Kind, why: &str) -> Status {
    let (name, version) = (&kind.kind, &kind.version);
    Status::bad_request(format!(
        "{name} in version \"{version}\" cannot be handled as a {name}: {why}"
    ))
}

/// Checks that the object says to be what it is taken for, and makes it say so.
fn identify(kind: &Kind, value: Value) -> Result<Map<String, Value>, Status> {
    let Value::Object(mut object) = value else {
        let what = &kind.kind;
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {what}): couldn't get \
             version/kind; json parse error: the body is not an object"
        )));
    };
    let expected = kind.api_version();
    for (key, wanted) in [("kind", &kind.kind), ("apiVersion", &expected)] {
        match object.get(key) {
            None | Some(Value::Null) if !kind.custom => {}
            Some(Value::String(text)) if text.is_empty() && !kind.custom => {}
            Some(Value::String(text)) if text == wanted => {}
            Some(Value::String(text)) if !text.is_empty() => {
                return Err(mismatch(kind, key, text, &object));
            }
            None | Some(Value::Null | Value::String(_)) => {
                let title = if key == "kind" { "Kind" } else { "apiVersion" };
                let body = Value::Object(object);
                return Err(Status::bad_request(format!(
                    "Object '{title}' is missing in '{body}'"
                )));
            }
            Some(other) => {
                let (what, sent) = (&kind.kind, typed::json_kind(other));
                return Err(Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type {what}): couldn't get \
                     version/kind; json parse error: json: cannot unmarshal {sent} into Go struct \
                     field .{key} of type string"
                )));
            }
        }
        object.insert(key.to_owned(), Value::String(wanted.clone()));
    }
    Ok(object)
}

fn mismatch(kind: &Kind, key: &str, text: &str, object: &Map<String, Value>) -> Status {
    let said = |key: &str, otherwise: &str| {
        let text = object.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
            .unwrap_or(otherwise)
            .to_owned()
    };
    let expected = kind.api_version();
    if key == "apiVersion" && text.matches('/').count() > 1 {
        let what = &kind.kind;
        return Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {what}): unexpected \
             GroupVersion string: {text}"
        ));
    }
    if key == "apiVersion" {
        return Status::bad_request(format!(
            "the API version in the data ({text}) does not match the expected API version \
             ({expected})"
        ));
    }
    let api_version = said("apiVersion", &expected);
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let what = &kind.kind;
    Status::bad_request(format!(
        "{text} in version \"{version}\" cannot be handled as a {what}: no kind \"{text}\" is \
         registered for version \"{api_version}\" as a {what}"
    ))
}

/// A custom resource: its metadata is typed, the rest follows its own schema.
fn custom(
    kind: &Kind,
    mut object: Map<String, Value>,
    found: &mut Vec<String>,
) -> Result<Value, String> {
    let metadata = object.remove("metadata").unwrap_or(Value::Null);
    let metadata = typed::decode_at(object_meta(), metadata, "metadata", found)?;
    let mut value = Value::Object(object);
    structural::whole_numbers(&mut value);
    structural::prune(kind.schema(), &mut value, found);
    value["metadata"] = match metadata {
        Value::Null => Value::Object(Map::new()),
        metadata => metadata,
    };
    Ok(value)
}

/// The schema of object metadata.
pub(crate) fn object_meta() -> Schema<'static> {
    let schemas = builtin::schemas();
    let root = schemas.roots["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"];
    schemas.set.at(root)
}
