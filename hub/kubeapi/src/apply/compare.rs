//! What changed between two values of one schema, as sets of field paths.

use std::collections::BTreeMap;

use serde_json::Value;

use super::paths::{self, Set};
use super::typed::{Place, Shape, child, element, items, list, map, shape};

/// The changes from an old value to a new one.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// Only in the new value.
    pub(super) added: Set,
    /// Other in the new value.
    pub(super) modified: Set,
    /// Only in the old value.
    pub(super) removed: Set,
}

impl Changes {
    /// What is new or other.
    pub(super) fn set(&self) -> Set {
        self.added.clone().union(&self.modified)
    }

    /// The same changes, each set passed through a filter.
    pub(super) fn filtered(&self, filter: impl Fn(&Set) -> Set) -> Self {
        Self {
            added: filter(&self.added),
            modified: filter(&self.modified),
            removed: filter(&self.removed),
        }
    }
}

/// Compares two values.
pub(super) fn compare(place: Place<'_>, old: &Value, new: &Value) -> Changes {
    let mut walk = Walk {
        changes: Changes::default(),
        path: Vec::new(),
    };
    walk.both(place, Some(old), Some(new));
    walk.changes
}

/// Numbers are equal by value, not by how they are written.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let matches = |(key, one): (&String, &Value)| {
                other.get(key).is_some_and(|other| same(one, other))
            };
            one.len() == other.len() && one.iter().all(matches)
        }
        (one, other) => one == other,
    }
}

struct Walk {
    changes: Changes,
    path: Vec<String>,
}

impl Walk {
    fn both(&mut self, place: Place<'_>, old: Option<&Value>, new: Option<&Value>) {
        let (before, after) = (shape(place, old, new), shape(place, new, old));
        if before == after {
            let is_leaf = self.parts(place, before, old, new);
            if is_leaf {
                return;
            }
        } else {
            // Without a schema the two sides may be of different shapes: the leaf says it all.
            self.leaf(old, new);
            return;
        }
        match (old, new) {
            (None, Some(_)) => self.changes.added.insert(&self.path),
            (Some(_), None) => self.changes.removed.insert(&self.path),
            _ => {}
        }
    }

    /// Compares the parts; true = the value was compared as a whole.
    fn parts(
        &mut self,
        place: Place<'_>,
        shape: Shape,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> bool {
        match shape {
            Shape::Leaf => {
                self.leaf(old, new);
                true
            }
            Shape::Map => {
                let (before, after) = (map(old), map(new));
                let is_empty =
                    |map: Option<&serde_json::Map<_, _>>| map.is_none_or(serde_json::Map::is_empty);
                if is_empty(before) && is_empty(after) {
                    self.leaf(old, new);
                    return true;
                }
                let keys = before.into_iter().chain(after).flat_map(|map| map.keys());
                let keys: std::collections::BTreeSet<_> = keys.collect();
                for key in keys {
                    let at = |map: Option<&'_ serde_json::Map<String, Value>>| {
                        map.and_then(|map| map.get(key)).cloned()
                    };
                    let (one, other) = (at(before), at(after));
                    self.path.push(paths::field(key));
                    self.both(child(place, key).0, one.as_ref(), other.as_ref());
                    self.path.pop();
                }
                false
            }
            Shape::List => {
                let (before, after) = (list(old), list(new));
                if before.is_empty() && after.is_empty() {
                    self.leaf(old, new);
                    return true;
                }
                self.lists(place, before, after);
                false
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.changes.added.insert(&self.path),
            (Some(_), None) => self.changes.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.changes.modified.insert(&self.path),
            _ => {}
        }
    }

    fn lists(&mut self, place: Place<'_>, old: &[Value], new: &[Value]) {
        let mut sides: BTreeMap<String, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for item in old {
            if let Ok(key) = element(place, item) {
                sides.entry(key).or_default().0.push(item);
            }
        }
        for item in new {
            if let Ok(key) = element(place, item) {
                sides.entry(key).or_default().1.push(item);
            }
        }
        for (key, (before, after)) in sides {
            self.path.push(key);
            match (before.as_slice(), after.as_slice()) {
                ([], [_]) | ([_], [] | [_]) => {
                    let (old, new) = (before.first().copied(), after.first().copied());
                    self.both(items(place), old, new);
                }
                // Items of the same key are compared as a whole.
                ([], _) => self.changes.added.insert(&self.path),
                (_, []) => self.changes.removed.insert(&self.path),
                (before, after) => {
                    let is_same = before.len() == after.len()
                        && before
                            .iter()
                            .zip(after)
                            .all(|(one, other)| same(one, other));
                    if !is_same {
                        self.changes.modified.insert(&self.path);
                    }
                }
            }
            self.path.pop();
        }
    }
}
