//! Strategic merge patches: maps and lists merge as the schema says, directives say more.
//!
//! Directives never reach the outcome. Which patches are refused, and with which code, follows a
//! real server: most mistakes are 500, as it sees them as its own.

use serde_json::{Map, Value};

use super::order::{arrange, place};
use crate::error::{Details, Status};
use crate::schema::Schema;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_LIST: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// A fault in the patch: what the client is told.
type Fault = Box<Status>;

/// Merges `patch` into `live` by the strategies of the schema.
pub fn strategic(schema: Schema<'_>, live: &Value, patch: &Value) -> Result<Value, Status> {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return Err(Status::bad_request("a strategic merge patch is an object"));
    };
    merge_map(Some(schema), live.clone(), patch.clone())
        .map(Value::Object)
        .map_err(|fault| *fault)
}

fn fault(message: String) -> Fault {
    Box::new(Status::new(500, "", message))
}

fn bad_format(of: &str) -> Fault {
    Box::new(Status::bad_request(format!("invalid patch format of {of}")))
}

fn unknown_directive(directive: &Value, map: &Map<String, Value>) -> Fault {
    let map = Value::Object(map.clone());
    let (directive, map) = (spell(directive), spell(&map));
    fault(format!("unknown patch type: {directive} in map: {map}"))
}

fn no_key(key: &str, item: &Value) -> Fault {
    let item = spell(item);
    fault(format!(
        "map: {item} does not contain declared merge key: {key}"
    ))
}

fn merge_map(
    schema: Option<Schema<'_>>,
    mut live: Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<Map<String, Value>, Fault> {
    if let Some(directive) = patch.get(PATCH) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain(&mut live, &mut patch)?;
    set_orders(schema, &mut live, &mut patch)?;
    for (key, value) in patch {
        let deletes = key.strip_prefix(DELETE_LIST).map(str::to_owned);
        let removes = deletes.is_some();
        let key = deletes.unwrap_or(key);
        if value.is_null() {
            live.remove(&key);
            continue;
        }
        let merged = match (live.remove(&key), value) {
            (Some(Value::Object(live)), Value::Object(patch)) => {
                let child = schema.and_then(|schema| schema.field(&key));
                Value::Object(merge_field(child, live, patch)?)
            }
            (Some(Value::Array(live)), Value::Array(patch)) => {
                let list = List::of(schema, &key)?;
                Value::Array(if removes {
                    list.subtract(live, &patch)?
                } else {
                    list.merge(live, patch)?
                })
            }
            (None, _) if removes => continue,
            (Some(live), _) if removes => live,
            (_, value) => match settled(value) {
                Some(value) => value,
                None => continue,
            },
        };
        live.insert(key, merged);
    }
    Ok(live)
}

fn merge_field(
    schema: Option<Schema<'_>>,
    live: Map<String, Value>,
    patch: Map<String, Value>,
) -> Result<Map<String, Value>, Fault> {
    if schema.is_some_and(|schema| schema.node().patch.replace) {
        return Ok(patch);
    }
    merge_map(schema, live, patch)
}

/// `$retainKeys`: only these fields of the live map stay.
fn retain(live: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Fault> {
    let Some(keys) = patch.remove(RETAIN) else {
        return Ok(());
    };
    let keys = keys.as_array().ok_or_else(|| bad_format("retainKeys"))?;
    let kept = |key: &str| keys.iter().any(|it| it.as_str() == Some(key));
    let all_kept = patch.iter().all(|(key, value)| {
        value.is_null() || key.starts_with(DELETE_LIST) || key.starts_with(ORDER) || kept(key)
    });
    if !all_kept {
        return Err(bad_format("retainKeys"));
    }
    live.retain(|key, _| kept(key));
    Ok(())
}

/// `$setElementOrder/<field>`: merges the lists that have one, in the order that it gives.
fn set_orders(
    schema: Option<Schema<'_>>,
    live: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), Fault> {
    let directives: Vec<_> = patch
        .keys()
        .filter_map(|key| key.strip_prefix(ORDER).map(str::to_owned))
        .collect();
    for field in directives {
        let wanted = as_list(patch.remove(&format!("{ORDER}{field}")))?.unwrap_or_default();
        let before = as_list(live.get(&field).cloned())?;
        let change = as_list(patch.remove(&field))?;
        let list = List::of(schema, &field)?;
        list.check_order(change.as_deref().unwrap_or_default(), &wanted)?;
        let (merged, order) = match (before, change) {
            (None, None) => continue,
            (Some(before), None) => (before.clone(), before),
            (None, Some(change)) => (all_settled(change), Vec::new()),
            (Some(before), Some(change)) => list.merge_slots(before, change)?,
        };
        list.check_keys(&wanted)?;
        list.check_keys(&merged)?;
        let arranged = arrange(merged, &wanted, &order, list.key);
        live.insert(field, Value::Array(arranged));
    }
    Ok(())
}

fn as_list(value: Option<Value>) -> Result<Option<Vec<Value>>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => {
            let found = match other {
                Value::Object(_) => "map[string]interface {}",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Number(_) => "int64",
                Value::Null | Value::Array(_) => "nil",
            };
            Err(fault(format!(
                "expected a []interface {{}}, but received a {found}"
            )))
        }
    }
}

