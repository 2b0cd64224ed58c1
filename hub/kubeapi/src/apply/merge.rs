//! Merging an applied config into a live object, and taking fields out of one.
//!
//! Both keep to the shapes of the schema. The order of a merged list is that of the config where
//! both lists have an item, and that of the live list between such items.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::paths::{self, Set};
use super::typed::{Place, Shape, child, element, items, list, map, shape};

/// Merges `config` into `live`; what the config says wins. None = nothing is left to say.
pub(super) fn merge(
    place: Place<'_>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Option<Value> {
    let winner = config.or(live)?;
    match shape(place, config, live) {
        Shape::Leaf => Some(winner.clone()),
        Shape::Map => {
            let (before, wanted) = (map(live), map(config));
            let is_empty = |map: Option<&Map<_, _>>| map.is_none_or(Map::is_empty);
            if is_empty(before) && is_empty(wanted) || !fits(live) || !fits(config) {
                return Some(winner.clone());
            }
            let mut merged = Map::new();
            for (key, value) in before.into_iter().flatten() {
                let config = wanted.and_then(|map| map.get(key));
                let value = merge(child(place, key).0, Some(value), config);
                merged.extend(value.map(|value| (key.clone(), value)));
            }
            for (key, value) in wanted.into_iter().flatten() {
                if !merged.contains_key(key) && before.is_none_or(|map| !map.contains_key(key)) {
                    let value = merge(child(place, key).0, None, Some(value));
                    merged.extend(value.map(|value| (key.clone(), value)));
                }
            }
            (!merged.is_empty()).then_some(Value::Object(merged))
        }
        Shape::List => {
            let (before, wanted) = (list(live), list(config));
            if before.is_empty() && wanted.is_empty() {
                return Some(winner.clone());
            }
            let merged = merge_lists(place, before, wanted);
            (!merged.is_empty()).then_some(Value::Array(merged))
        }
    }
}

/// Without a schema the live value may be no map: then the config replaces it.
fn fits(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_object() || value.is_null())
}

/// A list with the elements that tell its items apart.
struct Keyed<'a> {
    items: Vec<(String, &'a Value)>,
    /// The item of each element; none = there is more than one.
    found: BTreeMap<String, Option<&'a Value>>,
}

impl<'a> Keyed<'a> {
    fn of(place: Place<'_>, list: &'a [Value]) -> Self {
        let items: Vec<_> = list
            .iter()
            .filter_map(|item| Some((element(place, item).ok()?, item)))
            .collect();
        let mut found = BTreeMap::new();
        for (key, item) in &items {
            let seen = found.insert(key.clone(), Some(*item));
            if seen.is_some() {
                found.insert(key.clone(), None);
            }
        }
        Self { items, found }
    }

    fn has(&self, key: &str) -> bool {
        self.found.contains_key(key)
    }

    /// The item of this key, unless there is none or more than one.
    fn single(&self, key: &str) -> Option<&'a Value> {
        self.found.get(key).copied().flatten()
    }
}

fn merge_lists(place: Place<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let (live, config) = (Keyed::of(place, live), Keyed::of(place, config));
    let mut shared = config
        .items
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|key| live.has(key));
    let mut next_shared = shared.next();
    let mut merged_keys: BTreeSet<&str> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.items.len() + config.items.len());
    let inner = items(place);
    let (mut at_live, mut at_config) = (0, 0);
    while at_live < live.items.len() || at_config < config.items.len() {
        if let (Some((have, _)), Some((want, _))) =
            (live.items.get(at_live), config.items.get(at_config))
        {
            if have == want {
                let before = live.single(have);
                out.extend(merge(inner, before, config.single(want)));
                merged_keys.insert(want);
                (at_live, at_config) = (at_live + 1, at_config + 1);
                next_shared = shared.next();
                continue;
            }
            if config.has(have) && next_shared.is_some_and(|next| next != have) {
                // Shared, but its turn comes later, where the config has it.
                at_live += 1;
                continue;
            }
        }
        if let Some((have, item)) = live.items.get(at_live) {
            if !config.has(have) {
                out.extend(merge(inner, Some(item), None));
                at_live += 1;
                continue;
            }
            if merged_keys.contains(have.as_str()) {
                at_live += 1;
            }
        }
        if let Some((want, item)) = config.items.get(at_config) {
            out.extend(merge(inner, live.single(want), Some(item)));
            merged_keys.insert(want);
            at_config += 1;
            if next_shared == Some(want.as_str()) {
                next_shared = shared.next();
            }
        }
    }
    out
}

/// Takes the members of `gone` out of a value. None = nothing is left of it.
pub(super) fn remove(place: Place<'_>, value: &Value, gone: &Set) -> Option<Value> {
    match shape(place, Some(value), None) {
        Shape::Leaf if value.is_object() || value.is_array() => None,
        Shape::Leaf => Some(value.clone()),
        Shape::Map => {
            let mut left = Map::new();
            for (key, value) in value.as_object()? {
                let name = paths::field(key);
                if gone.has(&name) {
                    continue;
                }
                let value = match gone.below(&name) {
                    Some(below) => remove(child(place, key).0, value, below).unwrap_or(Value::Null),
                    None => value.clone(),
                };
                left.insert(key.clone(), value);
            }
            (!left.is_empty()).then_some(Value::Object(left))
        }
        Shape::List => {
            let mut left = Vec::new();
            for item in value.as_array()? {
                let key = element(place, item).unwrap_or_default();
                if gone.has(&key) {
                    continue;
                }
                left.push(match gone.below(&key) {
                    Some(below) => remove(items(place), item, below).unwrap_or(Value::Null),
                    None => item.clone(),
                });
            }
            (!left.is_empty()).then_some(Value::Array(left))
        }
    }
}

/// The set with every known field in it that members lie below: removing such a member may leave
/// the field without anything, and then the field goes too.
pub(super) fn with_fields(place: Place<'_>, set: &Set) -> Set {
    let mut full = Set::default();
    for (key, member, below) in set.elements() {
        let (inner, known) = match key.strip_prefix("f:") {
            Some(name) => child(place, name),
            None => (items(place), false),
        };
        let member = member || known && !below.is_empty();
        full.put(key, member, with_fields(inner, below));
    }
    full
}
