//! JSON schemas from the API types, in the structural form that a CustomResourceDefinition needs.
//!
//! The types carry what Rust cannot say (required fields, choices, defaults) as schemars
//! attributes; `x-default` is a default of the CRD, while serde's own defaults (an absent text is
//! an empty one) never reach a schema. Nothing here knows a kind.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// Keys that may stand in a structural schema and are taken over as they are.
const KEPT: &[&str] = &[
    "description",
    "enum",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];

/// A quantity: a number or a text.
pub(super) fn quantity(schema: &mut Schema) {
    schema.remove("type");
    schema.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
}

/// Quantities by resource name.
pub(super) fn quantities(schema: &mut Schema) {
    schema.insert(
        "additionalProperties".to_owned(),
        json!({ "x-kubernetes-int-or-string": true }),
    );
}

/// The schema of a whole object with a spec and without a status.
pub(super) fn object<S: JsonSchema>(description: &str) -> Value {
    json!({
        "description": description,
        "type": "object",
        "properties": {
            "apiVersion": { "description": "API version.", "type": "string" },
            "kind": { "description": "Kind.", "type": "string" },
            "metadata": { "type": "object" },
            "spec": of::<S>(),
        },
        "required": ["spec"],
    })
}

/// The schema of a whole object with a spec and a status.
pub(super) fn object_with_status<S: JsonSchema, T: JsonSchema>(description: &str) -> Value {
    let mut schema = object::<S>(description);
    schema["properties"]["status"] = of::<T>();
    schema
}

/// The structural schema of a type.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    structural(
        settings
            .into_generator()
            .into_root_schema_for::<T>()
            .as_value(),
    )
}

/// Removes the schema of a field, named by its keys below the root.
pub(super) fn without(mut schema: Value, path: &[&str]) -> Value {
    if let Some((last, parents)) = path.split_last() {
        let parent = parents.iter().try_fold(&mut schema, |node, key| {
            node.get_mut("properties").and_then(|p| p.get_mut(*key))
        });
        if let Some(Value::Object(properties)) = parent.and_then(|p| p.get_mut("properties")) {
            properties.remove(*last);
        }
    }
    schema
}

fn structural(schema: &Value) -> Value {
    let Value::Object(node) = schema else {
        return json!({ "x-kubernetes-preserve-unknown-fields": true });
    };
    let node = &merged_alternatives(node);
    let mut out = Map::new();
    for key in KEPT {
        if let Some(value) = node.get(*key) {
            out.insert((*key).to_owned(), value.clone());
        }
    }
    if let Some(value) = node.get("x-default") {
        out.insert("default".to_owned(), value.clone());
    }
    if let Some(type_) = type_of(node) {
        out.insert("type".to_owned(), json!(type_));
    } else if !out.contains_key("x-kubernetes-int-or-string") {
        out.insert(
            "x-kubernetes-preserve-unknown-fields".to_owned(),
            json!(true),
        );
    }
    insert_format(node, &mut out);
    insert_children(node, &mut out);
    let bare = out.get("type") == Some(&json!("object"))
        && !out.contains_key("properties")
        && !out.contains_key("additionalProperties");
    if bare {
        out.insert(
            "x-kubernetes-preserve-unknown-fields".to_owned(),
            json!(true),
        );
    }
    Value::Object(out)
}

/// Folds what schemars writes for an `Option` or for a plain enum into one node.
fn merged_alternatives(node: &Map<String, Value>) -> Map<String, Value> {
    let alternatives = ["anyOf", "oneOf"]
        .iter()
        .find_map(|key| node.get(*key))
        .and_then(Value::as_array);
    let Some(alternatives) = alternatives else {
        return node.clone();
    };
    let names: Vec<&Value> = alternatives.iter().filter_map(|a| a.get("const")).collect();
    let mut merged = node.clone();
    if names.len() == alternatives.len() {
        merged.insert("type".to_owned(), json!("string"));
        merged.insert("enum".to_owned(), json!(names));
    } else {
        let real = alternatives
            .iter()
            .filter(|a| a.get("type") != Some(&json!("null")))
            .filter_map(Value::as_object)
            .flat_map(merged_alternatives);
        for (key, value) in real {
            merged.entry(key).or_insert(value);
        }
    }
    merged
}

fn type_of(node: &Map<String, Value>) -> Option<&str> {
    match node.get("type")? {
        Value::String(type_) => Some(type_),
        Value::Array(types) => types
            .iter()
            .filter_map(Value::as_str)
            .find(|t| *t != "null"),
        _ => None,
    }
}

/// Kubernetes knows signed formats only.
fn insert_format(node: &Map<String, Value>, out: &mut Map<String, Value>) {
    let format = match node.get("format").and_then(Value::as_str) {
        Some("uint64" | "uint" | "uint32" | "int64") => "int64",
        Some(format @ ("int32" | "date-time")) => format,
        _ => return,
    };
    out.insert("format".to_owned(), json!(format));
}

fn insert_children(node: &Map<String, Value>, out: &mut Map<String, Value>) {
    if let Some(Value::Object(properties)) = node.get("properties") {
        let properties: Map<String, Value> = properties
            .iter()
            .map(|(name, schema)| (name.clone(), structural(schema)))
            .collect();
        out.insert("properties".to_owned(), Value::Object(properties));
    }
    if let Some(items) = node.get("items") {
        out.insert("items".to_owned(), structural(items));
    }
    if let Some(values @ Value::Object(_)) = node.get("additionalProperties") {
        out.insert("additionalProperties".to_owned(), structural(values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of two.
    #[derive(serde::Deserialize, JsonSchema)]
    enum Choice {
        /// First.
        One,
        /// Second.
        Two,
    }

    /// Inner.
    #[derive(Default, serde::Deserialize, JsonSchema)]
    #[serde(default)]
    struct Inner {
        /// Count.
        count: u64,
    }

    /// Outer.
    #[derive(Default, serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", default)]
    #[schemars(extend("required" = ["anyJson"]))]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Outer {
        /// Anything.
        any_json: Option<Value>,
        /// Maybe.
        maybe: Option<Inner>,
        /// One of two, or nothing.
        choice: Option<Choice>,
        #[serde(flatten)]
        inner: Inner,
        /// By name.
        by_name: std::collections::BTreeMap<String, i32>,
    }

    #[test]
    fn what_schemars_writes_becomes_structural() {
        let count =
            json!({"description": "Count.", "type": "integer", "format": "int64", "minimum": 0});
        let expected = json!({
            "description": "Outer.",
            "type": "object",
            "required": ["anyJson"],
            "properties": {
                "anyJson": {"description": "Anything.", "x-kubernetes-preserve-unknown-fields": true},
                "maybe": {"description": "Maybe.", "type": "object", "properties": {"count": count}},
                "choice": {"description": "One of two, or nothing.", "type": "string", "enum": ["One", "Two"]},
                "count": count,
                "byName": {
                    "description": "By name.",
                    "type": "object",
                    "additionalProperties": {"type": "integer", "format": "int32"},
                },
            },
        });
        assert_eq!(of::<Outer>(), expected);
    }

    #[test]
    fn a_field_can_be_left_out() {
        let schema = without(object::<Outer>("Outer."), &["spec", "maybe", "count"]);
        assert_eq!(
            schema["properties"]["spec"]["properties"]["maybe"]["properties"],
            json!({})
        );
    }
}
