//! JSON patch (RFC 6902) as a real server reads it.
//!
//! It is laxer than the RFC: `replace` and `copy` do with a missing member, array indexes may be
//! negative or have leading zeros, and the text before the first `/` of a pointer is skipped. Every
//! operation that cannot be done is 422 with one text.

use serde_json::Value;

use crate::error::{Details, Status};

/// Operations in one patch.
const OPERATIONS_MAX: usize = 10_000;

/// What one patch may copy in all: copies of copies double with every operation.
const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Does the operations of `patch` one after the other.
pub fn json(live: &Value, patch: &Value) -> Result<Value, Status> {
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        _ => return Err(Status::bad_request("a JSON patch is a list of operations")),
    };
    if !operations.iter().all(|it| it.is_object() || it.is_null()) {
        return Err(Status::bad_request("a JSON patch operation is an object"));
    }
    if operations.len() > OPERATIONS_MAX {
        let found = operations.len();
        return Err(Status::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {found}"
            ),
        ));
    }
    let mut object = live.clone();
    let mut copied_bytes = 0;
    for operation in operations {
        apply(&mut object, operation, &mut copied_bytes).ok_or_else(refused)?;
    }
    Ok(object)
}

fn refused() -> Status {
    let message = "the server rejected our request due to an error in our request";
    let mut status = Status::new(422, "Invalid", message);
    status.details = Some(Details::default().into());
    status
}

/// Does one operation; none = it cannot be done.
fn apply(object: &mut Value, operation: &Value, copied_bytes: &mut usize) -> Option<()> {
    let path = operation.get("path").and_then(Value::as_str);
    let value = operation.get("value").unwrap_or(&Value::Null);
    match operation.get("op").and_then(Value::as_str)? {
        "add" => {
            let (parent, key) = find(object, path?)?;
            add(parent, &key, value.clone())
        }
        "remove" => {
            let (parent, key) = find(object, path?)?;
            remove(parent, &key)
        }
        "replace" => replace(object, path?, value),
        "move" => {
            let (parent, key) = find(object, from(operation)?)?;
            let moved = get(parent, &key)?;
            remove(parent, &key)?;
            let (parent, key) = find(object, path?)?;
            add(parent, &key, moved)
        }
        "copy" => {
            let (parent, key) = find(object, from(operation)?)?;
            let copied = get(parent, &key)?;
            *copied_bytes += copied.to_string().len();
            if *copied_bytes > COPIED_BYTES_MAX {
                return None;
            }
            let (parent, key) = find(object, path?)?;
            add(parent, &key, copied)
        }
        "test" => {
            let present = match path? {
                "" => object.clone(),
                path => {
                    let (parent, key) = find(object, path)?;
                    get(parent, &key)?
                }
            };
            (present == *value).then_some(())
        }
        _ => None,
    }
}

fn from(operation: &Value) -> Option<&str> {
    operation.get("from").and_then(Value::as_str)
}

fn replace(object: &mut Value, path: &str, value: &Value) -> Option<()> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return None;
        }
        *object = value.clone();
        return Some(());
    }
    match find(object, path)? {
        (Value::Object(fields), key) => {
            fields.insert(key, value.clone());
        }
        (Value::Array(items), key) => {
            let at = index(&key, items.len()).filter(|at| *at < items.len())?;
            items[at] = value.clone();
        }
        _ => return None,
    }
    Some(())
}

/// The object or array that holds what the pointer names, and the last token of the pointer.
fn find<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut tokens: Vec<&str> = path.split('/').skip(1).collect();
    let last = unescape(tokens.pop()?);
    let mut parent = object;
    for token in tokens {
        let token = unescape(token);
        parent = match parent {
            Value::Object(fields) => fields.get_mut(&token)?,
            Value::Array(items) => {
                let at = index(&token, items.len())?;
                items.get_mut(at)?
            }
            _ => return None,
        };
    }
    (parent.is_object() || parent.is_array()).then_some((parent, last))
}

fn unescape(token: &str) -> String {
    let mut plain = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(at) = rest.find('~') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (text, taken) = match after.as_bytes().first() {
            Some(b'0') => ("~", 1),
            Some(b'1') => ("/", 1),
            _ => ("~", 0),
        };
        plain.push_str(text);
        rest = &after[taken..];
    }
    plain.push_str(rest);
    plain
}

/// A place in an array of this length; negative ones count from the end.
fn index(token: &str, length: usize) -> Option<usize> {
    let at: i64 = token.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    usize::try_from(if at < 0 { at + length } else { at }).ok()
}

/// What stands there; a missing member of an object reads as `null`.
fn get(parent: &Value, key: &str) -> Option<Value> {
    match parent {
        Value::Object(fields) => Some(fields.get(key).cloned().unwrap_or(Value::Null)),
        Value::Array(items) => items.get(index(key, items.len())?).cloned(),
        _ => None,
    }
}

fn add(parent: &mut Value, key: &str, value: Value) -> Option<()> {
    match parent {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(key, items.len() + 1).filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(parent: &mut Value, key: &str) -> Option<()> {
    match parent {
        Value::Object(fields) => fields.remove(key).map(drop),
        Value::Array(items) => {
            let at = index(key, items.len()).filter(|at| *at < items.len())?;
            items.remove(at);
            Some(())
        }
        _ => None,
    }
}
