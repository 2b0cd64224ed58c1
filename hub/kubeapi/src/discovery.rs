//! What the server serves: groups, versions, resources, schemas, its version and its health.
//!
//! Everything is made from the table of kinds at the moment of the question; nothing is kept.

mod openapi;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::error::Status;
use crate::http::accept::{Accept, Offer, Shape, negotiate};
use crate::http::answer::Answer;
use crate::http::path::Path;
use crate::http::query::Query;
use crate::http::{header_text, not_found};
use crate::kinds::custom::priority;
use crate::kinds::{Kind, Subresource};
use crate::rest::{Engine, Table};

/// The version of Kubernetes whose behaviour is served.
const MINOR: &str = "34";
const GIT_VERSION: &str = "v1.34.0-flotilla";

/// Kinds of one group: versions in order of preference, each with its kinds by plural.
type Groups<'a> = BTreeMap<&'a str, Vec<(&'a str, Vec<&'a Arc<Kind>>)>>;

/// Answers a path that is no resource.
pub fn answer(
    engine: &Engine,
    request: &Request<Incoming>,
    path: &Path,
    query: &Query,
    accept: &mut Accept,
) -> Result<Answer, Status> {
    let header = header_text(request, &ACCEPT);
    let method = request.method();
    let table = engine.table();
    match path {
        Path::Legacy | Path::Groups => {
            *accept = negotiate(header, Offer::Discovery)?;
            let core = *path == Path::Legacy;
            match accept.shape {
                Shape::Discovery(version) => Ok(aggregated(&table, core, version)),
                _ if core => Ok(Answer::object(200, legacy())),
                _ => Ok(Answer::object(200, group_list(&table))),
            }
        }
        Path::Group(name) => {
            *accept = negotiate(header, Offer::Plain)?;
            let groups = groups(&table);
            let Some(versions) = groups.get(name.as_str()).filter(|_| !name.is_empty()) else {
                return Ok(not_found());
            };
            only_get(method)?;
            let mut group = group(name, versions);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Ok(Answer::object(200, group))
        }
        Path::Version(group, version) => {
            if !engine.serves(group, version) {
                return Ok(not_found());
            }
            only_get(method)?;
            *accept = negotiate(header, Offer::Plain)?;
            Ok(Answer::object(200, resource_list(&table, group, version)))
        }
        Path::Other(path) => other(engine, request, path, query),
        Path::Resource(_) => Ok(not_found()),
    }
}

fn only_get(method: &Method) -> Result<(), Status> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = "the server does not allow this method on the requested resource";
    let mut status = Status::new(405, "MethodNotAllowed", text);
    status.details = Some(Default::default());
    Err(status)
}

fn other(
    engine: &Engine,
    request: &Request<Incoming>,
    path: &str,
    query: &Query,
) -> Result<Answer, Status> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Ok(Answer::object(200, root(&engine.table()))),
        ["version"] => {
            only_get(request.method())?;
            Ok(Answer::object(200, version()))
        }
        ["healthz" | "livez" | "readyz"] if query.all("verbose").next().is_some() => {
            let name = parts[0];
            Ok(Answer::text(
                200,
                format!("[+]ping ok\n{name} check passed\n"),
            ))
        }
        ["healthz" | "livez" | "readyz"] | ["healthz" | "livez" | "readyz", "ping"] => {
            Ok(Answer::text(200, "ok"))
        }
        ["openapi", "v2"] => Ok(openapi::v2()),
        ["openapi", "v3"] => Ok(openapi::index(&engine.table())),
        ["openapi", "v3", rest @ ..] => Ok(openapi::document(&engine.table(), rest, request)),
        _ => Ok(not_found()),
    }
}

fn version() -> Value {
    json!({"major": "1", "minor": MINOR, "emulationMajor": "1", "emulationMinor": MINOR,
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "33", "gitVersion": GIT_VERSION,
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "linux/amd64"})
}

fn root(table: &Table) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in groups(table).iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(
            versions
                .iter()
                .map(|(version, _)| format!("/apis/{group}/{version}")),
        );
    }
    let rest = [
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    paths.extend(rest.map(str::to_owned));
    json!({"paths": paths})
}

/// All groups of the table.
fn groups(table: &Table) -> Groups<'_> {
    let mut groups = Groups::new();
    for ((group, version, _), kind) in table {
        let versions = groups.entry(group).or_default();
        match versions.iter_mut().find(|(known, _)| *known == version) {
            Some((_, kinds)) => kinds.push(kind),
            None => versions.push((version, vec![kind])),
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|(version, _)| Reverse(priority(version)));
    }
    groups
}

