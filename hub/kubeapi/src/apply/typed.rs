//! A value seen through its schema: which parts of it are owned one by one.
//!
//! Where there is no schema, maps are owned key by key and lists as a whole. The checks are those
//! of a config that is applied: unknown fields and double items are refused there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::paths::{self, Set};
use crate::schema::{ListType, Schema, Type};

/// The schema of a place; none = anything may stand there.
pub(super) type Place<'a> = Option<Schema<'a>>;

/// How the parts of a value are owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As a whole.
    Leaf,
    /// Key by key.
    Map,
    /// Item by item.
    List,
}

/// The shape of what stands at a place. `one` and `other` are the values on two sides; null says
/// nothing of the shape.
pub(super) fn shape(place: Place<'_>, one: Option<&Value>, other: Option<&Value>) -> Shape {
    let value = one.filter(|value| !value.is_null()).or(other);
    let Some(schema) = place else {
        return match value {
            Some(Value::Object(_)) => Shape::Map,
            _ => Shape::Leaf,
        };
    };
    let node = schema.node();
    match node.ty {
        _ if node.atomic => Shape::Leaf,
        Type::Any => match value {
            Some(Value::Object(_)) => Shape::Map,
            _ => Shape::Leaf,
        },
        Type::Object | Type::Map => Shape::Map,
        Type::List if node.list != ListType::Atomic => Shape::List,
        _ => Shape::Leaf,
    }
}

/// What stands at a key, and whether the schema knows it as a field.
pub(super) fn child<'a>(place: Place<'a>, key: &str) -> (Place<'a>, bool) {
    let Some(schema) = place else {
        return (None, false);
    };
    let node = schema.node();
    match node.fields.get(key) {
        Some(id) => (Some(schema.at(*id)), true),
        None => (node.values.map(|id| schema.at(id)), false),
    }
}

