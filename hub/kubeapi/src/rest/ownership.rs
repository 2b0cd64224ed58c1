//! Who owns which field, as the pipeline asks for it: the manager of a call, and the bookkeeping of
//! plain writes, applies and the server's own writes.

use serde_json::{Value, json};

use super::options::WriteOptions;
use super::{Call, Engine, meta};
use crate::apply::{Manager, Operation, Reset, Tracker};
use crate::error::Status;
use crate::kinds::{Kind, defaults};
use crate::schema::decode::{self, FieldValidation};

/// The name under which the server itself writes.
const SERVER: &str = "kube-apiserver";

impl Engine {
    /// The object of a plain write with its managed fields.
    pub(super) fn owned(
        &self,
        call: &Call,
        options: &WriteOptions,
        live: Option<&Value>,
        new: Value,
    ) -> Value {
        let at = (&*options.manager, call.target.subresource.as_str());
        self.owned_by(&call.kind, at, live, new)
    }

    /// The object of a write of the server's own to a status.
    pub(super) fn owned_by_server(&self, kind: &Kind, live: &Value, new: Value) -> Value {
        self.owned_by(kind, (SERVER, "status"), Some(live), new)
    }

    fn owned_by(
        &self,
        kind: &Kind,
        (name, subresource): (&str, &str),
        live: Option<&Value>,
        new: Value,
    ) -> Value {
        let (version, versions) = (kind.api_version(), self.versions(kind));
        let reset = Reset::of(kind, subresource);
        let tracker = Tracker {
            kind,
            manager: Manager {
                name,
                operation: Operation::Update,
                api_version: &version,
                subresource,
                now: &meta::now(),
            },
            reset: &reset,
            versions: &versions,
        };
        tracker.update(live, new)
    }

    /// What an apply makes of the live object, with defaults and managed fields.
    pub(super) fn applied(
        &self,
        call: &Call,
        options: &WriteOptions,
        live: Option<&Value>,
        config: &Value,
    ) -> Result<Value, Status> {
        let kind = &*call.kind;
        let (version, versions) = (kind.api_version(), self.versions(kind));
        let reset = Reset::of(kind, &call.target.subresource);
        let tracker = Tracker {
            kind,
            manager: Manager {
                name: &options.manager,
                operation: Operation::Apply,
                api_version: &version,
                subresource: &call.target.subresource,
                now: &meta::now(),
            },
            reset: &reset,
            versions: &versions,
        };
        let force = call.query.is_set("force");
        let applied = tracker.apply(live, config, force)?;
        // What was applied to a custom object is of its schema already, and null is seen there.
        let mut object = if kind.custom {
            applied
        } else {
            decode::decode(kind, applied, FieldValidation::Ignore, &mut Vec::new())?
        };
        defaults::apply(kind, self.profile, &mut object);
        Ok(object)
    }

    /// The versions in which a kind is served.
    pub(super) fn versions(&self, kind: &Kind) -> Vec<String> {
        let table = self.table.load();
        let served = table
            .values()
            .filter(|row| row.group == kind.group && row.plural == kind.plural);
        served.map(|row| row.api_version()).collect()
    }
}

/// The config of an apply names what the path names.
pub(super) fn check_config(call: &Call, config: &Value) -> Result<(), Status> {
    let kind = &call.kind;
    if !config.is_object() {
        let text = "error decoding YAML: the body is not an object";
        return Err(Status::bad_request(text));
    }
    for (field, wanted) in [
        ("apiVersion", kind.api_version()),
        ("kind", kind.kind.clone()),
    ] {
        let said = &config[field];
        if said.as_str().unwrap_or_default().is_empty() {
            let title = if field == "kind" { "Kind" } else { field };
            return Err(Status::bad_request(format!(
                "Object '{title}' is missing in '{config}'"
            )));
        }
        if *said != json!(wanted) && field == "kind" {
            return Err(Status::bad_request(format!(
                "{} in version {:?} cannot be handled as a {wanted}",
                said, config["apiVersion"]
            )));
        }
    }
    Ok(())
}
