//! What an API server does with a structural schema: prune unknown fields, fill defaults, check.
//!
//! Works on any structural schema of a CustomResourceDefinition. Regular expressions and CEL rules
//! are not evaluated here; the admission of a kind says the same in code.

use serde_json::{Map, Value};

use super::FieldError;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// Removes what the schema does not know. The object's own envelope stays as it is.
pub fn prune(schema: &Value, object: &mut Value) {
    let (Value::Object(fields), Some(properties)) = (object, properties(schema)) else {
        return;
    };
    fields.retain(|name, _| is_envelope(name) || properties.contains_key(name));
    for (name, value) in fields.iter_mut().filter(|(name, _)| !is_envelope(name)) {
        prune_node(&properties[name], value);
    }
}

fn is_envelope(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn prune_node(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let known = properties(schema);
            let others = schema.get("additionalProperties");
            if others.is_none() && !is_set(schema, PRESERVE) {
                fields.retain(|name, _| known.is_some_and(|k| k.contains_key(name)));
            }
            for (name, field) in fields.iter_mut() {
                if let Some(schema) = known.and_then(|k| k.get(name)).or(others) {
                    prune_node(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| prune_node(schema, item));
            }
        }
        _ => {}
    }
}

/// Fills defaults; a null in a field that knows no null counts as absent.
pub fn fill_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(known) = properties(schema) {
                for (name, schema) in known {
                    fill_field(name, schema, fields);
                }
            } else if let Some(schema) = schema.get("additionalProperties") {
                fields.values_mut().for_each(|v| fill_defaults(schema, v));
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| fill_defaults(schema, item));
            }
        }
        _ => {}
    }
}

fn fill_field(name: &str, schema: &Value, fields: &mut Map<String, Value>) {
    if fields.get(name) == Some(&Value::Null) && !is_set(schema, "nullable") {
        fields.remove(name);
    }
    if let (None, Some(default)) = (fields.get(name), schema.get("default")) {
        fields.insert(name.to_owned(), default.clone());
    }
    if let Some(field) = fields.get_mut(name) {
        fill_defaults(schema, field);
    }
}

/// Removes optional choices that were sent as an empty text, as templates do that always write
/// every field: they mean "not chosen".
pub fn drop_empty_choices(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let Some(known) = properties(schema) else {
                return;
            };
            let required = required(schema);
            fields.retain(|name, field| {
                let optional = !required.contains(&name.as_str());
                let schema = known.get(name);
                !(optional && *field == "" && schema.is_some_and(|s| !is_choice(s, field)))
            });
            for (name, field) in fields.iter_mut() {
                if let Some(schema) = known.get(name) {
                    drop_empty_choices(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| drop_empty_choices(schema, item));
            }
        }
        _ => {}
    }
}

/// Whether the schema allows the value as one of its choices; a schema without choices allows all.
fn is_choice(schema: &Value, value: &Value) -> bool {
    schema
        .get("enum")
        .and_then(Value::as_array)
        .is_none_or(|choices| choices.contains(value))
}

/// All that is wrong with an object: types, choices, required fields, bounds.
#[must_use]
pub fn check(schema: &Value, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_node(schema, object, "", &mut errors);
    errors
}

fn check_node(schema: &Value, value: &Value, field: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && is_set(schema, "nullable") {
        return;
    }
    if let Some(message) = wrong_type(schema, value) {
        errors.push(FieldError::new(field, message));
        return;
    }
    if !is_choice(schema, value) {
        let choices = schema.get("enum").map(Value::to_string).unwrap_or_default();
        errors.push(FieldError::new(
            field,
            format!("{value} is not one of {choices}"),
        ));
    }
    let out_of_bounds = match value {
        Value::Number(_) => bounds(schema, value.as_f64(), ["minimum", "maximum"], ""),
        Value::String(text) => {
            let length = text.chars().count() as f64;
            bounds(
                schema,
                Some(length),
                ["minLength", "maxLength"],
                " characters",
            )
        }
        Value::Array(items) => {
            let length = items.len() as f64;
            bounds(schema, Some(length), ["minItems", "maxItems"], " items")
        }
        _ => None,
    };
    errors.extend(out_of_bounds.map(|message| FieldError::new(field, message)));
    check_children(schema, value, field, errors);
}

fn check_children(schema: &Value, value: &Value, field: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for name in required(schema) {
                if !fields.contains_key(name) {
                    errors.push(FieldError::new(child(field, name), "is required"));
                }
            }
            for (name, value) in fields {
                let schema = properties(schema)
                    .and_then(|known| known.get(name))
                    .or_else(|| schema.get("additionalProperties"));
                if let Some(schema) = schema {
                    check_node(schema, value, &child(field, name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (i, item) in items.iter().enumerate() {
                    check_node(schema, item, &format!("{field}[{i}]"), errors);
                }
            }
        }
        _ => {}
    }
}

fn child(field: &str, name: &str) -> String {
    if field.is_empty() {
        name.to_owned()
    } else {
        format!("{field}.{name}")
    }
}

fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    if is_set(schema, INT_OR_STRING) {
        let fits = value.is_number() || value.is_string();
        return (!fits).then(|| format!("{} is neither a number nor a text", shown(value)));
    }
    let expected = schema.get("type").and_then(Value::as_str)?;
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => return wrong_integer(schema, value),
        "number" => value.is_number(),
        _ => true,
    };
    if !fits {
        return Some(format!("{} is not of type {expected}", shown(value)));
    }
    let date = schema.get("format").and_then(Value::as_str) == Some("date-time");
    let text = value.as_str().unwrap_or_default();
    (date && !super::names::is_rfc3339(text)).then(|| format!("\"{text}\" is not an RFC 3339 time"))
}

