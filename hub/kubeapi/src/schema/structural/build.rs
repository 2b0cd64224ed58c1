//! From the OpenAPI schema of a CustomResourceDefinition to nodes.
//!
//! The schema has been found well-formed before; what is odd all the same becomes a node that lets
//! anything through, so that old definitions go on working.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::decode::object_meta;
use crate::schema::{Limits, ListType, Node, NodeId, Schema, SchemaSet, Type};

/// Makes the set of one version; the root describes whole objects.
#[must_use]
pub fn build(schema: &Value) -> (SchemaSet, NodeId) {
    let mut set = SchemaSet::default();
    let metadata = copy(&mut set, object_meta(), &mut BTreeMap::new());
    let root = node(&mut set, schema, metadata);
    resource(&mut set, root, metadata);
    (set, root)
}

/// An object with `apiVersion`, `kind` and `metadata`.
fn resource(set: &mut SchemaSet, id: NodeId, metadata: NodeId) {
    let text = |set: &mut SchemaSet| {
        set.add(Node {
            ty: Type::String,
            ..Node::default()
        })
    };
    let (version, kind) = (text(set), text(set));
    let node = &mut set.nodes[id as usize];
    if node.ty == Type::Any {
        node.ty = Type::Object;
    }
    node.fields.insert("apiVersion".to_owned(), version);
    node.fields.insert("kind".to_owned(), kind);
    node.fields.insert("metadata".to_owned(), metadata);
}

/// Copies a node and all below it from another set.
fn copy(set: &mut SchemaSet, from: Schema<'_>, done: &mut BTreeMap<NodeId, NodeId>) -> NodeId {
    if let Some(id) = done.get(&from.id()) {
        return *id;
    }
    let id = set.add(Node::default());
    done.insert(from.id(), id);
    let mut node = from.node().clone();
    for child in node
        .fields
        .values_mut()
        .chain(&mut node.values)
        .chain(&mut node.items)
    {
        *child = copy(set, from.at(*child), done);
    }
    set.nodes[id as usize] = node;
    id
}

fn node(set: &mut SchemaSet, schema: &Value, metadata: NodeId) -> NodeId {
    let flag = |key: &str| schema[key] == true;
    let text = |key: &str| schema[key].as_str().unwrap_or_default();
    let mut made = Node {
        ty: type_of(schema),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        nullable: flag("nullable"),
        default: schema
            .get("default")
            .filter(|value| !value.is_null())
            .cloned(),
        atomic: text("x-kubernetes-map-type") == "atomic",
        format: text("format").to_owned(),
        description: text("description").to_owned(),
        ..Node::default()
    };
    let names = schema["required"].as_array().into_iter().flatten();
    made.required = names.filter_map(Value::as_str).map(str::to_owned).collect();
    made.list = match text("x-kubernetes-list-type") {
        "set" => ListType::Set,
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            ListType::Map(keys.map(str::to_owned).collect())
        }
        _ => ListType::Atomic,
    };
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        made.fields
            .insert(field.clone(), node(set, schema, metadata));
    }
    match &schema["additionalProperties"] {
        Value::Object(_) => {
            made.values = Some(node(set, &schema["additionalProperties"], metadata));
        }
        Value::Bool(true) => {
            made.values = Some(set.add(Node {
                preserve_unknown: true,
                ..Node::default()
            }));
        }
        _ => {}
    }
    if schema["items"].is_object() {
        made.items = Some(node(set, &schema["items"], metadata));
    }
    let embedded = made.embedded;
    made.limits = limits(set, schema, metadata);
    let id = set.add(made);
    if embedded {
        resource(set, id, metadata);
    }
    id
}

fn type_of(schema: &Value) -> Type {
    if schema["x-kubernetes-int-or-string"] == true {
        return Type::IntOrString;
    }
    match schema["type"].as_str() {
        Some("object") if schema["properties"].is_null() => match &schema["additionalProperties"] {
            Value::Object(_) | Value::Bool(true) => Type::Map,
            _ => Type::Object,
        },
        Some("object") => Type::Object,
        Some("array") => Type::List,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn limits(set: &mut SchemaSet, schema: &Value, metadata: NodeId) -> Option<Box<Limits>> {
    let number = |key: &str| schema[key].as_f64();
    let count = |key: &str| schema[key].as_u64();
    let bound =
        |key: &str, exclusive: &str| number(key).map(|bound| (bound, schema[exclusive] == true));
    let mut branches = |key: &str| -> Vec<NodeId> {
        let schemas = schema[key].as_array().into_iter().flatten();
        schemas.map(|schema| node(set, schema, metadata)).collect()
    };
    let (all_of, any_of, one_of) = (branches("allOf"), branches("anyOf"), branches("oneOf"));
    let not = schema["not"]
        .is_object()
        .then(|| node(set, &schema["not"], metadata));
    let made = Limits {
        one_of_values: schema["enum"].as_array().cloned(),
        pattern: schema["pattern"].as_str().map(str::to_owned),
        minimum: bound("minimum", "exclusiveMinimum"),
        maximum: bound("maximum", "exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
        properties: (count("minProperties"), count("maxProperties")),
        unique_items: schema["uniqueItems"] == true,
        all_of,
        any_of,
        one_of,
        not,
    };
    let says_something = [
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "uniqueItems",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    let any = says_something.iter().any(|key| !schema[*key].is_null());
    any.then(|| Box::new(made))
}
