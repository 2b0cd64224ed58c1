//! What happens to an object between a client's request and the store: unknown fields go, defaults
//! come, and what is wrong is refused with the field's name.
//!
//! The order is an API server's with webhooks: prune, defaults of the schema, defaults of the kind,
//! schema check, rules of the kind. Pure: ids and times are arguments. The object is edited in
//! place and never written back from its Rust type, so a required field that is missing is refused
//! instead of becoming an empty text.

use serde_json::Value;

use super::registry::KindInfo;
use super::{FieldError, structural};
use crate::model::manifest;

/// What an admission may use besides the object.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionContext<'a> {
    /// A fresh permanent id, used when the object is created.
    pub uuid: &'a str,
    /// The time, RFC 3339.
    pub now: &'a str,
}

/// When defaults are filled.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// On create.
    Create(&'a AdmissionContext<'a>),
    /// On update.
    Update(&'a AdmissionContext<'a>),
    /// On read of a stored object: no ids, no times.
    Read,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// To be stored as given here.
    Allowed {
        /// The object with defaults.
        object: Value,
        /// Texts for the client.
        warnings: Vec<String>,
    },
    /// Not to be stored.
    Denied {
        /// All that is wrong; never empty.
        errors: Vec<FieldError>,
    },
}

/// Decides about an object of a kind; `old` is the stored one on update.
#[must_use]
pub fn admit(
    kind: &KindInfo,
    mut object: Value,
    old: Option<&Value>,
    ctx: &AdmissionContext<'_>,
) -> Admission {
    if let Some(error) = wrong_envelope(kind, &object) {
        return Admission::Denied {
            errors: vec![error],
        };
    }
    structural::prune((kind.schema)(), &mut object);
    let moment = match old {
        None => Moment::Create(ctx),
        Some(_) => Moment::Update(ctx),
    };
    fill(kind, &mut object, moment);
    let mut errors = structural::check((kind.schema)(), &object);
    if errors.is_empty() {
        errors = (kind.validate)(&object, old);
    }
    if !errors.is_empty() {
        return Admission::Denied { errors };
    }
    let warnings = (kind.warn)(&object);
    Admission::Allowed { object, warnings }
}

/// A stored object as it is read: with today's defaults, whatever wrote it. Makes no ids, drops no
/// field, and a second time changes nothing.
#[must_use]
pub fn normalise(kind: &KindInfo, mut object: Value) -> Value {
    fill(kind, &mut object, Moment::Read);
    object
}

fn fill(kind: &KindInfo, object: &mut Value, moment: Moment<'_>) {
    let schema = (kind.schema)();
    structural::drop_empty_choices(schema, object);
    structural::fill_defaults(schema, object);
    (kind.defaults)(object, moment);
    // What the kind added has defaults of its own.
    structural::fill_defaults(schema, object);
}

fn wrong_envelope(kind: &KindInfo, object: &Value) -> Option<FieldError> {
    if !object.is_object() {
        return Some(FieldError::new("", "the body is not an object"));
    }
    let version = kind.api_version();
    for (field, expected, actual) in [
        (
            "apiVersion",
            version.as_str(),
            manifest::api_version(object),
        ),
        ("kind", kind.kind, manifest::kind(object)),
    ] {
        if !actual.is_empty() && actual != expected {
            let message = format!("\"{actual}\" is not \"{expected}\"");
            return Some(FieldError::new(field, message));
        }
    }
    None
}

/// Sets the label with the permanent id of an object that is created.
pub(super) fn set_permanent_id(object: &mut Value, moment: Moment<'_>, label: &str) {
    if let Moment::Create(ctx) = moment {
        manifest::map_mut(object, &["metadata", "labels"])
            .insert(label.to_owned(), ctx.uuid.into());
    }
}
