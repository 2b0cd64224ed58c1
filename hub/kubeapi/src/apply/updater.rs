//! What a write does to the sets of all managers.
//!
//! An apply merges a config, takes away what its manager owned alone and says no longer, and meets
//! conflicts where it changes what others own. A plain write takes what it changes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Operation;
use super::compare::{Changes, compare, same};
use super::managers::{Identity, Managers, Owned};
use super::merge::{merge, remove, with_fields};
use super::paths::Set;
use super::reset::Reset;
use super::typed::{check, fields};
use crate::error::{Cause, Status};
use crate::schema::Schema;

/// Never owned by anybody.
const NEVER_OWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// The rules of one write.
pub(super) struct Updater<'a> {
    pub(super) schema: Schema<'a>,
    pub(super) api_version: &'a str,
    pub(super) reset: &'a Reset,
    /// Served versions; empty = any.
    pub(super) versions: &'a [String],
}

/// What came of an apply.
pub(super) struct Applied {
    pub(super) object: Value,
    pub(super) managers: Managers,
    /// The object changed, not only who owns it.
    pub(super) changed: bool,
}

/// Fields that others own, by owner.
pub(super) struct Conflicts {
    pub(super) fields: BTreeMap<Identity, Owned>,
}

impl Updater<'_> {
    /// Applies a config; the inner error holds conflicts.
    pub(super) fn apply(
        &self,
        live: &Value,
        config: &Value,
        mut managers: Managers,
        mine: &Identity,
        force: bool,
    ) -> Result<Result<Applied, Conflicts>, Status> {
        self.check("patch", config, false)?;
        self.check("live", live, true)?;
        self.follow_schema(&mut managers);
        let merged = merge(Some(self.schema), Some(live), Some(config)).unwrap_or_default();
        let last = managers.entries.remove(mine);
        let now_owned = Owned {
            set: self.reset.filter(&fields(Some(self.schema), config)),
            api_version: self.api_version.to_owned(),
            time: last.as_ref().and_then(|last| last.time.clone()),
        };
        managers.entries.insert(mine.clone(), now_owned);
        let object = self.prune(merged, &managers, last.as_ref());
        let changes = compare(Some(self.schema), live, &object);
        let conflicts = self.settle(&changes, &mut managers, mine);
        if !force && !conflicts.fields.is_empty() {
            return Ok(Err(conflicts));
        }
        // The order of a list is no change of any field, but one of the object.
        let changed = !same(live, &object);
        strip(&mut managers, mine);
        let object = if changed { object } else { live.clone() };
        Ok(Ok(Applied {
            object,
            managers,
            changed,
        }))
    }

    /// Notes what a plain write changed, and takes it from all others.
    pub(super) fn update(
        &self,
        live: &Value,
        new: &Value,
        mut managers: Managers,
        (mine, now): (&Identity, &str),
    ) -> Managers {
        let unfit = |value| !check(Some(self.schema), value, true).is_empty();
        if unfit(live) || unfit(new) {
            return managers;
        }
        self.follow_schema(&mut managers);
        let changes = compare(Some(self.schema), live, new);
        // The write itself is a manager apart until it is known what it took.
        let nobody = Identity {
            name: String::new(),
            operation: Operation::Update,
            api_version: String::new(),
            subresource: String::new(),
        };
        self.settle(&changes, &mut managers, &nobody);
        let taken = self.reset.filter(&changes.set()).difference(&never_owned());
        if !taken.is_empty() {
            let owned = managers.entries.entry(mine.clone()).or_default();
            owned.set = std::mem::take(&mut owned.set).union(&taken);
            self.api_version.clone_into(&mut owned.api_version);
            owned.time = Some(now.to_owned());
        }
        managers
    }

    /// Takes from all but `mine` what changed; gives what was taken although it was owned.
    fn settle(&self, changes: &Changes, managers: &mut Managers, mine: &Identity) -> Conflicts {
        let changes = changes.filtered(|set| self.reset.filter(set));
        let taken = changes.set();
        let mut conflicts = BTreeMap::new();
        let is_served =
            |version: &String| self.versions.is_empty() || self.versions.contains(version);
        managers
            .entries
            .retain(|identity, owned| identity == mine || is_served(&owned.api_version));
        for (identity, owned) in &mut managers.entries {
            if identity == mine {
                continue;
            }
            let conflict = owned.set.intersection(&taken);
            owned.set = owned.set.difference(&conflict).difference(&changes.removed);
            if !conflict.is_empty() {
                let lost = Owned {
                    set: conflict,
                    ..owned.clone()
                };
                conflicts.insert(identity.clone(), lost);
            }
        }
        managers.entries.retain(|_, owned| !owned.set.is_empty());
        Conflicts { fields: conflicts }
    }

    /// Takes away what the manager owned, says no longer, and nobody owns.
    fn prune(&self, merged: Value, managers: &Managers, last: Option<&Owned>) -> Value {
        let Some(last) = last.filter(|last| !last.set.is_empty()) else {
            return merged;
        };
        let is_served = self.versions.is_empty() || self.versions.contains(&last.api_version);
        if !is_served {
            return merged;
        }
        let place = Some(self.schema);
        let full = |set: &Set| with_fields(place, set);
        let all = |value: &Value| full(&fields(place, value));
        let without = |gone: &Set| remove(place, &merged, gone).unwrap_or_default();
        let (last, everything) = (full(&last.set), all(&merged));

        let pruned = without(&last);
        let owned = managers
            .entries
            .values()
            .fold(Set::default(), |all, owned| all.union(&owned.set));
        let kept = all(&pruned).union(&full(&owned));
        let pruned = without(&everything.difference(&kept));
        // What went along with a removed parent, and was never this manager's, comes back.
        let gone = everything.difference(&all(&pruned));
        without(&gone.intersection(&last))
    }

    /// A field that is owned as a whole now, and was owned in parts, belongs to the owners of parts.
    fn follow_schema(&self, managers: &mut Managers) {
        for owned in managers.entries.values_mut() {
            if owned.api_version == self.api_version {
                owned.set = whole(Some(self.schema), &owned.set);
            }
        }
    }

    fn check(&self, what: &str, value: &Value, doubles: bool) -> Result<(), Status> {
        let found = check(Some(self.schema), value, doubles);
        let found = match found.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &value["metadata"];
        let (ns, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        let (version, kind) = (text(&value["apiVersion"]), text(&value["kind"]));
        let version = if version.contains('/') {
            version
        } else {
            format!("/{version}")
        };
        Err(Status::new(
            500,
            "",
            format!(
                "failed to create typed {what} object ({ns}/{name}; {version}, Kind={kind}): {found}"
            ),
        ))
    }
}

