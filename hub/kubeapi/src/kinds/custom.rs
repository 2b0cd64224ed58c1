//! Custom kinds: the rows that a CustomResourceDefinition stands for, and what becomes of its names.
//!
//! It decides no request: whoever holds the definitions asks again on each change.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Kind, PrinterColumn, ScalePaths, Subresource};
use crate::error::Status;
use crate::schema::structural;

/// Verbs in the order in which a real server lists them for custom resources.
const VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// One row per served version.
pub fn custom(crd: &Value) -> Result<Vec<Arc<Kind>>, Status> {
    let name = text(&crd["metadata"], "name");
    let versions = crd["spec"]["versions"].as_array();
    let Some(versions) = versions else {
        let why = format!("definition {name:?} has no versions");
        return Err(Status::internal(why));
    };
    let served = versions.iter().filter(|version| version["served"] == true);
    let rows = served.map(|version| Arc::new(row(crd, versions, version)));
    Ok(rows.collect())
}

fn row(crd: &Value, versions: &[Value], version: &Value) -> Kind {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let (schemas, root) = structural::build(&version["schema"]["openAPIV3Schema"]);
    let group = text(spec, "group");
    let kind = text(names, "kind");
    let verbs = VERBS.iter().map(|verb| (*verb).to_owned());
    let own = (group.clone(), text(version, "name"), kind.clone());
    Kind {
        group,
        version: text(version, "name"),
        list_kind: match text(names, "listKind").as_str() {
            "" => format!("{kind}List"),
            said => said.to_owned(),
        },
        plural: text(names, "plural"),
        singular: match text(names, "singular").as_str() {
            "" => kind.to_lowercase(),
            said => said.to_owned(),
        },
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        verbs: verbs.collect(),
        subresources: subresources(&version["subresources"], &own),
        has_generation: true,
        custom: true,
        schemas: Arc::new(schemas),
        root,
        columns: columns(&version["additionalPrinterColumns"]),
        warning: deprecation(spec, versions, version),
        selectable: selectable(&version["selectableFields"]),
        kind,
    }
}

fn subresources(parts: &Value, own: &(String, String, String)) -> Vec<Subresource> {
    let verbs = || ["get", "patch", "update"].map(str::to_owned).to_vec();
    let mut made = Vec::new();
    if let Value::Object(scale) = &parts["scale"] {
        let path = |key: &str| {
            let path = scale.get(key).and_then(Value::as_str).unwrap_or_default();
            path.trim_start_matches('.').to_owned()
        };
        made.push(Subresource {
            name: "scale".to_owned(),
            group_version_kind: ("autoscaling".into(), "v1".into(), "Scale".into()),
            verbs: verbs(),
            scale: Some(ScalePaths {
                spec: path("specReplicasPath"),
                status: path("statusReplicasPath"),
                selector: path("labelSelectorPath"),
            }),
        });
    }
    if parts["status"].is_object() {
        made.push(Subresource {
            name: "status".to_owned(),
            group_version_kind: own.clone(),
            verbs: verbs(),
            scale: None,
        });
    }
    made
}

fn columns(said: &Value) -> Vec<PrinterColumn> {
    let said = said.as_array().into_iter().flatten();
    said.map(|column| PrinterColumn {
        name: text(column, "name"),
        ty: text(column, "type"),
        format: text(column, "format"),
        description: text(column, "description"),
        priority: column["priority"].as_i64().unwrap_or_default(),
        path: text(column, "jsonPath"),
    })
    .collect()
}

fn selectable(said: &Value) -> Vec<(String, String)> {
    let said = said.as_array().into_iter().flatten();
    said.map(|field| text(field, "jsonPath").trim_start_matches('.').to_owned())
        .map(|path| (path.clone(), path))
        .collect()
}

/// The warning of a deprecated version; it names a better one if there is one.
fn deprecation(spec: &Value, versions: &[Value], version: &Value) -> String {
    if version["deprecated"] != true {
        return String::new();
    }
    let said = text(version, "deprecationWarning");
    if !said.is_empty() {
        return said;
    }
    let (group, kind) = (text(spec, "group"), text(&spec["names"], "kind"));
    let name = |version: &Value| format!("{group}/{} {kind}", text(version, "name"));
    let better = versions
        .iter()
        .filter(|other| other["served"] == true && other["deprecated"] != true)
        .max_by_key(|other| priority(&text(other, "name")))
        .filter(|other| priority(&text(other, "name")) > priority(&text(version, "name")));
    match better {
        Some(better) => format!("{} is deprecated; use {}", name(version), name(better)),
        None => format!("{} is deprecated", name(version)),
    }
}

