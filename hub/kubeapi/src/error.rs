//! The one error of the engine: a Kubernetes `Status`, as it goes to the client.
//!
//! Every refusal is made here, so that codes, reasons and details stay consistent. Texts follow
//! what a real kube-apiserver says where clients show them; nothing here decides when to refuse.

use serde_json::{Map, Value, json};

/// A refused request: what goes out as `kind: Status`, `status: Failure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`; empty = none.
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// `details` of the answer; none = the field is left out. Boxed, since every result carries it.
    pub details: Option<Box<Details>>,
}

/// What a `Status` says about its object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Plural resource, or the kind for an `Invalid`.
    pub kind: String,
    /// UID of the object.
    pub uid: String,
    /// Single findings.
    pub causes: Vec<Cause>,
    /// Seconds after which the client may try again; 0 = not said.
    pub retry_after_seconds: u32,
}

/// One finding about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, ...
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// Path of the field, such as `spec.ports[0].port`.
    pub field: String,
}

impl Status {
    /// A status without details.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404: this object is not there. `resource` = plural.
    #[must_use]
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let qualified = qualified(group, resource);
        Self::new(404, "NotFound", format!("{qualified} \"{name}\" not found"))
            .about(group, resource, name)
    }

    /// 409: an object of this name is there already.
    #[must_use]
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let qualified = qualified(group, resource);
        let message = format!("{qualified} \"{name}\" already exists");
        Self::new(409, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409: the object is another one than the client saw.
    #[must_use]
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let qualified = qualified(group, resource);
        let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(group, resource, name)
    }

    /// 422: the object breaks a rule of its kind.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let found: Vec<_> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let found = match found.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind_name = qualified(group, kind);
        let message = format!("{kind_name} \"{name}\" is invalid: {found}");
        let mut status = Self::new(422, "Invalid", message).about(group, kind, name);
        status.details.get_or_insert_default().causes = causes;
        status
    }

    /// 500: an invariant of ours or an input that a real server answers so.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let mut status = Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        );
        status.details = Some(Box::new(Details {
            causes: vec![Cause {
                reason: "",
                message,
                field: String::new(),
            }],
            ..Details::default()
        }));
        status
    }

    /// Names the object that this is about.
    #[must_use]
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        group.clone_into(&mut details.group);
        kind.clone_into(&mut details.kind);
        name.clone_into(&mut details.name);
        self
    }

    /// The body that goes to the client.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = details.to_json();
        }
        body
    }
}

impl Details {
    fn to_json(&self) -> Value {
        let mut body = Map::new();
        let texts = [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                body.insert(key.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_json).collect();
            body.insert("causes".into(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            let seconds = json!(self.retry_after_seconds);
            body.insert("retryAfterSeconds".into(), seconds);
        }
        Value::Object(body)
    }
}

impl Cause {
    /// A finding about one field.
    #[must_use]
    pub fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: field.into(),
        }
    }

    fn to_json(&self) -> Value {
        let mut body = Map::new();
        for (key, text) in [
            ("reason", self.reason),
            ("message", &self.message),
            ("field", &self.field),
        ] {
            if !text.is_empty() {
                body.insert(key.into(), json!(text));
            }
        }
        Value::Object(body)
    }
}

/// `deployments.apps`, or the bare resource in the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}