/// A list field: how it merges.
struct List<'a> {
    items: Option<Schema<'a>>,
    merges: bool,
    key: Option<&'a str>,
}

impl<'a> List<'a> {
    fn of(schema: Option<Schema<'a>>, field: &str) -> Result<Self, Fault> {
        let Some(schema) = schema else {
            return Ok(Self {
                items: None,
                merges: false,
                key: None,
            });
        };
        let Some(list) = schema.field(field) else {
            let owner = schema.node().name.rsplit('.').next().unwrap_or_default();
            return Err(fault(format!(
                "unable to find api field in struct {owner} for the json field \"{field}\""
            )));
        };
        let strategy = &list.node().patch;
        Ok(Self {
            items: list.items(),
            merges: strategy.merge,
            key: strategy.merge_key.as_deref(),
        })
    }

    fn merge(&self, live: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, Fault> {
        Ok(self.merge_slots(live, patch)?.0)
    }

    /// The merged list, and the live order as an order directive sees it.
    fn merge_slots(
        &self,
        live: Vec<Value>,
        patch: Vec<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), Fault> {
        if !self.merges {
            return Ok((patch, live));
        }
        if live.is_empty() && patch.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        if !alike(&live, &patch)? {
            return Ok((self.merge_scalars(&live, &patch), live));
        }
        let Some(key) = self.key else {
            return Err(fault("cannot merge lists without merge key".to_owned()));
        };
        let mut slots = Slots::of(live);
        let (before, change) = special(&mut slots, patch, key)?;
        let mut merged = before.clone();
        for item in &change {
            let Value::Object(fields) = item else {
                continue;
            };
            if !fields.contains_key(key) {
                return Err(no_key(key, item));
            }
            match place(&merged, item, Some(key)) {
                Some(at) => {
                    let present = std::mem::take(&mut merged[at]);
                    let present = into_map(present);
                    let new = merge_map(self.items, present, fields.clone())?;
                    merged[at] = Value::Object(new);
                }
                None => {
                    merged.push(item.clone());
                    slots.push(item);
                }
            }
        }
        self.check_keys(&merged)?;
        let merged = arrange(merged, &change, &before, self.key);
        Ok((merged, slots.items))
    }

    /// A list of scalars: the union.
    fn merge_scalars(&self, live: &[Value], patch: &[Value]) -> Vec<Value> {
        let mut merged: Vec<Value> = Vec::with_capacity(live.len() + patch.len());
        for item in live.iter().chain(patch) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        arrange(merged, patch, live, None)
    }

    /// `$deleteFromPrimitiveList`: takes these scalars away.
    fn subtract(&self, live: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, Fault> {
        if live.is_empty() && patch.is_empty() {
            return Ok(live);
        }
        if alike(&live, patch)? {
            return self.merge(live, patch.to_vec());
        }
        let kept = live.into_iter().filter(|item| !patch.contains(item));
        Ok(kept.collect())
    }

    /// The items of the patch must come in the order that it asks for.
    fn check_order(&self, patch: &[Value], wanted: &[Value]) -> Result<(), Fault> {
        if patch.is_empty() || wanted.is_empty() {
            return Ok(());
        }
        let same = |left: &Value, right: &Value| match self.key {
            Some(key) => left.get(key) == right.get(key),
            None => left == right,
        };
        let mut order = wanted.iter();
        let agrees = patch
            .iter()
            .filter(|item| self.key.is_none() || !deletes(item))
            .all(|item| order.any(|next| same(item, next)));
        if agrees {
            return Ok(());
        }
        let patch = spell(&Value::Array(patch.to_vec()));
        let wanted = spell(&Value::Array(wanted.to_vec()));
        Err(fault(format!(
            "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{wanted}\n"
        )))
    }

    fn check_keys(&self, items: &[Value]) -> Result<(), Fault> {
        let Some(key) = self.key else {
            return Ok(());
        };
        match items.iter().find(|item| item.get(key).is_none()) {
            Some(item) => Err(no_key(key, item)),
            None => Ok(()),
        }
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn deletes(item: &Value) -> bool {
    item.get(PATCH).and_then(Value::as_str) == Some("delete")
}

/// The items of both lists must be of one type; true = maps.
fn alike(live: &[Value], patch: &[Value]) -> Result<bool, Fault> {
    let mut items = live.iter().chain(patch);
    let Some(first) = items.next() else {
        return Ok(false);
    };
    if first.is_array() {
        let mut status = Status::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        );
        status.details = Some(Details::default().into());
        return Err(Box::new(status));
    }
    if items.all(|item| std::mem::discriminant(item) == std::mem::discriminant(first)) {
        return Ok(first.is_object());
    }
    let both = [live.to_vec(), patch.to_vec()].map(Value::Array);
    let both = spell(&Value::Array(both.to_vec()));
    Err(fault(format!(
        "list element types are not identical: {both}"
    )))
}

/// A live list as a real server handles it: an item that is deleted frees the last slot, the next new
/// item takes it, and an order directive then finds the new item there.
struct Slots {
    items: Vec<Value>,
    used: usize,
}

impl Slots {
    fn of(items: Vec<Value>) -> Self {
        let used = items.len();
        Self { items, used }
    }

    fn delete(&mut self, key: &str, value: &Value) {
        while let Some(at) = self.items[..self.used]
            .iter()
            .position(|item| item.get(key) == Some(value))
        {
            for slot in at + 1..self.used {
                self.items[slot - 1] = self.items[slot].clone();
            }
            self.used -= 1;
        }
    }

    fn push(&mut self, item: &Value) {
        if let Some(slot) = self.items.get_mut(self.used) {
            item.clone_into(slot);
            self.used += 1;
        } else {
            // The real list moves here; what is seen of the old one no longer changes.
            self.used = usize::MAX;
        }
    }
}

/// Does the directives of list items; gives the list before and the items to merge into it.
fn special(
    live: &mut Slots,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Fault> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replaces = false;
    for item in patch {
        let Some(directive) = item.get(PATCH) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let gone = item.get(key).ok_or_else(|| no_key(key, &item))?;
                live.delete(key, gone);
            }
            Some("replace") => replaces = true,
            Some("merge") => {
                let text = "merging lists cannot yet be specified in the patch";
                return Err(fault(text.to_owned()));
            }
            _ => {
                let directive = directive.clone();
                return Err(unknown_directive(&directive, &into_map(item)));
            }
        }
    }
    if replaces {
        return Ok((plain, Vec::new()));
    }
    Ok((live.items[..live.used].to_vec(), plain))
}

/// A value where there was none: nothing to take away, and no directives. A map that says what to do
/// with the live one is left out as a whole: none.
fn settled(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(PATCH) => None,
        Value::Object(fields) => {
            let is_directive =
                |key: &str| key == RETAIN || key.starts_with(DELETE_LIST) || key.starts_with(ORDER);
            let fields = fields
                .into_iter()
                .filter(|(key, value)| !value.is_null() && !is_directive(key))
                .filter_map(|(key, value)| Some((key, settled(value)?)));
            Some(Value::Object(fields.collect()))
        }
        Value::Array(items) => Some(Value::Array(all_settled(items))),
        other => Some(other),
    }
}

fn all_settled(items: Vec<Value>) -> Vec<Value> {
    items.into_iter().filter_map(settled).collect()
}

/// A value as the texts of a real server spell it.
fn spell(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(spell).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{key}:{}", spell(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}
