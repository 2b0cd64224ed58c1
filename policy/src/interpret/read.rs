//! Reading typed fields out of manifests: an absent field and null are the zero value, another type
//! is an error that names the path.

use serde_json::Value;

use super::InterpretError;
use crate::api::AggregatedStatusItem;

pub(super) type Read<T> = Result<T, InterpretError>;

static NULL: Value = Value::Null;

/// The value at a path; absent is null. A parent that is no object is an error.
pub(super) fn at<'a>(object: &'a Value, path: &[&str]) -> Read<&'a Value> {
    let mut value = object;
    for (depth, key) in path.iter().enumerate() {
        value = match value {
            Value::Object(map) => map.get(*key).unwrap_or(&NULL),
            Value::Null => return Ok(&NULL),
            _ => return Err(type_error(&path[..depth], "an object")),
        };
    }
    Ok(value)
}

/// An integer; also one written as a whole float, as Kubernetes' converters read them.
pub(super) fn int(object: &Value, path: &[&str]) -> Read<i64> {
    Ok(maybe_int(object, path)?.unwrap_or(0))
}

/// An integer that may be absent.
pub(super) fn maybe_int(object: &Value, path: &[&str]) -> Read<Option<i64>> {
    let value = at(object, path)?;
    if value.is_null() {
        return Ok(None);
    }
    value
        .as_i64()
        .or_else(|| whole_float(value))
        .map(Some)
        .ok_or_else(|| type_error(path, "an integer"))
}

fn whole_float(value: &Value) -> Option<i64> {
    let float = value.as_f64().filter(|_| value.is_f64())?;
    let integer = float as i64;
    (integer as f64 == float && integer.unsigned_abs() < 1 << 53).then_some(integer)
}

/// An integer of 32 bits that may be absent; a larger one is an error.
pub(super) fn maybe_int32(object: &Value, path: &[&str]) -> Read<Option<i64>> {
    match maybe_int(object, path)? {
        Some(number) if i32::try_from(number).is_err() => Err(InterpretError::Range {
            path: path.join("."),
        }),
        number => Ok(number),
    }
}

/// An integer of 32 bits.
pub(super) fn int32(object: &Value, path: &[&str]) -> Read<i64> {
    Ok(maybe_int32(object, path)?.unwrap_or(0))
}

/// A text; absent is empty.
pub(super) fn text<'a>(object: &'a Value, path: &[&str]) -> Read<&'a str> {
    match at(object, path)? {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        _ => Err(type_error(path, "a text")),
    }
}

/// A list; absent is empty.
pub(super) fn list<'a>(object: &'a Value, path: &[&str]) -> Read<&'a [Value]> {
    match at(object, path)? {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(type_error(path, "a list")),
    }
}

/// An object; absent is none.
pub(super) fn map<'a>(
    object: &'a Value,
    path: &[&str],
) -> Read<Option<&'a serde_json::Map<String, Value>>> {
    match at(object, path)? {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        _ => Err(type_error(path, "an object")),
    }
}

/// A map of texts; absent is none.
pub(super) fn text_map<'a>(
    object: &'a Value,
    path: &[&str],
) -> Read<Option<&'a serde_json::Map<String, Value>>> {
    match map(object, path)? {
        Some(map) if map.values().any(|value| !value.is_string()) => {
            Err(type_error(path, "a map of texts"))
        }
        map => Ok(map),
    }
}

/// A time as Kubernetes writes it, so that two of them compare as texts; absent is none.
pub(super) fn time<'a>(object: &'a Value, path: &[&str]) -> Read<Option<&'a str>> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let text = text(object, path)?;
    if text.is_empty() {
        return Ok(None);
    }
    let fits = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    if fits {
        Ok(Some(text))
    } else {
        Err(type_error(path, "a time"))
    }
}

/// The object's status; none when absent.
pub(super) fn status(object: &Value) -> Read<Option<&Value>> {
    Ok(map(object, &["status"])?.and(object.get("status")))
}

/// What each member reports, read by `parse`; a status that cannot be read is no status.
pub(super) fn statuses<'a, T>(
    items: &'a [&AggregatedStatusItem],
    parse: impl Fn(&'a Value) -> Read<T>,
) -> impl Iterator<Item = (&'a str, Option<T>)> {
    items.iter().map(move |item| {
        let parsed = item
            .status
            .as_ref()
            .filter(|status| status.is_object())
            .and_then(|status| parse(status).ok());
        (item.cluster_name.as_str(), parsed)
    })
}

/// Whether a condition of that type is true.
pub(super) fn condition_is_true(status: &Value, type_: &str) -> Read<bool> {
    Ok(list(status, &["conditions"])?.iter().any(|condition| {
        condition["type"].as_str() == Some(type_) && condition["status"].as_str() == Some("True")
    }))
}

/// The value without nulls, empty lists and empty objects, for comparing what two writers mean.
pub(super) fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), pruned(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        Value::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The new status, or none when it says what the template's says already.
pub(super) fn if_changed(template: &Value, status: Value) -> Read<Option<Value>> {
    let old = self::status(template)?.map(pruned).unwrap_or_default();
    let new = pruned(&status);
    let same = old == new || (is_empty(&old) && is_empty(&new));
    Ok((!same).then_some(status))
}

pub(super) fn type_error(path: &[&str], want: &'static str) -> InterpretError {
    InterpretError::Type {
        path: path.join("."),
        want,
    }
}
