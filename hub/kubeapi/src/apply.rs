//! Who owns which field: server-side apply, and the bookkeeping of plain writes.
//!
//! Pure functions over an object, what is sent, and the `managedFields` that lie in the object. What
//! is decoded, defaulted, admitted and validated before and after is not their business; an applied
//! object comes back without defaults.

mod compare;
mod last_applied;
mod managers;
mod merge;
mod paths;
mod reset;
mod scale;
mod typed;
mod updater;

use serde_json::Value;

pub use managers::keep_times;
pub use paths::Set;
pub use reset::Reset;
pub use scale::{from_scale, to_scale};

use crate::error::Status;
use crate::kinds::Kind;
use managers::{Identity, Managers};
use updater::Updater;

/// What a manager does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It says what it wants to own.
    Apply,
    /// It writes, and owns what changed.
    Update,
}

/// Who writes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub operation: Operation,
    /// The version in which it speaks.
    pub api_version: &'a str,
    /// The subresource that it writes; empty = the object.
    pub subresource: &'a str,
    /// Now: RFC 3339, whole seconds.
    pub now: &'a str,
}

/// The bookkeeping for one write to an object of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Tracker<'a> {
    /// The kind.
    pub kind: &'a Kind,
    /// Who writes.
    pub manager: Manager<'a>,
    /// What such a write leaves alone.
    pub reset: &'a Reset,
    /// The apiVersions in which the kind is served; entries of others are dropped. Empty = any.
    pub versions: &'a [String],
}

/// Owner of what was there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

impl Tracker<'_> {
    /// The object after an apply of `config`, with its `managedFields`; what was there already and
    /// what the config says, without what this manager owned alone and says no longer.
    pub fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        force: bool,
    ) -> Result<Value, Status> {
        self.check_config(config)?;
        let entries = live.map(|live| &live["metadata"]["managedFields"]);
        let mut managers = Managers::decode(entries.unwrap_or(&Value::Null)).map_err(|why| {
            Status::new(500, "", format!("failed to decode managed fields: {why}"))
        })?;
        let live = self.plain(live);
        let updater = self.updater();
        if managers.is_empty() {
            let owner = Identity {
                name: BEFORE_FIRST_APPLY.to_owned(),
                ..self.identity(Operation::Update)
            };
            let (blank, now) = (self.blank(), self.manager.now);
            managers = updater.update(&blank, &live, managers, (&owner, now));
        }
        let mine = self.identity(Operation::Apply);
        let mut outcome = updater.apply(&live, config, managers.clone(), &mine, force)?;
        if let Err(conflicts) = &outcome
            && last_applied::excuses(self.kind.schema(), &live, conflicts, &mine)
        {
            outcome = updater.apply(&live, config, managers, &mine, true)?;
        }
        let mut applied = outcome.map_err(|conflicts| conflicts.to_status())?;
        if applied.changed {
            applied.managers.set_time(&mine, self.manager.now);
        }
        last_applied::keep(&live, config, &mine, &mut applied.object);
        applied.managers.encode_into(&mut applied.object);
        Ok(applied.object)
    }

    /// `new` with its `managedFields`, after a write that was no apply. `new` has its defaults.
    pub fn update(&self, live: Option<&Value>, mut new: Value) -> Value {
        let present = live.map(|live| &live["metadata"]["managedFields"]);
        let present = present.unwrap_or(&Value::Null);
        let said = &new["metadata"]["managedFields"];
        let mut managers = if self.manager.subresource.is_empty() {
            managers::live_or_new(present, said)
        } else {
            Managers::decode(present).unwrap_or_default()
        };
        managers::strip_entries(&mut new);
        let is_new = live.is_none_or(|live| live["metadata"]["uid"].as_str().is_none());
        if managers.is_empty() && !is_new {
            // Somebody took the bookkeeping away: it begins again with the first apply.
            return new;
        }
        let before = self.plain(live);
        let mine = self.identity(Operation::Update);
        managers = self
            .updater()
            .update(&before, &new, managers, (&mine, self.manager.now));
        managers.cap();
        managers.encode_into(&mut new);
        new
    }

    fn updater(&self) -> Updater<'_> {
        Updater {
            schema: self.kind.schema(),
            api_version: self.manager.api_version,
            reset: self.reset,
            versions: self.versions,
        }
    }

    fn identity(&self, operation: Operation) -> Identity {
        Identity {
            operation,
            name: self.manager.name.to_owned(),
            subresource: self.manager.subresource.to_owned(),
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => self.manager.api_version.to_owned(),
            },
        }
    }

    /// An object of which nothing was said yet, as it shows.
    fn blank(&self) -> Value {
        let mut blank = crate::schema::decode::zero(self.kind.schema());
        blank["apiVersion"] = self.kind.api_version().into();
        blank["kind"] = self.kind.kind.clone().into();
        blank
    }

    /// The live object without its bookkeeping, or a blank one.
    fn plain(&self, live: Option<&Value>) -> Value {
        let mut live = live.map_or_else(|| self.blank(), Clone::clone);
        managers::strip_entries(&mut live);
        live
    }

    fn check_config(&self, config: &Value) -> Result<(), Status> {
        let said = config["apiVersion"].as_str().unwrap_or_default();
        let expected = self.manager.api_version;
        if said != expected {
            return Err(Status::bad_request(format!(
                "Incorrect version specified in apply patch. Specified patch version: {said}, expected: {expected}"
            )));
        }
        if config["metadata"]["managedFields"].is_array() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }
}