fn wrong_integer(schema: &Value, value: &Value) -> Option<String> {
    let Some(number) = value.as_i64() else {
        return Some(format!("{} is not an integer", shown(value)));
    };
    let short = schema.get("format").and_then(Value::as_str) == Some("int32");
    (short && i32::try_from(number).is_err()).then(|| format!("{number} does not fit 32 bits"))
}

/// The value, or what it is when it could be long.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

fn bounds(
    schema: &Value,
    actual: Option<f64>,
    [low, high]: [&str; 2],
    unit: &str,
) -> Option<String> {
    let actual = actual?;
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    match (bound(low), bound(high)) {
        (Some(low), _) if actual < low => Some(format!("must be at least {low}{unit}")),
        (_, Some(high)) if actual > high => Some(format!("must be at most {high}{unit}")),
        _ => None,
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn is_set(schema: &Value, flag: &str) -> bool {
    schema.get(flag) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["spec"],
            "properties": {
                "metadata": {"type": "object"},
                "spec": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 3},
                        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
                        "count": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 9},
                        "when": {"type": "string", "format": "date-time"},
                        "size": {"x-kubernetes-int-or-string": true},
                        "any": {"x-kubernetes-preserve-unknown-fields": true},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "items": {"type": "array", "minItems": 1, "items": {
                            "type": "object",
                            "properties": {"seconds": {"type": "integer", "default": 300}},
                        }},
                    },
                },
            },
        })
    }

    fn check_spec(spec: Value, expected: &[&str]) {
        let errors = check(&schema(), &json!({ "spec": spec }));
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "for {spec}");
    }

    #[test]
    fn each_rule_names_its_field() {
        check_spec(
            json!({"name": "a", "mode": "B", "count": 9, "size": 1, "any": [1]}),
            &[],
        );
        check_spec(json!({}), &["spec.name: is required"]);
        check_spec(
            json!({"name": ""}),
            &["spec.name: must be at least 1 characters"],
        );
        check_spec(
            json!({"name": "abcd"}),
            &["spec.name: must be at most 3 characters"],
        );
        check_spec(json!({"name": 5}), &["spec.name: 5 is not of type string"]);
        check_spec(
            json!({"name": "a", "mode": "C"}),
            &[r#"spec.mode: "C" is not one of ["A","B"]"#],
        );
        check_spec(
            json!({"name": "a", "count": 0}),
            &["spec.count: must be at least 1"],
        );
        check_spec(
            json!({"name": "a", "count": 10}),
            &["spec.count: must be at most 9"],
        );
        check_spec(
            json!({"name": "a", "count": 1.5}),
            &["spec.count: 1.5 is not an integer"],
        );
        check_spec(
            json!({"name": "a", "count": 3_000_000_000_i64}),
            &["spec.count: 3000000000 does not fit 32 bits"],
        );
        check_spec(
            json!({"name": "a", "size": []}),
            &["spec.size: a list is neither a number nor a text"],
        );
        check_spec(
            json!({"name": "a", "when": "noon"}),
            &[r#"spec.when: "noon" is not an RFC 3339 time"#],
        );
        check_spec(
            json!({"name": "a", "labels": {"x": 1}}),
            &["spec.labels.x: 1 is not of type string"],
        );
        check_spec(
            json!({"name": "a", "items": []}),
            &["spec.items: must be at least 1 items"],
        );
        check_spec(
            json!({"name": "a", "items": [{}, {"seconds": "5"}]}),
            &[r#"spec.items[1].seconds: "5" is not an integer"#],
        );
    }

    #[test]
    fn unknown_fields_go_but_the_envelope_and_free_parts_stay() {
        let mut object = json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"managedFields": [1]}, "stray": 1,
            "spec": {"any": {"deep": {"x": 1}}, "labels": {"a": "b"}, "stray": 1,
                     "items": [{"seconds": 1, "stray": 1}]},
        });
        prune(&schema(), &mut object);
        let expected = json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"managedFields": [1]},
            "spec": {"any": {"deep": {"x": 1}}, "labels": {"a": "b"}, "items": [{"seconds": 1}]},
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn defaults_fill_gaps_and_nulls_once() {
        let mut object =
            json!({"spec": {"name": null, "mode": null, "items": [{}, {"seconds": 5}]}});
        fill_defaults(&schema(), &mut object);
        let expected = json!({"spec": {"mode": "A", "items": [{"seconds": 300}, {"seconds": 5}]}});
        assert_eq!(object, expected);
        fill_defaults(&schema(), &mut object);
        assert_eq!(object, expected, "a second time changes nothing");
    }

    #[test]
    fn an_empty_choice_is_no_choice_but_an_empty_text_stays() {
        let mut object = json!({"spec": {"mode": "", "name": ""}});
        drop_empty_choices(&schema(), &mut object);
        assert_eq!(object, json!({"spec": {"name": ""}}));
    }
}
