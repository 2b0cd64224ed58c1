//! OpenAPI documents, as far as clients need them to create, apply and check.
//!
//! Version 3 has a document per group version with the paths of its kinds. Strategic merge patches
//! are not advertised: clients then use their own tables of merge keys, which are right. Version 2
//! is only there to be found; it has no definitions.

mod schemas;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::http::answer::Answer;
use crate::http::{header_text, not_found};
use crate::kinds::Kind;
use crate::rest::Table;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The smallest document of version 2: its version, a title, no paths.
pub(super) fn v2() -> Answer {
    let mut document = vec![0x0a, 3];
    document.extend(b"2.0");
    let (title, version) = (b"Kubernetes", b"v1");
    let mut info = vec![0x0a, 10];
    info.extend(title);
    info.extend([0x12, 2]);
    info.extend(version);
    document.extend([0x12, 16]);
    document.extend(info);
    document.extend([0x42, 0]);
    Answer::bytes(PROTOBUF, document)
}

/// Where the documents lie.
pub(super) fn index(table: &Table) -> Answer {
    let mut paths = Map::new();
    for (group, version, _) in table.keys() {
        let path = path(group, version);
        if !paths.contains_key(&path) {
            let hash = hash(&build(table, group, version));
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    Answer::object(200, json!({"paths": paths}))
}

/// One document, or 304 when the client has it.
pub(super) fn document(table: &Table, parts: &[&str], request: &Request<Incoming>) -> Answer {
    let (group, version) = match parts {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return not_found(),
    };
    if !table.keys().any(|(g, v, _)| g == group && v == version) {
        return not_found();
    }
    let document = build(table, group, version);
    let tag = format!("\"{}\"", hash(&document));
    let known = header_text(request, &IF_NONE_MATCH);
    let mut answer = if known.split(',').any(|one| one.trim() == tag) {
        Answer::of(
            304,
            crate::http::answer::Payload::Bytes(String::new(), bytes::Bytes::new()),
        )
    } else {
        Answer::bytes("application/json", document)
    };
    answer.headers.push((ETAG, tag));
    answer
        .headers
        .push((CACHE_CONTROL, "public, immutable".to_owned()));
    answer
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn hash(document: &str) -> String {
    let hash = digest(&SHA256, document.as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

fn build(table: &Table, group: &str, version: &str) -> String {
    let root = path(group, version);
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let kinds = table.values();
    for kind in kinds.filter(|kind| kind.group == group && kind.version == version) {
        let place = if kind.namespaced {
            format!("/{root}/namespaces/{{namespace}}/{}", kind.plural)
        } else {
            format!("/{root}/{}", kind.plural)
        };
        paths.insert(
            place.clone(),
            json!({"post": operation(kind, "post", &["application/json"])}),
        );
        let patches = [
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ];
        let object = json!({"put": operation(kind, "put", &["application/json"]),
            "patch": operation(kind, "patch", &patches)});
        paths.insert(format!("{place}/{{name}}"), object);
        schemas::add(kind, &schema_name(kind), &mut schemas);
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1"},
        "paths": paths, "components": {"schemas": schemas}})
    .to_string()
}

fn operation(kind: &Kind, action: &str, types: &[&str]) -> Value {
    let reference = json!({"schema": {"$ref":
        format!("#/components/schemas/{}", schema_name(kind))}});
    let content: Map<_, _> = types
        .iter()
        .map(|name| ((*name).to_owned(), reference.clone()))
        .collect();
    let parameters: Vec<_> = ["dryRun", "fieldManager", "fieldValidation"]
        .into_iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
        .collect();
    json!({"parameters": parameters, "requestBody": {"content": content},
        "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
        "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(kind)})
}

pub(super) fn gvk(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn schema_name(kind: &Kind) -> String {
    let known = &kind.schema().node().name;
    if !known.is_empty() {
        return known.clone();
    }
    let mut parts: Vec<&str> = kind.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), kind.version, kind.kind)
}
