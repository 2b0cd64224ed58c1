//! Custom resources by their structural schemas.
//!
//! What a schema does not know is pruned; every rule works on plain JSON and leaves the metadata of
//! the object itself alone.

mod build;
mod validate;

use serde_json::{Map, Number, Value};

pub use build::build;
pub use validate::validate;

use super::{Node, Schema};

/// Drops what the schema does not know; names each dropped field.
pub fn prune(schema: Schema<'_>, object: &mut Value, found: &mut Vec<String>) {
    let mut path = String::new();
    if let Value::Object(object) = object {
        prune_object(schema, object, true, &mut path, found);
    }
}

fn prune_value(schema: Schema<'_>, value: &mut Value, path: &mut String, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            prune_object(schema, object, schema.node().embedded, path, found);
        }
        Value::Array(items) => {
            let Some(item) = schema.items() else { return };
            let end = path.len();
            for (at, value) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{at}]"));
                prune_value(item, value, path, found);
                path.truncate(end);
            }
        }
        _ => {}
    }
}

fn prune_object(
    schema: Schema<'_>,
    object: &mut Map<String, Value>,
    is_resource: bool,
    path: &mut String,
    found: &mut Vec<String>,
) {
    let node = schema.node();
    let end = path.len();
    object.retain(|key, value| {
        if is_resource && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            return true;
        }
        if end > 0 {
            path.push('.');
        }
        path.push_str(key);
        let kept = match schema.field(key) {
            Some(child) if !is_null_to_drop(child.node(), value) => {
                prune_value(child, value, path, found);
                true
            }
            Some(_) => false,
            None if node.preserve_unknown => true,
            None => {
                found.push(format!("unknown field \"{path}\""));
                false
            }
        };
        path.truncate(end);
        kept
    });
}

/// A `null` that no schema allows and no default replaces is as good as not said.
fn is_null_to_drop(node: &Node, value: &Value) -> bool {
    value.is_null() && !node.nullable && node.default.is_none() && !node.preserve_unknown
}

/// Whole numbers said with a fraction or an exponent become plain ones.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            let whole = float.filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
            if let Some(whole) = whole {
                #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
                let whole = whole as i64;
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// Fills what is missing, or `null` where no `null` may be, from the defaults of the schema.
pub fn default(schema: Schema<'_>, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (field, id) in &schema.node().fields {
                let Some(default) = &schema.at(*id).node().default else {
                    continue;
                };
                let nullable = schema.at(*id).node().nullable;
                let missing = match object.get(field) {
                    None => true,
                    Some(value) => value.is_null() && !nullable,
                };
                if missing {
                    object.insert(field.clone(), default.clone());
                }
            }
            for (key, value) in object {
                if let Some(child) = schema.field(key) {
                    self::default(child, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.items() {
                items
                    .iter_mut()
                    .for_each(|value| self::default(item, value));
            }
        }
        _ => {}
    }
}
