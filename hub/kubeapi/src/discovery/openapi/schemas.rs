//! Schemas of kinds as OpenAPI words them.
//!
//! Built-in kinds show the published definitions, with all that they refer to; custom kinds show
//! what their own definition says.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::gvk;
use crate::kinds::Kind;
use crate::schema::{ListType, Schema, Type, builtin};

const REFERENCE: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Adds the schema of a kind, and what it refers to.
pub(super) fn add(kind: &Kind, name: &str, schemas: &mut Map<String, Value>) {
    if kind.custom {
        schemas.insert(name.to_owned(), custom(kind));
        add_definition(META, schemas);
        return;
    }
    add_definition(name, schemas);
    if let Some(schema) = schemas.get_mut(name) {
        schema["x-kubernetes-group-version-kind"] = json!([gvk(kind)]);
    }
}

/// The published definitions, made once, with references as version 3 words them.
fn definitions() -> &'static Map<String, Value> {
    static DEFINITIONS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
        let mut definitions = builtin::definitions();
        definitions.values_mut().for_each(reword);
        definitions
    });
    &DEFINITIONS
}

fn reword(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                let name = reference.rsplit('/').next().unwrap_or_default();
                *reference = format!("{REFERENCE}{name}");
            }
            fields.values_mut().for_each(reword);
        }
        Value::Array(items) => items.iter_mut().for_each(reword),
        _ => {}
    }
}

fn add_definition(name: &str, schemas: &mut Map<String, Value>) {
    let mut waiting = vec![name.to_owned()];
    while let Some(name) = waiting.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let Some(definition) = definitions().get(&name) else {
            continue;
        };
        referred(definition, &mut waiting);
        schemas.insert(name, definition.clone());
    }
}

fn referred(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|reference| reference.strip_prefix(REFERENCE));
            names.extend(name.map(str::to_owned));
            fields.values().for_each(|value| referred(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| referred(value, names)),
        _ => {}
    }
}

fn custom(kind: &Kind) -> Value {
    let mut schema = shown(kind.schema());
    let text = |description: &str| json!({"type": "string", "description": description});
    let properties = &mut schema["properties"];
    if !properties.is_object() {
        *properties = json!({});
    }
    properties["apiVersion"] = text("Group and version of this object.");
    properties["kind"] = text("Kind of this object.");
    properties["metadata"] = json!({"allOf": [{"$ref": format!("{REFERENCE}{META}")}]});
    schema["type"] = json!("object");
    schema["x-kubernetes-group-version-kind"] = json!([gvk(kind)]);
    schema
}

fn shown(schema: Schema<'_>) -> Value {
    let node = schema.node();
    let mut out = Map::new();
    let ty = match node.ty {
        Type::Object | Type::Map => "object",
        Type::List => "array",
        Type::String | Type::Quantity => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Any | Type::IntOrString => "",
    };
    for (key, text) in [
        ("type", ty),
        ("description", &node.description),
        ("format", &node.format),
    ] {
        if !text.is_empty() {
            out.insert(key.into(), json!(text));
        }
    }
    if node.ty == Type::IntOrString {
        out.insert("x-kubernetes-int-or-string".into(), json!(true));
    }
    if node.preserve_unknown {
        out.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
    }
    if node.nullable {
        out.insert("nullable".into(), json!(true));
    }
    let fields = node.fields.iter();
    let fields: Map<_, _> = fields
        .map(|(name, id)| (name.clone(), shown(schema.at(*id))))
        .collect();
    if !fields.is_empty() {
        out.insert("properties".into(), Value::Object(fields));
    }
    if let Some(values) = node.values {
        out.insert("additionalProperties".into(), shown(schema.at(values)));
    }
    if let Some(items) = schema.items() {
        out.insert("items".into(), shown(items));
    }
    if !node.required.is_empty() {
        out.insert("required".into(), json!(node.required));
    }
    if let Some(default) = &node.default {
        out.insert("default".into(), default.clone());
    }
    add_list(&node.list, node.ty == Type::List, &mut out);
    Value::Object(out)
}

fn add_list(list: &ListType, is_list: bool, out: &mut Map<String, Value>) {
    match list {
        ListType::Set => {
            out.insert("x-kubernetes-list-type".into(), json!("set"));
        }
        ListType::Map(keys) => {
            out.insert("x-kubernetes-list-type".into(), json!("map"));
            out.insert("x-kubernetes-list-map-keys".into(), json!(keys));
        }
        ListType::Atomic if is_list => {
            out.insert("x-kubernetes-list-type".into(), json!("atomic"));
        }
        ListType::Atomic => {}
    }
}