/// Order of versions: stable above beta above alpha, later numbers first; others last.
#[must_use]
pub fn priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let split = |text: &str, mark: &str| {
        let (major, minor) = text.split_once(mark)?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    if let Ok(major) = rest.parse() {
        (3, major, 0)
    } else if let Some((major, minor)) = split(rest, "beta") {
        (2, major, minor)
    } else if let Some((major, minor)) = split(rest, "alpha") {
        (1, major, minor)
    } else {
        (0, 0, 0)
    }
}

/// Warnings about a definition: rules that this server does not run yet.
#[must_use]
pub fn warnings(crd: &Value) -> Vec<String> {
    fn has_rules(value: &Value) -> bool {
        match value {
            Value::Object(object) => object.iter().any(|(key, value)| {
                let rules = key == "x-kubernetes-validations" && value.is_array();
                rules || has_rules(value)
            }),
            Value::Array(items) => items.iter().any(has_rules),
            _ => false,
        }
    }
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let mut with_rules = versions.filter(|version| has_rules(&version["schema"]));
    if with_rules.next().is_none() {
        return Vec::new();
    }
    vec!["x-kubernetes-validations are stored but not evaluated by this server yet".to_owned()]
}

/// The status of a definition once its names were looked at: `others` are the definitions of the
/// same group that are there already.
#[must_use]
pub fn accept_names(crd: &Value, others: &[&Value], now: &str) -> Value {
    let (accepted, conflict) = compare_names(crd, others);
    let mut status = crd["status"].clone();
    status["acceptedNames"] = Value::Object(accepted);
    let mut list = match &crd["status"]["conditions"] {
        Value::Array(list) => list.clone(),
        _ => Vec::new(),
    };
    let (names_accepted, reason, message) = match &conflict {
        None => ("True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => ("False", *reason, message.as_str()),
    };
    put(
        &mut list,
        "NamesAccepted",
        (names_accepted, reason, message),
        now,
    );
    match (&conflict, is_established(crd)) {
        (None, false) => {
            let why = "the initial names have been accepted";
            put(
                &mut list,
                "Established",
                ("True", "InitialNamesAccepted", why),
                now,
            );
        }
        (Some(_), false) => {
            let why = "not all names are accepted";
            put(&mut list, "Established", ("False", "NotAccepted", why), now);
        }
        (_, true) => {}
    }
    status["conditions"] = Value::Array(list);
    status
}

/// A reason and the text for people.
type Conflict = (&'static str, String);

/// The names that nobody else has, and the last conflict.
fn compare_names(crd: &Value, others: &[&Value]) -> (Map<String, Value>, Option<Conflict>) {
    let names = &crd["spec"]["names"];
    let own = text(&crd["metadata"], "name");
    let others = others
        .iter()
        .filter(|other| text(&other["metadata"], "name") != own);
    let taken: Vec<&Value> = others
        .map(|other| &other["status"]["acceptedNames"])
        .collect();
    let resource = |name: &str| {
        taken.iter().any(|names| {
            let listed = texts(&names["shortNames"]).iter().any(|one| one == name);
            names["plural"] == name || names["singular"] == name || listed
        })
    };
    let kind = |name: &str| {
        let mut taken = taken.iter();
        taken.any(|names| names["kind"] == name || names["listKind"] == name)
    };
    let mut accepted = Map::from_iter([("kind".into(), json!("")), ("plural".into(), json!(""))]);
    let mut conflict = None;
    for (field, reason, of_kind) in [
        ("plural", "PluralConflict", false),
        ("singular", "SingularConflict", false),
        ("shortNames", "ShortNamesConflict", false),
        ("kind", "KindConflict", true),
        ("listKind", "ListKindConflict", true),
    ] {
        let value = &names[field];
        let said = match value {
            Value::String(text) => vec![text.clone()],
            _ => texts(value),
        };
        let mut said = said.iter();
        match said.find(|name| if of_kind { kind(name) } else { resource(name) }) {
            Some(name) => conflict = Some((reason, format!("{name:?} is already in use"))),
            None if !value.is_null() => {
                accepted.insert(field.to_owned(), value.clone());
            }
            None => {}
        }
    }
    if names["categories"].is_array() {
        accepted.insert("categories".to_owned(), names["categories"].clone());
    }
    (accepted, conflict)
}

/// The definition is established: its kinds are served.
#[must_use]
pub fn is_established(crd: &Value) -> bool {
    let found = conditions(&crd["status"]["conditions"], "Established");
    found.is_some_and(|condition| condition["status"] == "True")
}

fn conditions<'a>(list: &'a Value, ty: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|one| one["type"] == ty)
}

/// Sets a condition; its time moves only when its status does.
fn put(list: &mut Vec<Value>, ty: &str, (status, reason, message): (&str, &str, &str), now: &str) {
    let mut made = json!({
        "type": ty, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now,
    });
    match list.iter_mut().find(|one| one["type"] == ty) {
        Some(present) => {
            if present["status"] == status {
                made["lastTransitionTime"] = present["lastTransitionTime"].clone();
            }
            *present = made;
        }
        None => list.push(made),
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
