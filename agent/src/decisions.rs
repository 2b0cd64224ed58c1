//! The decisions of `policy` that the agent acts on, in the terms of a record: what the manifest is,
//! which marks it carries, how healthy an object is.
//!
//! A thin border: nothing is decided here.

use flotilla_policy::interpret;
use flotilla_policy::model::manifest;
use flotilla_policy::overriding::OverrideList;
use flotilla_policy::render::{self, Assignment, Conflict, Marks};
use flotilla_proto::v1;
use serde_json::Value;

use crate::ledger::bodies::Bodies;
use crate::ledger::records::Record;

pub use flotilla_policy::model::marks;

/// What one work should look like in the member.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The manifest with our marks.
    pub manifest: Value,
    /// Whether a foreign object is taken over.
    pub overwrite: bool,
    /// Paths that overrides changed.
    pub changed: Vec<String>,
}

/// Why there is no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrendered {
    /// A body is not here (yet).
    NoBody,
    /// Template or overrides are broken, and how.
    Broken(String),
}

/// Who asks: what every manifest is marked with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Name of the member cluster.
    pub cluster: String,
    /// Fence of this leader.
    pub fence: u64,
}

/// Renders and marks the manifest of a record.
///
/// # Errors
/// When a body lacks or is broken.
pub fn desired(record: &Record, bodies: &Bodies, asker: &Asker) -> Result<Desired, Unrendered> {
    let broken = |what: &str| Unrendered::Broken(what.to_owned());
    let template = bodies.raw(record.template).ok_or(Unrendered::NoBody)?;
    let template: Value = serde_json::from_slice(&template)
        .map_err(|e| Unrendered::Broken(format!("the template is no JSON: {e}")))?;
    let overrides = match record.overrides {
        Some(digest) => {
            let bytes = bodies.raw(digest).ok_or(Unrendered::NoBody)?;
            OverrideList::from_bytes(&bytes)
                .map_err(|e| Unrendered::Broken(format!("the overrides are unreadable: {e}")))?
        }
        None => OverrideList::default(),
    };
    let row = &record.row;
    let assignment = Assignment {
        cluster: asker.cluster.clone(),
        replicas: row.replicas,
        completions: row.completions,
        conflict: match row.conflict() {
            v1::Conflict::Overwrite => Conflict::Overwrite,
            v1::Conflict::Abort | v1::Conflict::Unspecified => Conflict::Abort,
        },
    };
    let rendered = render::render(&template, &overrides, &assignment)
        .map_err(|e| Unrendered::Broken(e.to_string()))?;
    let mut manifest = rendered.manifest;
    if reference(&manifest) != record.object() {
        return Err(broken("the template is of another object than the row"));
    }
    let marks = Marks {
        work_id: record.id.to_string(),
        term: record.generation.term,
        n: record.generation.n,
        fence: asker.fence,
        template_uid: row.template_uid.clone(),
        template_generation: Some(row.template_generation).filter(|n| *n > 0),
        conflict: rendered.conflict,
    };
    render::stamp(&mut manifest, &marks);
    let mut changed: Vec<String> = rendered.changes.into_iter().map(|c| c.path).collect();
    changed.dedup();
    Ok(Desired {
        manifest,
        overwrite: rendered.conflict == Conflict::Overwrite,
        changed,
    })
}

fn reference(object: &Value) -> v1::ObjectRef {
    v1::ObjectRef {
        api_version: manifest::api_version(object).to_owned(),
        kind: manifest::kind(object).to_owned(),
        namespace: manifest::namespace(object).to_owned(),
        name: manifest::name(object).to_owned(),
    }
}

/// Takes out of the manifest what the member decides.
pub fn leave_out(manifest: &mut Value, observed: Option<&Value>) {
    interpret::leave_out(manifest, observed);
}

/// Health of an object, and why.
#[must_use]
pub fn health(object: &Value) -> (v1::HealthState, String) {
    let report = interpret::health(object);
    let state = match report.health {
        interpret::Health::Healthy => v1::HealthState::Healthy,
        interpret::Health::Unhealthy => v1::HealthState::Unhealthy,
        interpret::Health::Unknown => v1::HealthState::Unknown,
    };
    (state, report.reason)
}

/// The part of an object's status that goes up, as JSON; empty = none.
#[must_use]
pub fn status(object: &Value) -> Vec<u8> {
    match interpret::status(object) {
        Ok(Some(Value::Null)) | Ok(None) | Err(_) => Vec::new(),
        Ok(Some(status)) => status.to_string().into_bytes(),
    }
}
