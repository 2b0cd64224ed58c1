//! The walk over an object of a built-in kind.
//!
//! It mirrors what a typed reader and writer make of a JSON document: wrong types are refused,
//! unknown fields go, `null` is a missing value, and empty values show by the presence of a field.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::scalars;
use crate::schema::{Presence, Schema, Type};

/// Decodes a whole object.
pub(super) fn decode(
    schema: Schema<'_>,
    value: Value,
    found: &mut Vec<String>,
) -> Result<Value, String> {
    decode_at(schema, value, "", found)
}

/// Decodes a part of an object; `path` is where it stands.
pub(super) fn decode_at(
    schema: Schema<'_>,
    value: Value,
    path: &str,
    found: &mut Vec<String>,
) -> Result<Value, String> {
    let name = &schema.node().name;
    let owner = short_name(name).to_owned();
    let mut walk = Walk {
        keeps_lists: name.contains("apiextensions"),
        path: path.to_owned(),
        plain: path.to_owned(),
        owner,
        found,
    };
    walk.value(schema, value)
}

/// What a field shows when nothing was said of it.
pub(crate) fn zero(schema: Schema<'_>) -> Value {
    let node = schema.node();
    match node.ty {
        Type::String if node.format.is_empty() => Value::String(String::new()),
        Type::Integer | Type::Number | Type::IntOrString => Value::from(0),
        Type::Boolean => Value::Bool(false),
        Type::Quantity => Value::from("0"),
        Type::Object => {
            let mut object = Map::new();
            fill(schema, &mut object);
            Value::Object(object)
        }
        Type::Any | Type::Map | Type::List | Type::String => Value::Null,
    }
}

/// Adds the fields that always show.
pub(crate) fn fill(schema: Schema<'_>, object: &mut Map<String, Value>) {
    for (field, presence) in &schema.node().presence {
        if object.contains_key(field) {
            continue;
        }
        let value = match (presence, schema.field(field)) {
            (Presence::Always, Some(child)) => zero(child),
            (Presence::AlwaysNull, _) => Value::Null,
            _ => continue,
        };
        object.insert(field.clone(), value);
    }
}

/// The value is the empty one of its type, and is left out where it need not show.
fn is_empty(schema: Schema<'_>, value: &Value) -> bool {
    match value {
        Value::Null => true,
        _ if schema.node().ty == Type::Any => false,
        Value::Bool(value) => !value,
        // What may be left out of these is a pointer, and zero is a value of its own.
        Value::Number(_) if schema.node().ty == Type::IntOrString => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty() && schema.node().ty == Type::Map,
    }
}

/// An empty list or map has no other stored form than a missing one.
fn is_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        value => value.is_null(),
    }
}