/// The set with leaves in place of the parts of what is owned as a whole.
fn whole(place: super::typed::Place<'_>, set: &Set) -> Set {
    use super::typed::{child, items};
    let mut out = Set::default();
    for (key, member, below) in set.elements() {
        let inner = match key.strip_prefix("f:") {
            Some(name) => child(place, name).0,
            None => items(place),
        };
        let is_atomic = inner.is_some_and(|schema| {
            let node = schema.node();
            node.atomic
                || node.ty == crate::schema::Type::List
                    && node.list == crate::schema::ListType::Atomic
        });
        if is_atomic {
            out.put(key, true, Set::default());
        } else {
            out.put(key, member, whole(inner, below));
        }
    }
    out
}

fn never_owned() -> Set {
    NEVER_OWNED
        .iter()
        .fold(Set::default(), |set, path| set.union(&Set::of_fields(path)))
}

fn strip(managers: &mut Managers, mine: &Identity) {
    if let Some(owned) = managers.entries.get_mut(mine) {
        owned.set = owned.set.difference(&never_owned());
    }
    managers.entries.retain(|_, owned| !owned.set.is_empty());
}

impl Conflicts {
    /// All conflicting fields.
    pub(super) fn set(&self) -> Set {
        let owners = self.fields.values();
        owners.fold(Set::default(), |all, owned| all.union(&owned.set))
    }

    /// The answer to the client.
    pub(super) fn to_status(&self) -> Status {
        let mut causes = Vec::new();
        let mut owners = Vec::new();
        for (identity, owned) in &self.fields {
            let owner = owner(identity, owned);
            let fields = owned.set.texts();
            for field in &fields {
                let message = format!("conflict with {owner}");
                causes.push(Cause::new("FieldManagerConflict", field.clone(), message));
            }
            owners.push(format!(
                "conflicts with {owner}:\n- {}",
                fields.join("\n- ")
            ));
        }
        let message = match causes.as_slice() {
            [one] => format!(
                "Apply failed with 1 conflict: {}: {}",
                one.message, one.field
            ),
            many => {
                let owners = owners.join("\n");
                format!("Apply failed with {} conflicts: {owners}", many.len())
            }
        };
        let mut status = Status::new(409, "Conflict", message);
        status.details.get_or_insert_default().causes = causes;
        status
    }
}

fn owner(identity: &Identity, owned: &Owned) -> String {
    let mut text = format!("{:?}", identity.name);
    if !identity.subresource.is_empty() {
        text = format!("{text} with subresource {:?}", identity.subresource);
    }
    if identity.operation == Operation::Update {
        text = format!("{text} using {}", owned.api_version);
    }
    text
}
