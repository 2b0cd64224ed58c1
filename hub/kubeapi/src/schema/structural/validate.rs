//! Values of custom resources against their schema, with the findings of a real server.
//!
//! On an update, a part that did not change is not looked at again: objects from before a stricter
//! schema can still be edited elsewhere.

mod formats;

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::Cause;
use crate::schema::{Limits, ListType, Schema, Type};

/// Findings about a value that stands at `path`; `old` = what stood there before.
#[must_use]
pub fn validate(schema: Schema<'_>, value: &Value, old: Option<&Value>, path: &str) -> Vec<Cause> {
    let mut found = Vec::new();
    check(schema, value, old, path, &mut found);
    found
}

fn check(
    schema: Schema<'_>,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    found: &mut Vec<Cause>,
) {
    if old == Some(value) {
        return;
    }
    let node = schema.node();
    if value.is_null() && node.nullable {
        return;
    }
    if let Some(wanted) = mismatch(node.ty, value) {
        let sent = type_name(value);
        found.push(type_invalid(path, wanted, &Value::from(sent)));
        return;
    }
    if let (Value::String(text), false) = (value, node.format.is_empty())
        && !formats::matches(&node.format, text)
    {
        found.push(type_invalid(path, &node.format, value));
    }
    if let Some(limits) = &node.limits {
        limit(schema, limits, value, path, found);
    }
    match value {
        Value::Object(object) => fields(schema, object, old, path, found),
        Value::Array(items) => list(schema, items, old, path, found),
        _ => {}
    }
}

fn fields(
    schema: Schema<'_>,
    object: &Map<String, Value>,
    old: Option<&Value>,
    path: &str,
    found: &mut Vec<Cause>,
) {
    let node = schema.node();
    for name in &node.required {
        if !object.contains_key(name) {
            let at = join(path, name);
            found.push(Cause::new("FieldValueRequired", at, "Required value"));
        }
    }
    let is_resource = path.is_empty() || node.embedded;
    if node.embedded {
        for name in ["apiVersion", "kind"] {
            if object
                .get(name)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                let at = join(path, name);
                let message = "Required value: must not be empty";
                found.push(Cause::new("FieldValueRequired", at, message));
            }
        }
    }
    for (key, value) in object {
        // Metadata has been typed already.
        if is_resource && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        if let Some(child) = schema.field(key) {
            let before = old.and_then(|old| old.get(key));
            check(child, value, before, &join(path, key), found);
        }
    }
}

fn list(
    schema: Schema<'_>,
    items: &[Value],
    old: Option<&Value>,
    path: &str,
    found: &mut Vec<Cause>,
) {
    let Some(item) = schema.items() else { return };
    let keys = match &schema.node().list {
        ListType::Map(keys) => Some(keys.as_slice()),
        ListType::Set => Some([].as_slice()),
        ListType::Atomic => None,
    };
    let key_of = |value: &Value, keys: &[String]| -> Value {
        if keys.is_empty() {
            return value.clone();
        }
        let of = |key: &String| Some((key.clone(), value.get(key)?.clone()));
        Value::Object(keys.iter().filter_map(of).collect())
    };
    let before = old.and_then(Value::as_array);
    let mut seen = Vec::new();
    for (at, value) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let mut twin = None;
        if let Some(keys) = keys {
            let key = key_of(value, keys);
            twin = before.and_then(|old| old.iter().find(|old| key_of(old, keys) == key));
            if seen.contains(&key) {
                let message = format!("Duplicate value: {key}");
                found.push(Cause::new("FieldValueDuplicate", path.clone(), message));
            }
            seen.push(key);
        }
        check(item, value, twin, &path, found);
    }
}

fn limit(schema: Schema<'_>, limits: &Limits, value: &Value, path: &str, found: &mut Vec<Cause>) {
    if let Some(allowed) = &limits.one_of_values
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
        let message = format!(
            "Unsupported value: {value}: supported values: {}",
            allowed.join(", ")
        );
        found.push(Cause::new("FieldValueNotSupported", path, message));
    }
    match value {
        Value::Number(number) => number_limits(limits, number.as_f64(), value, path, found),
        Value::String(text) => text_limits(limits, text, path, found),
        Value::Array(items) => {
            let words = ("should have at least", "items", "must have at most");
            counts(limits.items, items.len(), words, path, found);
        }
        Value::Object(object) => {
            let words = ("should have at least", "properties", "must have at most");
            counts(limits.properties, object.len(), words, path, found);
        }
        _ => {}
    }
    branches(schema, limits, value, path, found);
}

fn number_limits(
    limits: &Limits,
    number: Option<f64>,
    value: &Value,
    path: &str,
    found: &mut Vec<Cause>,
) {
    let Some(number) = number else { return };
    let mut add = |why: String| found.push(invalid(path, value, &why));
    if let Some((bound, exclusive)) = limits.minimum {
        if exclusive && number <= bound {
            add(format!("should be greater than {bound}"));
        } else if number < bound {
            add(format!("should be greater than or equal to {bound}"));
        }
    }
    if let Some((bound, exclusive)) = limits.maximum {
        if exclusive && number >= bound {
            add(format!("should be less than {bound}"));
        } else if number > bound {
            add(format!("should be less than or equal to {bound}"));
        }
    }
    if let Some(factor) = limits.multiple_of
        && (number / factor).fract() != 0.0
    {
        add(format!("should be a multiple of {factor}"));
    }
}

