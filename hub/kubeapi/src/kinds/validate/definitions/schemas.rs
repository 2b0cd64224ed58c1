//! What a structural schema may be.

use regex::Regex;
use serde_json::Value;

use crate::kinds::validate::cursor::{At, Found};
use crate::schema::structural;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Keywords that say nothing about values; alternatives may not have them.
const NOT_IN_BRANCHES: &[&str] = &[
    "type",
    "description",
    "title",
    "default",
    "nullable",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];

/// Keywords that are never allowed.
const NEVER: &[&str] = &[
    "$ref",
    "id",
    "definitions",
    "dependencies",
    "patternProperties",
    "additionalItems",
];

/// Checks the schema of a version.
pub(super) fn check(root: &At<'_>, found: &mut Found) {
    let kind = root.field("type");
    match kind.text() {
        "" => found.required(&kind, "must not be empty at the root"),
        "object" => {}
        text if TYPES.contains(&text) => found.invalid(&kind, "must be object at the root"),
        _ => {}
    }
    metadata(&at_key(root, "properties", "metadata"), found);
    node(root, true, found);
}

/// A place below a keyword, whose key stands in brackets.
fn at_key<'a>(at: &At<'a>, keyword: &str, key: &str) -> At<'a> {
    let found = at.field(keyword).entries().into_iter();
    let mut found = found.filter(|(name, _)| *name == key).map(|(_, at)| at);
    found.next().unwrap_or_else(|| at.field("no such keyword"))
}

/// Only names of objects may be described.
fn metadata(at: &At<'_>, found: &mut Found) {
    let known = ["name", "generateName"];
    let others = at.field("properties").entries();
    let other = others.iter().any(|(key, _)| !known.contains(key));
    if other || !at.field("additionalProperties").is_missing() {
        let why = "must not specify anything other than name and generateName, but metadata is \
                   implicitly specified";
        found.forbidden(at, why);
    }
}

fn node(at: &At<'_>, is_root: bool, found: &mut Found) {
    forbidden(at, found);
    type_of(at, is_root, found);
    let preserve = at.field("x-kubernetes-preserve-unknown-fields");
    if *preserve.value == Value::Bool(false) {
        found.invalid(&preserve, "must be true or undefined");
    }
    if let Some(pattern) = at.field("pattern").value.as_str()
        && Regex::new(pattern).is_err()
    {
        let why = "must be a valid regular expression, but isn't";
        found.invalid(&at.field("pattern"), why);
    }
    default(at, found);
    lists(at, found);
    for (_, child) in at.field("properties").entries() {
        node(&child, false, found);
    }
    for keyword in ["items", "additionalProperties"] {
        let child = at.field(keyword);
        if child.value.is_object() {
            node(&child, false, found);
        }
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for branch in at.field(keyword).items() {
            branch_of(&branch, at, found);
        }
    }
    let not = at.field("not");
    if !not.is_missing() {
        branch_of(&not, at, found);
    }
}

fn forbidden(at: &At<'_>, found: &mut Found) {
    for keyword in NEVER {
        let field = at.field(keyword);
        if !field.is_empty() {
            found.forbidden(&field, &format!("{keyword} is not supported"));
        }
    }
    if at.value["uniqueItems"] == true {
        let why =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        found.forbidden(&at.field("uniqueItems"), why);
    }
    let more = at.field("additionalProperties");
    if !more.is_missing() && *more.value != Value::Bool(false) && !at.field("properties").is_empty()
    {
        found.forbidden(
            &more,
            "additionalProperties and properties are mutual exclusive",
        );
    }
}

fn type_of(at: &At<'_>, is_root: bool, found: &mut Found) {
    let kind = at.field("type");
    let free = at.value["x-kubernetes-int-or-string"] == true
        || at.value["x-kubernetes-preserve-unknown-fields"] == true
        || !at.field("$ref").is_empty();
    match kind.text() {
        "" if !is_root && !free => {
            let of_list = at.path.ends_with(".items");
            let why = if of_list {
                "must not be empty for specified array items"
            } else {
                "must not be empty for specified object fields"
            };
            found.required(&kind, why);
        }
        "" => {}
        "array" if !at.field("items").value.is_object() => {
            found.required(&at.field("items"), "must be specified");
        }
        text if TYPES.contains(&text) => {}
        _ => found.one_of(&kind, TYPES),
    }
}

/// A default is a value of its own schema.
fn default(at: &At<'_>, found: &mut Found) {
    let default = at.field("default");
    if default.is_missing() {
        return;
    }
    let mut plain = at.value.clone();
    if let Value::Object(plain) = &mut plain {
        plain.remove("default");
    }
    let schema = serde_json::json!({"type": "object", "properties": {"default": plain}});
    let (set, root) = structural::build(&schema);
    let value = serde_json::json!({"default": default.value});
    for mut cause in structural::validate(set.at(root), &value, None, "") {
        let below = cause.field.strip_prefix("default").unwrap_or_default();
        cause.field = format!("{}{below}", default.path);
        cause.message = cause.message.replace("default in body", " in body");
        found.causes.push(cause);
    }
}

fn lists(at: &At<'_>, found: &mut Found) {
    let kind = at.field("x-kubernetes-list-type");
    let keys = at.field("x-kubernetes-list-map-keys");
    match kind.text() {
        "map" => {
            if keys.is_empty() {
                let why = "must not be empty if x-kubernetes-list-type is map";
                found.required(&keys, why);
            }
            let fields = at.field("items.properties");
            for key in keys.items() {
                if fields.value.get(key.text()).is_none() {
                    let why = "entries must all be names of item properties";
                    found.invalid(&key, why);
                }
            }
        }
        "" | "set" | "atomic" => {
            if !keys.is_empty() {
                let why = "must not be set if x-kubernetes-list-type is not map";
                found.forbidden(&keys, why);
            }
        }
        _ => found.one_of(&kind, &["atomic", "map", "set"]),
    }
    if !kind.is_empty() && at.field("type").text() != "array" {
        let type_of = at.field("type");
        if !type_of.is_empty() {
            found.invalid(
                &type_of,
                "must be array if x-kubernetes-list-type is specified",
            );
        }
    }
}

/// Inside an alternative, only rules about values.
fn branch_of(at: &At<'_>, owner: &At<'_>, found: &mut Found) {
    let int_or_string = owner.value["x-kubernetes-int-or-string"] == true;
    for keyword in NOT_IN_BRANCHES {
        let field = at.field(keyword);
        let of_int_or_string = *keyword == "type" && int_or_string;
        if !field.is_missing() && !of_int_or_string {
            found.forbidden(&field, "must be empty to be structural");
        }
    }
    for (_, child) in at.field("properties").entries() {
        branch_of(&child, owner, found);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for branch in at.field(keyword).items() {
            branch_of(&branch, owner, found);
        }
    }
    for keyword in ["not", "items"] {
        let child = at.field(keyword);
        if child.value.is_object() {
            branch_of(&child, owner, found);
        }
    }
}
