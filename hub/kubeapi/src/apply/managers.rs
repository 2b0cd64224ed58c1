//! The entries of `managedFields`: reading, writing, and keeping them few.
//!
//! An entry is told apart by all but its time and its fields; of an applier the version does not
//! count either, as it goes on owning what it applied in another one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Operation;
use super::paths::Set;

/// Plain writers with an entry of their own; older ones share one.
const UPDATERS_MAX: usize = 10;

/// Who shares.
const ANCIENT: &str = "ancient-changes";

/// Tells entries apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// Empty for an applier.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Owned {
    pub(super) set: Set,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
}

/// All entries of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Managers {
    pub(super) entries: BTreeMap<Identity, Owned>,
}

/// The entries that a write starts from: those that the client said, when they can be read and are
/// not empty; an explicit reset; otherwise the live ones.
pub(super) fn live_or_new(live: &Value, said: &Value) -> Managers {
    let is_reset = said
        .as_array()
        .is_some_and(|entries| match entries.as_slice() {
            [] => true,
            [one] => one.as_object().is_some_and(serde_json::Map::is_empty),
            _ => false,
        });
    if is_reset {
        return Managers::default();
    }
    match Managers::decode(said) {
        Ok(managers) if !managers.is_empty() => managers,
        _ => Managers::decode(live).unwrap_or_default(),
    }
}

/// Takes the entries out of an object.
pub(super) fn strip_entries(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

/// A write that changes nothing but times of entries is none: when `new` says what `old` says, apart
/// from such times, it takes the entries of `old`.
pub fn keep_times(old: &Value, new: &mut Value) {
    let entries = |object: &Value| object["metadata"]["managedFields"].clone();
    let without_times = |mut entries: Value| {
        for entry in entries.as_array_mut().into_iter().flatten() {
            if let Value::Object(entry) = entry {
                entry.remove("time");
            }
        }
        entries
    };
    let (before, after) = (entries(old), entries(new));
    if before == after || without_times(before.clone()) != without_times(after) {
        return;
    }
    let mut with_old_times = new.clone();
    with_old_times["metadata"]["managedFields"] = before;
    if with_old_times == *old {
        *new = with_old_times;
    }
}

impl Managers {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads the entries; the text says what is wrong with them.
    pub(super) fn decode(entries: &Value) -> Result<Self, String> {
        let mut managers = Self::default();
        for entry in entries.as_array().into_iter().flatten() {
            let (identity, owned) = decode_entry(entry)?;
            managers.entries.insert(identity, owned);
        }
        Ok(managers)
    }

    /// Writes the entries into an object.
    pub(super) fn encode_into(&self, object: &mut Value) {
        let entries = self.encode();
        match object.get_mut("metadata") {
            Some(Value::Object(metadata)) if entries.is_empty() => {
                metadata.remove("managedFields");
            }
            Some(Value::Object(metadata)) => {
                metadata.insert("managedFields".to_owned(), Value::Array(entries));
            }
            _ if entries.is_empty() => {}
            _ => object["metadata"] = json!({ "managedFields": entries }),
        }
    }

    /// The entries in the order in which they are stored.
    pub(super) fn encode(&self) -> Vec<Value> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by(|(one, mine), (other, theirs)| {
            let key = |identity: &Identity, owned: &Owned| {
                (
                    identity.operation,
                    owned.time.clone(),
                    identity.name.clone(),
                    owned.api_version.clone(),
                    identity.subresource.clone(),
                )
            };
            key(one, mine).cmp(&key(other, theirs))
        });
        entries
            .into_iter()
            .map(|(identity, owned)| encode_entry(identity, owned))
            .collect()
    }

    /// Notes when this manager last took part.
    pub(super) fn set_time(&mut self, identity: &Identity, now: &str) {
        if let Some(owned) = self.entries.get_mut(identity) {
            owned.time = Some(now.to_owned());
        }
    }

    /// Folds the oldest plain writers of a version into one, until they are few enough.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Identity> = self
            .entries
            .keys()
            .filter(|identity| identity.operation == Operation::Update)
            .cloned()
            .collect();
        let mut left = updaters.len();
        if left <= UPDATERS_MAX {
            return;
        }
        updaters.sort_by_key(|identity| {
            let time = self.entries.get(identity).and_then(|it| it.time.clone());
            (time, identity.name.clone(), identity.clone())
        });
        let mut firsts: BTreeMap<String, Identity> = BTreeMap::new();
        for identity in updaters {
            if left <= UPDATERS_MAX {
                break;
            }
            let Some(owned) = self.entries.get(&identity).cloned() else {
                continue;
            };
            let Some(first) = firsts.get(&owned.api_version).cloned() else {
                firsts.insert(owned.api_version.clone(), identity);
                continue;
            };
            let bucket = Identity {
                name: ANCIENT.to_owned(),
                operation: Operation::Update,
                api_version: owned.api_version.clone(),
                subresource: String::new(),
            };
            if !self.entries.contains_key(&bucket)
                && let Some(oldest) = self.entries.remove(&first)
            {
                self.entries.insert(bucket.clone(), oldest);
            }
            self.entries.remove(&identity);
            let shared = self.entries.entry(bucket).or_default();
            shared.set = std::mem::take(&mut shared.set).union(&owned.set);
            shared.api_version = owned.api_version;
            // The time of what was folded in: it is the newer one.
            shared.time = owned.time;
            left -= 1;
        }
    }
}

fn decode_entry(entry: &Value) -> Result<(Identity, Owned), String> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let operation = match entry["operation"].as_str() {
        Some("Apply") => Operation::Apply,
        Some("Update") => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match entry["fieldsType"].as_str() {
        Some("FieldsV1") => {}
        None | Some("") => return Err("missing fieldsType in managed fields entry".to_owned()),
        Some(other) => {
            return Err(format!(
                "invalid fieldsType {other:?} in managed fields entry"
            ));
        }
    }
    let set = match &entry["fieldsV1"] {
        Value::Null => Set::default(),
        fields => Set::from_fields(fields).ok_or("error decoding managed fields")?,
    };
    let identity = Identity {
        name: text("manager"),
        operation,
        api_version: match operation {
            Operation::Apply => String::new(),
            Operation::Update => api_version.clone(),
        },
        subresource: text("subresource"),
    };
    let time = entry["time"].as_str().map(str::to_owned);
    let owned = Owned {
        set,
        api_version,
        time,
    };
    Ok((identity, owned))
}

fn encode_entry(identity: &Identity, owned: &Owned) -> Value {
    let operation = match identity.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut entry = json!({
        "manager": identity.name,
        "operation": operation,
        "apiVersion": owned.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.set.to_fields(),
    });
    if let Some(time) = &owned.time {
        entry["time"] = json!(time);
    }
    if !identity.subresource.is_empty() {
        entry["subresource"] = json!(identity.subresource);
    }
    entry
}