fn text_limits(limits: &Limits, text: &str, path: &str, found: &mut Vec<Cause>) {
    let value = Value::from(text);
    let length = text.chars().count() as u64;
    if let (Some(least), _) = limits.length
        && length < least
    {
        let why = format!("should be at least {least} chars long");
        found.push(invalid(path, &value, &why));
    }
    if let (_, Some(most)) = limits.length
        && length > most
    {
        let message = format!("Too long: may not be more than {most} bytes");
        found.push(Cause::new("FieldValueTooLong", path, message));
    }
    if let Some(pattern) = &limits.pattern
        && !pattern_matches(pattern, text)
    {
        found.push(invalid(path, &value, &format!("should match '{pattern}'")));
    }
}

/// Patterns are compiled once per thread; one that cannot be read lets everything through, since
/// the definition was refused or is from before.
fn pattern_matches(pattern: &str, text: &str) -> bool {
    const KEPT_MAX: usize = 1000;
    thread_local! {
        static COMPILED: RefCell<BTreeMap<String, Option<Regex>>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() > KEPT_MAX {
            compiled.clear();
        }
        let regex = compiled
            .entry(pattern.to_owned())
            .or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(text))
    })
}

fn counts(
    (least, most): (Option<u64>, Option<u64>),
    count: usize,
    (few, what, many): (&str, &str, &str),
    path: &str,
    found: &mut Vec<Cause>,
) {
    let count = count as u64;
    if let Some(least) = least.filter(|least| count < *least) {
        let why = format!("{few} {least} {what}");
        found.push(invalid(path, &Value::from(count), &why));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        let message = format!("Too many: {count}: {many} {most} items");
        found.push(Cause::new("FieldValueTooMany", path, message));
    }
}

/// Alternatives. Their own finding names no field, as on a real server.
fn branches(
    schema: Schema<'_>,
    limits: &Limits,
    value: &Value,
    path: &str,
    found: &mut Vec<Cause>,
) {
    let run = |ids: &[u32]| -> Vec<Vec<Cause>> {
        let each = ids
            .iter()
            .map(|id| validate(schema.at(*id), value, None, path));
        each.collect()
    };
    let mut whole = |why: String| {
        let message = format!("Invalid value: \"\": \"{path}\" {why}");
        found.push(Cause::new("FieldValueInvalid", "<nil>", message));
    };
    let all = run(&limits.all_of);
    let any = run(&limits.any_of);
    let one = run(&limits.one_of);
    let good = |results: &[Vec<Cause>]| results.iter().filter(|found| found.is_empty()).count();
    let mut nested = Vec::new();
    if good(&all) < all.len() {
        whole(format!(
            "must validate all the schemas (allOf). {} valid",
            if good(&all) == 0 {
                "None".to_owned()
            } else {
                good(&all).to_string()
            }
        ));
        nested.extend(all.into_iter().flatten());
    }
    if !any.is_empty() && good(&any) == 0 {
        whole("must validate at least one schema (anyOf)".to_owned());
        nested.extend(any.into_iter().next().unwrap_or_default());
    }
    match (one.is_empty(), good(&one)) {
        (true, _) | (false, 1) => {}
        (false, 0) => {
            whole("must validate one and only one schema (oneOf). Found none valid".to_owned());
            nested.extend(one.into_iter().next().unwrap_or_default());
        }
        (false, many) => whole(format!(
            "must validate one and only one schema (oneOf). Found {many} valid alternatives"
        )),
    }
    if let Some(not) = limits.not
        && validate(schema.at(not), value, None, path).is_empty()
    {
        whole("must not validate the schema (not)".to_owned());
    }
    found.extend(nested);
}

/// The wanted type, when the value has another one.
fn mismatch(ty: Type, value: &Value) -> Option<&'static str> {
    let (wanted, good) = match ty {
        Type::Any | Type::Quantity => return None,
        Type::Object | Type::Map => ("object", value.is_object()),
        Type::List => ("array", value.is_array()),
        Type::String => ("string", value.is_string()),
        Type::Integer => ("integer", value.is_i64() || value.is_u64()),
        Type::Number => ("number", value.is_number()),
        Type::Boolean => ("boolean", value.is_boolean()),
        Type::IntOrString => (
            "integer,string",
            value.is_string() || value.is_i64() || value.is_u64(),
        ),
    };
    (!good).then_some(wanted)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_invalid(path: &str, wanted: &str, shown: &Value) -> Cause {
    let message =
        format!("Invalid value: {shown}: {path} in body must be of type {wanted}: {shown}");
    Cause::new("FieldValueTypeInvalid", path, message)
}

fn invalid(path: &str, value: &Value, why: &str) -> Cause {
    let message = format!("Invalid value: {value}: {path} in body {why}");
    Cause::new("FieldValueInvalid", path, message)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
