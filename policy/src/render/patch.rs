//! Operations of RFC 6902 on a JSON document, with the habits people know from Karmada: negative
//! array indices count from the end, `~` before anything but 0 and 1 is itself, an absent value is
//! null, `add` overwrites and makes no missing parents.
//!
//! Applies one operation at a time and says what it changed; the caller keeps a copy where all of
//! several operations must apply or none.

use std::borrow::Cow;

use serde_json::Value;
use thiserror::Error;

/// What one operation changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// JSON pointer to the value; an index after the end is written as the number it became.
    pub path: String,
    /// The value before; none when it was absent.
    pub from: Option<Value>,
    /// The value after; none when it was removed.
    pub to: Option<Value>,
}

/// Why an operation does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The path is not empty and does not begin with a slash.
    #[error("{0:?} is not a JSON pointer")]
    Pointer(String),
    /// The value, or what should hold it, does not exist.
    #[error("there is nothing at {0}")]
    Missing(String),
    /// The last part of the path is no position in the list.
    #[error("{0} is not a position in the list")]
    Index(String),
    /// A test found another value.
    #[error("{0} has another value")]
    Test(String),
    /// An operation other than add, remove, replace and test.
    #[error("operator {0:?} is not add, remove or replace")]
    Operator(String),
}

/// Applies one operation to the document.
///
/// # Errors
/// The operation does not apply; the document is then unchanged.
pub fn apply(
    document: &mut Value,
    operator: &str,
    path: &str,
    value: Option<&Value>,
) -> Result<Edit, PatchError> {
    let value = value.cloned().unwrap_or(Value::Null);
    match operator {
        "add" => add(document, path, value),
        "remove" => remove(document, path),
        "replace" => replace(document, path, value),
        "test" => test(document, path, &value),
        _ => Err(PatchError::Operator(operator.to_owned())),
    }
}

/// The value at a JSON pointer.
#[must_use]
pub fn get<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(document);
    }
    path.strip_prefix('/')?
        .split('/')
        .try_fold(document, |value, part| match value {
            Value::Object(map) => map.get(unescape(part).as_ref()),
            Value::Array(list) => list.get(position(part, list.len())?),
            _ => None,
        })
}

/// A key as one part of a JSON pointer.
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<Edit, PatchError> {
    if path.is_empty() {
        return Ok(replace_root(document, value));
    }
    let (parent_path, key) = split(path)?;
    match get_mut(document, parent_path) {
        Some(Value::Object(map)) => {
            let from = map.insert(unescape(key).into_owned(), value.clone());
            Ok(edit(path.to_owned(), from, Some(value)))
        }
        Some(Value::Array(list)) => {
            let index = if key == "-" {
                list.len()
            } else {
                // One place more than the list has: before the first to after the last.
                position(key, list.len() + 1).ok_or_else(|| PatchError::Index(path.to_owned()))?
            };
            list.insert(index, value.clone());
            Ok(edit(format!("{parent_path}/{index}"), None, Some(value)))
        }
        _ => Err(PatchError::Missing(path.to_owned())),
    }
}

fn remove(document: &mut Value, path: &str) -> Result<Edit, PatchError> {
    let (parent_path, key) = split(path)?;
    let missing = || PatchError::Missing(path.to_owned());
    let from = match get_mut(document, parent_path) {
        Some(Value::Object(map)) => map.remove(unescape(key).as_ref()).ok_or_else(missing)?,
        Some(Value::Array(list)) => {
            let index = position(key, list.len());
            list.remove(index.ok_or_else(|| PatchError::Index(path.to_owned()))?)
        }
        _ => return Err(missing()),
    };
    Ok(edit(path.to_owned(), Some(from), None))
}

fn replace(document: &mut Value, path: &str, value: Value) -> Result<Edit, PatchError> {
    if path.is_empty() {
        return Ok(replace_root(document, value));
    }
    split(path)?;
    let place = get_mut(document, path).ok_or_else(|| PatchError::Missing(path.to_owned()))?;
    let from = std::mem::replace(place, value.clone());
    Ok(edit(path.to_owned(), Some(from), Some(value)))
}

/// An absent value passes a test for null.
fn test(document: &Value, path: &str, value: &Value) -> Result<Edit, PatchError> {
    let found = get(document, path).unwrap_or(&Value::Null);
    if found == value {
        Ok(edit(path.to_owned(), None, None))
    } else {
        Err(PatchError::Test(path.to_owned()))
    }
}

fn replace_root(document: &mut Value, value: Value) -> Edit {
    let from = std::mem::replace(document, value.clone());
    edit(String::new(), Some(from), Some(value))
}

fn edit(path: String, from: Option<Value>, to: Option<Value>) -> Edit {
    Edit { path, from, to }
}

/// The pointer to what holds the value, and the last part.
fn split(path: &str) -> Result<(&str, &str), PatchError> {
    if !path.starts_with('/') {
        return Err(PatchError::Pointer(path.to_owned()));
    }
    path.rsplit_once('/')
        .ok_or_else(|| PatchError::Pointer(path.to_owned()))
}

fn get_mut<'a>(document: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    if path.is_empty() {
        return Some(document);
    }
    path.strip_prefix('/')?
        .split('/')
        .try_fold(document, |value, part| match value {
            Value::Object(map) => map.get_mut(unescape(part).as_ref()),
            Value::Array(list) => {
                let index = position(part, list.len())?;
                list.get_mut(index)
            }
            _ => None,
        })
}

/// `~01` is `~1`: each escape is read once, from the left.
fn unescape(part: &str) -> Cow<'_, str> {
    if !part.contains('~') {
        return Cow::Borrowed(part);
    }
    let mut key = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        key.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        (key, rest) = match tail.as_bytes().first() {
            Some(b'0') => (key + "~", &tail[1..]),
            Some(b'1') => (key + "/", &tail[1..]),
            _ => (key + "~", tail),
        };
    }
    Cow::Owned(key + rest)
}

/// A position among `length` places; a negative one counts from the end.
fn position(part: &str, length: usize) -> Option<usize> {
    let index: i64 = part.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 {
        index.checked_add(length)?
    } else {
        index
    };
    (0..length)
        .contains(&index)
        .then(|| usize::try_from(index).ok())?
}