fn legacy() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]})
}

fn group_list(table: &Table) -> Value {
    let groups = groups(table);
    let named = groups.iter().filter(|(name, _)| !name.is_empty());
    let list: Vec<_> = named
        .map(|(name, versions)| group(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
}

fn group(name: &str, versions: &[(&str, Vec<&Arc<Kind>>)]) -> Value {
    let version = |version: &str| {
        let group_version = format!("{name}/{version}");
        json!({"groupVersion": group_version, "version": version})
    };
    let list: Vec<_> = versions.iter().map(|(name, _)| version(name)).collect();
    let preferred = list.first().cloned().unwrap_or_default();
    json!({"name": name, "versions": list, "preferredVersion": preferred})
}

fn resource_list(table: &Table, group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    let kinds = table.values();
    for kind in kinds.filter(|kind| kind.group == group && kind.version == version) {
        list.push(resource(kind));
        list.extend(
            kind.subresources
                .iter()
                .map(|part| sub_resource(kind, part)),
        );
    }
    let mut body = json!({"kind": "APIResourceList", "resources": list});
    if group.is_empty() {
        body["groupVersion"] = json!(version);
    } else {
        body["apiVersion"] = json!("v1");
        body["groupVersion"] = json!(format!("{group}/{version}"));
    }
    body
}

fn resource(kind: &Kind) -> Value {
    let mut body = json!({"name": kind.plural, "singularName": kind.singular,
        "namespaced": kind.namespaced, "kind": kind.kind, "verbs": kind.verbs});
    for (field, list) in [
        ("shortNames", &kind.short_names),
        ("categories", &kind.categories),
    ] {
        if !list.is_empty() {
            body[field] = json!(list);
        }
    }
    if kind.verbs.iter().any(|verb| verb == "list") {
        let name = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
        let hash = digest(&SHA256, name.as_bytes());
        body["storageVersionHash"] = json!(STANDARD.encode(&hash.as_ref()[..8]));
    }
    body
}

fn sub_resource(kind: &Kind, part: &Subresource) -> Value {
    let (group, version, name) = &part.group_version_kind;
    let mut body = json!({"name": format!("{}/{}", kind.plural, part.name), "singularName": "",
        "namespaced": kind.namespaced, "kind": name, "verbs": part.verbs});
    if (group, version) != (&kind.group, &kind.version) {
        if !group.is_empty() {
            body["group"] = json!(group);
        }
        body["version"] = json!(version);
    }
    body
}

/// All of it in one document.
fn aggregated(table: &Table, core: bool, api: &str) -> Answer {
    let groups = groups(table);
    let wanted = groups.iter().filter(|(name, _)| name.is_empty() == core);
    let items: Vec<_> = wanted
        .map(|(name, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|(version, kinds)| {
                    let resources: Vec<_> = kinds.iter().map(|kind| whole(kind)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let mut metadata = Map::new();
            if !name.is_empty() {
                metadata.insert("name".into(), json!(name));
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let body = json!({"kind": "APIGroupDiscoveryList", "metadata": {}, "items": items,
        "apiVersion": format!("apidiscovery.k8s.io/{api}")});
    let mut answer = Answer::bytes("", body.to_string());
    let content_type =
        format!("application/json;g=apidiscovery.k8s.io;v={api};as=APIGroupDiscoveryList");
    answer.headers.push((CONTENT_TYPE, content_type));
    answer
}

fn whole(kind: &Kind) -> Value {
    let scope = if kind.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut body = json!({"resource": kind.plural, "scope": scope, "verbs": kind.verbs,
        "singularResource": kind.singular,
        "responseKind": {"group": "", "version": "", "kind": kind.kind}});
    if kind.custom {
        body["responseKind"] = json!({"group": kind.group, "version": kind.version,
            "kind": kind.kind});
    }
    for (field, list) in [
        ("shortNames", &kind.short_names),
        ("categories", &kind.categories),
    ] {
        if !list.is_empty() {
            body[field] = json!(list);
        }
    }
    let parts: Vec<_> = kind
        .subresources
        .iter()
        .map(|part| {
            let (group, version, name) = &part.group_version_kind;
            let own = (group, version) == (&kind.group, &kind.version) && !kind.custom;
            let (group, version) = if own {
                ("", "")
            } else {
                (&**group, &**version)
            };
            json!({"subresource": part.name, "verbs": part.verbs,
                "responseKind": {"group": group, "version": version, "kind": name}})
        })
        .collect();
    if !parts.is_empty() {
        body["subresources"] = Value::Array(parts);
    }
    body
}
