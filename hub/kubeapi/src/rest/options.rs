//! Options of writes: dry run, field manager, field validation; and those of deletes.
//!
//! They come in the query, or for deletes in the body. Wrong ones are refused before anything else
//! is looked at.

use serde_json::Value;

use super::Call;
use crate::error::{Cause, Status};
use crate::http::body;
use crate::http::query::Query;
use crate::schema::decode::FieldValidation;

const MANAGER_MAX: usize = 128;

/// Options of a create, update or patch.
#[derive(Debug, Clone)]
pub(super) struct WriteOptions {
    /// Nothing is stored.
    pub(super) dry_run: bool,
    /// Whose fields these are.
    pub(super) manager: String,
    /// What becomes of unknown fields.
    pub(super) validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the query. `kind` = the name of the options, such as `CreateOptions`.
    pub(super) fn read(call: &Call, kind: &str) -> Result<Self, Status> {
        let mut causes = Vec::new();
        let dry_run = dry_run(call.query.all("dryRun"), &mut causes);
        let manager = call.query.get("fieldManager");
        check_manager(manager, &mut causes);
        let validation = call.query.get("fieldValidation");
        let parsed = FieldValidation::from_query(validation);
        if parsed.is_none() {
            let text = format!(
                "Unsupported value: \"{validation}\": supported values: \"\", \"Ignore\", \
                 \"Strict\", \"Warn\""
            );
            causes.push(Cause::new(
                "FieldValueNotSupported",
                "fieldValidation",
                text,
            ));
        }
        if !causes.is_empty() {
            return Err(Status::invalid("meta.k8s.io", kind, "", causes));
        }
        let agent = call.agent.split('/').next().unwrap_or_default();
        let mut cut = agent.len().min(MANAGER_MAX);
        while !agent.is_char_boundary(cut) {
            cut -= 1;
        }
        let manager = match (manager, &agent[..cut]) {
            ("", "") => "unknown",
            ("", agent) => agent,
            (said, _) => said,
        };
        Ok(Self {
            dry_run,
            manager: manager.to_owned(),
            validation: parsed.unwrap_or_default(),
        })
    }
}

fn dry_run<'a>(values: impl Iterator<Item = &'a str>, causes: &mut Vec<Cause>) -> bool {
    let values: Vec<_> = values.collect();
    if values.iter().any(|value| *value != "All") {
        let text = format!("Unsupported value: {values:?}: supported values: \"All\"");
        causes.push(Cause::new("FieldValueNotSupported", "dryRun", text));
    }
    !values.is_empty()
}

fn check_manager(manager: &str, causes: &mut Vec<Cause>) {
    if manager.len() > MANAGER_MAX {
        let text = format!("Too long: may not be more than {MANAGER_MAX} bytes");
        causes.push(Cause::new("FieldValueTooLong", "fieldManager", text));
    }
    let odd = manager.chars().enumerate().find(|(_, c)| c.is_control());
    if let Some((at, c)) = odd {
        let code = u32::from(c);
        let text = format!(
            "Invalid value: {manager:?}: invalid character U+{code:04X} (at position {at})"
        );
        causes.push(Cause::new("FieldValueInvalid", "fieldManager", text));
    }
}

/// What happens to dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Propagation {
    /// They go after their owner, in time.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// Options of a delete.
#[derive(Debug, Clone, Default)]
pub(super) struct DeleteOptions {
    /// Nothing is stored.
    pub(super) dry_run: bool,
    /// Seconds that the object may take; none = the kind decides.
    pub(super) grace_seconds: Option<i64>,
    /// What happens to dependents; none = the kind decides.
    pub(super) propagation: Option<Propagation>,
    /// The object must have this uid.
    pub(super) uid: Option<String>,
    /// The object must have this version.
    pub(super) resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the body, or the query when there is none.
    pub(super) fn read(call: &Call) -> Result<Self, Status> {
        if call.body.is_empty() {
            return Self::from_query(&call.query);
        }
        let media = body::Media::of(&call.content_type)?;
        let mut found = Vec::new();
        let options = body::read(media, &call.body, ("DeleteOptions", false), &mut found)?;
        Self::from_object(&options)
    }

    fn from_query(query: &Query) -> Result<Self, Status> {
        let mut causes = Vec::new();
        let dry_run = dry_run(query.all("dryRun"), &mut causes);
        let text = query.get("propagationPolicy");
        let propagation = propagation(text, &mut causes);
        let orphan = query.get("orphanDependents");
        let uid = query.get("preconditions.uid");
        Self {
            dry_run,
            grace_seconds: query.number("gracePeriodSeconds")?,
            propagation: propagation.or(from_orphan(match orphan {
                "" => None,
                text => Some(!matches!(text, "0" | "false")),
            })),
            uid: (!uid.is_empty()).then(|| uid.to_owned()),
            resource_version: None,
        }
        .checked(causes)
    }

    /// Reads a `DeleteOptions` object.
    pub(super) fn from_object(options: &Value) -> Result<Self, Status> {
        let kind = options["kind"].as_str().unwrap_or("DeleteOptions");
        if !options.is_object() || !matches!(kind, "DeleteOptions" | "") {
            return Err(Status::bad_request(format!(
                "{kind} cannot be handled as a DeleteOptions"
            )));
        }
        let mut causes = Vec::new();
        let list = options["dryRun"].as_array().into_iter().flatten();
        let dry_run = dry_run(list.filter_map(Value::as_str), &mut causes);
        let text = options["propagationPolicy"].as_str().unwrap_or_default();
        let given = propagation(text, &mut causes);
        let precondition = |key: &str| {
            let value = options["preconditions"][key].as_str();
            value.map(str::to_owned)
        };
        let grace = &options["gracePeriodSeconds"];
        if !grace.is_null() && grace.as_i64().is_none() {
            let text = "json: cannot unmarshal into Go struct field \
                        DeleteOptions.gracePeriodSeconds of type int64";
            return Err(Status::bad_request(text));
        }
        Self {
            dry_run,
            grace_seconds: grace.as_i64(),
            propagation: given.or(from_orphan(options["orphanDependents"].as_bool())),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
        }
        .checked(causes)
    }

    fn checked(self, causes: Vec<Cause>) -> Result<Self, Status> {
        if causes.is_empty() {
            return Ok(self);
        }
        Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", causes))
    }
}

fn from_orphan(orphan: Option<bool>) -> Option<Propagation> {
    orphan.map(|orphan| {
        if orphan {
            Propagation::Orphan
        } else {
            Propagation::Background
        }
    })
}

fn propagation(text: &str, causes: &mut Vec<Cause>) -> Option<Propagation> {
    match text {
        "" => None,
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "Orphan" => Some(Propagation::Orphan),
        other => {
            let text = format!(
                "Unsupported value: \"{other}\": supported values: \"Background\", \
                 \"Foreground\", \"Orphan\", \"nil\""
            );
            causes.push(Cause::new(
                "FieldValueNotSupported",
                "propagationPolicy",
                text,
            ));
            None
        }
    }
}