/// What stands in a list.
pub(super) fn items(place: Place<'_>) -> Place<'_> {
    place.and_then(Schema::items)
}

/// The map at this place; null and a missing value are an empty one.
pub(super) fn map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The list at this place; null and a missing value are an empty one.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The element that tells an item of a list apart.
pub(super) fn element(place: Place<'_>, item: &Value) -> Result<String, String> {
    let Some(schema) = place else {
        return Ok(format!("v:{item}"));
    };
    let ListType::Map(keys) = &schema.node().list else {
        return match item {
            Value::Null => {
                Err("associative list without keys has an element that's explicitly null".into())
            }
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".into())
            }
            Value::Array(_) => Err("not supported: associative lists of lists".into()),
            scalar => Ok(format!("v:{scalar}")),
        };
    };
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut found = BTreeMap::new();
    for key in keys {
        let value = fields.get(key).cloned();
        match value.or_else(|| key_default(schema, key)) {
            Some(value) => found.insert(key, value),
            None => {
                return Err(format!(
                    "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                ));
            }
        };
    }
    let found: Vec<_> = found
        .into_iter()
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    Ok(format!("k:{{{}}}", found.join(",")))
}

/// The key that an item without it has.
fn key_default(list: Schema<'_>, key: &str) -> Option<Value> {
    let item = list.items()?;
    if let Some(default) = item
        .field(key)
        .and_then(|field| field.node().default.clone())
    {
        return Some(default);
    }
    // The one default of a key of a built-in kind; such schemas carry no defaults.
    let name = &item.node().name;
    let is_port = name.ends_with(".ContainerPort") || name.ends_with(".ServicePort");
    (is_port && key == "protocol").then(|| Value::from("TCP"))
}

/// What is owned by who applies this value.
pub(super) fn fields(place: Place<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    collect(place, value, &mut Vec::new(), &mut set);
    set
}

fn collect(place: Place<'_>, value: &Value, path: &mut Vec<String>, set: &mut Set) {
    match shape(place, Some(value), None) {
        Shape::Leaf => set.insert(path),
        Shape::Map => {
            for (key, value) in map(Some(value)).into_iter().flatten() {
                let (inner, known) = child(place, key);
                path.push(paths::field(key));
                collect(inner, value, path, set);
                let is_empty = value.as_object().is_some_and(Map::is_empty);
                if value.is_null() || is_empty || !known {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Shape::List => {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            let found: Vec<_> = list(Some(value))
                .iter()
                .filter_map(|item| Some((element(place, item).ok()?, item)))
                .collect();
            for (key, _) in &found {
                *seen.entry(key.clone()).or_default() += 1;
            }
            for (key, item) in found {
                let is_double = seen[&key] > 1;
                path.push(key);
                if !is_double {
                    collect(items(place), item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// Finds what makes a value unfit for its schema. `doubles` = items of the same key may be there.
pub(super) fn check(place: Place<'_>, value: &Value, doubles: bool) -> Vec<String> {
    let mut found = Vec::new();
    walk(place, value, "", doubles, &mut found);
    found
}

fn walk(place: Place<'_>, value: &Value, path: &str, doubles: bool, found: &mut Vec<String>) {
    let Some(schema) = place else {
        return;
    };
    if value.is_null() {
        return;
    }
    let node = schema.node();
    match node.ty {
        Type::Any => {}
        Type::Object | Type::Map => match value {
            Value::Object(fields) => walk_map(schema, fields, (path, doubles), found),
            other => found.push(format!("{path}: expected map, got {other}")),
        },
        Type::List => match value {
            Value::Array(items) => walk_list(schema, items, (path, doubles), found),
            other => found.push(format!("{path}: expected list, got {other}")),
        },
        Type::Integer | Type::Number if !value.is_number() => {
            let text = "expected numeric (int or float), got";
            found.push(format!("{path}: {text} {}", go_type(value)));
        }
        Type::String if !value.is_string() => {
            found.push(format!("{path}: expected string, got {}", go_value(value)));
        }
        Type::Boolean if !value.is_boolean() => {
            found.push(format!("{path}: expected boolean, got {}", go_value(value)));
        }
        Type::IntOrString | Type::Quantity if value.is_object() || value.is_array() => {
            let text = "expected any scalar, got";
            found.push(format!("{path}: {text} {}", go_value(value)));
        }
        _ => {}
    }
}

fn walk_map(
    schema: Schema<'_>,
    fields: &Map<String, Value>,
    (path, doubles): (&str, bool),
    found: &mut Vec<String>,
) {
    let node = schema.node();
    let at_top = path.is_empty();
    for (key, value) in fields {
        let (inner, known) = child(Some(schema), key);
        let says_what_it_is =
            (at_top || node.embedded) && matches!(key.as_str(), "apiVersion" | "kind" | "metadata");
        if !known && inner.is_none() && !node.preserve_unknown && !says_what_it_is {
            found.push(format!("{path}.{key}: field not declared in schema"));
            continue;
        }
        walk(inner, value, &format!("{path}.{key}"), doubles, found);
    }
}

fn walk_list(
    schema: Schema<'_>,
    list: &[Value],
    (path, doubles): (&str, bool),
    found: &mut Vec<String>,
) {
    let is_atomic = schema.node().list == ListType::Atomic || schema.node().atomic;
    let mut seen = BTreeMap::new();
    for (at, item) in list.iter().enumerate() {
        let key = if is_atomic {
            format!("i:{at}")
        } else {
            match element(Some(schema), item) {
                Ok(key) => key,
                Err(why) => {
                    found.push(format!("{path}: element {at}: {why}"));
                    continue;
                }
            }
        };
        let shown = paths::text(&key);
        if seen.insert(key, ()).is_some() && !doubles {
            found.push(format!("{path}: duplicate entries for key {shown}"));
        }
        let path = format!("{path}{shown}");
        walk(items(Some(schema)), item, &path, doubles, found);
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn go_value(value: &Value) -> String {
    match value {
        Value::Number(_) => format!("&value.valueUnstructured{{Value:{value}}}"),
        other => other.to_string(),
    }
}
