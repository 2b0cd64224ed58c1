//! Columns that a custom resource defines: a subset of JSONPath, and values by type.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, age};
use crate::kinds::Kind;

/// The columns of a custom kind: the name, then its own ones, or the age.
pub(super) fn definitions(kind: &Kind) -> Vec<Column> {
    let column = |name: &str, ty: &str, format: &str| Column {
        name: name.to_owned(),
        ty: ty.to_owned(),
        format: format.to_owned(),
        description: String::new(),
        priority: 0,
    };
    let mut columns = vec![column("Name", "string", "name")];
    if kind.columns.is_empty() {
        columns.push(column("Age", "date", ""));
    }
    for own in &kind.columns {
        columns.push(Column {
            description: own.description.clone(),
            priority: own.priority,
            ..column(&own.name, &own.ty, &own.format)
        });
    }
    columns
}

/// The cells of an object of a custom kind.
pub(super) fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    if kind.columns.is_empty() {
        cells.push(age::since(&object["metadata"]["creationTimestamp"], now));
    }
    for column in &kind.columns {
        let found = select(object, &column.path);
        cells.push(match found.first() {
            None => Value::Null,
            Some(first) => cell(&column.ty, first, &found, now),
        });
    }
    cells
}

fn cell(ty: &str, first: &Value, all: &[&Value], now: Timestamp) -> Value {
    match (ty, first) {
        ("integer", Value::Number(number)) => number.as_i64().map_or(Value::Null, Value::from),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => first.clone(),
        ("date", Value::String(_)) => age::since(first, now),
        ("string", _) => {
            let shown = all.iter().map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            json!(shown.collect::<Vec<_>>().join(" "))
        }
        _ => Value::Null,
    }
}

/// All values at a path: fields, `['fields']`, `[0]`, `[*]`, and `[?(@.a=="b")]`.
pub(super) fn select<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = closing(inner) else {
                return Vec::new();
            };
            let step = &inner[..end];
            found = found.iter().flat_map(|value| index(value, step)).collect();
            rest = &inner[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let end = field_end(rest);
        let field = rest[..end].replace('\\', "");
        rest = &rest[end..];
        if field == "*" {
            found = found.iter().flat_map(|value| index(value, "*")).collect();
        } else if !field.is_empty() {
            found = found.iter().filter_map(|value| value.get(&field)).collect();
        }
    }
    found.retain(|value| !value.is_null());
    found
}

/// Where a field ends; a dot after a backslash belongs to it.
fn field_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && matches!(c, '.' | '[') {
            return at;
        }
        escaped = c == '\\';
    }
    text.len()
}

/// Where the bracket closes; quoted text may hold brackets.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn index<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    if step == "*" {
        return match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(object) => object.values().collect(),
            _ => Vec::new(),
        };
    }
    if let Some(filter) = step
        .strip_prefix("?(")
        .and_then(|text| text.strip_suffix(')'))
    {
        let items = value.as_array().into_iter().flatten();
        return items.filter(|item| holds(item, filter)).collect();
    }
    if let Ok(at) = step.parse::<i64>() {
        let Some(items) = value.as_array() else {
            return Vec::new();
        };
        let back = usize::try_from(at.unsigned_abs()).ok();
        let at = back.and_then(|back| {
            if at < 0 {
                items.len().checked_sub(back)
            } else {
                Some(back)
            }
        });
        return at.and_then(|at| items.get(at)).into_iter().collect();
    }
    let field = step.trim_matches(['\'', '"']);
    value.get(field).into_iter().collect()
}

/// `@.type=="Ready"`, `@.a!='b'`, or `@.a`.
fn holds(item: &Value, filter: &str) -> bool {
    let operators = [("==", true), ("!=", false)];
    let split = operators.iter().find_map(|(operator, equal)| {
        let (path, wanted) = filter.split_once(operator)?;
        Some((path, wanted.trim(), *equal))
    });
    let (path, wanted, equal) = split.unwrap_or((filter, "", false));
    let found = select(item, path.trim().trim_start_matches('@'));
    let Some(first) = found.first() else {
        return false;
    };
    if split.is_none() {
        return true;
    }
    let quoted = wanted.trim_matches(['\'', '"']);
    let shown = match first {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let same = shown == quoted;
    same == equal
}