struct Walk<'a> {
    /// Empty lists stay: definitions of custom resources are stored as JSON.
    keeps_lists: bool,
    /// Path with indexes, for findings.
    path: String,
    /// Path without indexes, for errors.
    plain: String,
    /// The struct that the present field belongs to.
    owner: String,
    found: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, schema: Schema<'_>, value: Value) -> Result<Value, String> {
        let node = schema.node();
        if value.is_null() {
            return Ok(value);
        }
        match (node.ty, value) {
            (Type::Any, value) => Ok(value),
            (Type::Object, Value::Object(object)) => self.object(schema, object),
            (Type::Map, Value::Object(object)) => self.map(schema, object),
            (Type::List, Value::Array(items)) => self.list(schema, items),
            (Type::String, Value::String(text)) => match node.format.as_str() {
                "date-time" => scalars::time(&text),
                "micro-time" => scalars::micro_time(&text),
                "byte" => scalars::bytes(&text),
                _ => Ok(Value::String(text)),
            },
            (Type::Integer, Value::Number(number)) => {
                let fits = match node.format.as_str() {
                    "int32" => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
                    _ => number.as_i64().is_some(),
                };
                if fits {
                    return Ok(Value::Number(number));
                }
                Err(self.wrong(schema, &format!("number {number}")))
            }
            (Type::Number, value @ Value::Number(_))
            | (Type::Boolean, value @ Value::Bool(_))
            | (Type::IntOrString, value @ Value::String(_)) => Ok(value),
            (Type::IntOrString, Value::Number(number)) => match number.as_i64() {
                Some(n) if i32::try_from(n).is_ok() => Ok(Value::Number(number)),
                _ => Err(self.wrong(schema, &format!("number {number}"))),
            },
            (Type::Quantity, value) => scalars::quantity(&value, false),
            (_, value) => Err(self.wrong(schema, json_kind(&value))),
        }
    }

    fn object(&mut self, schema: Schema<'_>, object: Map<String, Value>) -> Result<Value, String> {
        let node = schema.node();
        let owner = short_name(&node.name);
        let outer =
            (!owner.is_empty()).then(|| std::mem::replace(&mut self.owner, owner.to_owned()));
        let mut out = Map::new();
        for (key, value) in object {
            let ends = self.enter(&key);
            match node.fields.get(&key) {
                Some(child) => {
                    let child = schema.at(*child);
                    let value = self.value(child, value)?;
                    let presence = node.presence.get(&key).copied().unwrap_or_default();
                    let shows = match presence {
                        Presence::Omitted => !is_empty(child, &value),
                        Presence::Always if !self.keeps_lists => !is_empty_list(&value),
                        _ => !value.is_null(),
                    };
                    if shows {
                        out.insert(key, value);
                    }
                }
                None => self.found.push(format!("unknown field \"{}\"", self.path)),
            }
            self.leave(ends);
        }
        fill(schema, &mut out);
        if let Some(outer) = outer {
            self.owner = outer;
        }
        Ok(Value::Object(out))
    }

    fn map(&mut self, schema: Schema<'_>, object: Map<String, Value>) -> Result<Value, String> {
        let Some(values) = schema.node().values.map(|id| schema.at(id)) else {
            return Ok(Value::Object(object));
        };
        let mut out = Map::new();
        for (key, value) in object {
            let path = self.path.len();
            let plain = self.plain.len();
            let _ = write!(self.path, ".{key}");
            let value = match value {
                Value::Null => zero(values),
                value if values.node().ty == Type::Quantity => scalars::quantity(&value, true)?,
                value => self.value(values, value)?,
            };
            self.leave((path, plain));
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }

    fn list(&mut self, schema: Schema<'_>, items: Vec<Value>) -> Result<Value, String> {
        let Some(item) = schema.items() else {
            return Ok(Value::Array(items));
        };
        let mut out = Vec::with_capacity(items.len());
        for (at, value) in items.into_iter().enumerate() {
            let ends = (self.path.len(), self.plain.len());
            let _ = write!(self.path, "[{at}]");
            out.push(match value {
                Value::Null => zero(item),
                value => self.value(item, value)?,
            });
            self.leave(ends);
        }
        Ok(Value::Array(out))
    }

    fn enter(&mut self, key: &str) -> (usize, usize) {
        let ends = (self.path.len(), self.plain.len());
        for path in [&mut self.path, &mut self.plain] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        }
        ends
    }

    fn leave(&mut self, (path, plain): (usize, usize)) {
        self.path.truncate(path);
        self.plain.truncate(plain);
    }

    fn wrong(&self, schema: Schema<'_>, sent: &str) -> String {
        let (owner, field, wanted) = (&self.owner, &self.plain, go_type(schema));
        format!(
            "json: cannot unmarshal {sent} into Go struct field {owner}.{field} of type {wanted}"
        )
    }
}

/// What JSON calls a value.
pub(super) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `Deployment` for `io.k8s.api.apps.v1.Deployment`.
fn short_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// The type as the error of a real server words it.
fn go_type(schema: Schema<'_>) -> String {
    let node = schema.node();
    match node.ty {
        Type::Object => {
            let mut parts = node.name.rsplit('.');
            let (name, version) = (parts.next(), parts.next());
            format!(
                "{}.{}",
                version.unwrap_or_default(),
                name.unwrap_or_default()
            )
        }
        Type::Map => {
            let values = node.values.map(|id| go_type(schema.at(id)));
            format!("map[string]{}", values.unwrap_or_default())
        }
        Type::List => format!("[]{}", schema.items().map(go_type).unwrap_or_default()),
        Type::String if node.format == "byte" => "[]uint8".to_owned(),
        Type::Integer if node.format == "int32" => "int32".to_owned(),
        Type::Integer => "int64".to_owned(),
        Type::Number => "float64".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::IntOrString => "int32".to_owned(),
        Type::Any | Type::String | Type::Quantity => "string".to_owned(),
    }
}
