//! The table of built-in kinds and the facts in their schemas.

use std::sync::Arc;

use flotilla_kubeapi::kinds::{Kind, Profile, builtin};
use flotilla_kubeapi::schema::{ListType, Schema, Type};

/// The row of a built-in kind.
pub(crate) fn kind(group: &str, name: &str) -> Arc<Kind> {
    let rows = builtin(Profile::Cluster);
    let found = rows
        .into_iter()
        .find(|row| row.group == group && row.kind == name);
    assert!(found.is_some(), "no kind {name} in {group:?}");
    found.expect("just asserted")
}

fn at<'a>(kind: &'a Kind, path: &str) -> Schema<'a> {
    path.split('.').fold(kind.schema(), |schema, step| {
        let next = match step {
            "[]" => schema.items(),
            field => schema.field(field),
        };
        assert!(next.is_some(), "{path}: no {step}");
        next.expect("just asserted")
    })
}

/// One line for what merging depends on.
fn facts(schema: Schema<'_>) -> String {
    let node = schema.node();
    let mut out = format!("{:?}", node.ty);
    match &node.list {
        ListType::Set => out += " set",
        ListType::Map(keys) => out += &format!(" map({})", keys.join(",")),
        ListType::Atomic => {}
    }
    if node.atomic {
        out += " atomic";
    }
    if node.patch.merge {
        out += &format!(" merge({})", node.patch.merge_key.as_deref().unwrap_or(""));
    }
    if node.patch.retain_keys {
        out += " retain";
    }
    out
}

#[test]
fn facts_of_fields() {
    let check = |group: &str, name: &str, path: &str, expected: &str| {
        let kind = kind(group, name);
        assert_eq!(facts(at(&kind, path)), expected, "{name} {path}");
    };
    let pod = "spec.template.spec";
    for (path, expected) in [
        ("metadata.finalizers", "List set merge()"),
        ("metadata.ownerReferences", "List map(uid) merge(uid)"),
        ("metadata.labels", "Map"),
        ("spec.strategy", "Object retain"),
        ("spec.selector", "Object atomic"),
        ("status.conditions", "List map(type) merge(type)"),
    ] {
        check("apps", "Deployment", path, expected);
    }
    for (path, expected) in [
        ("containers", "List map(name) merge(name)"),
        (
            "containers.[].ports",
            "List map(containerPort,protocol) merge(containerPort)",
        ),
        ("containers.[].command", "List"),
        ("containers.[].resources.claims", "List map(name)"),
        ("containers.[].resources.limits.cpu", "Quantity"),
        ("containers.[].ports.[].containerPort", "Integer"),
        ("containers.[].livenessProbe.httpGet.port", "IntOrString"),
        ("volumes", "List map(name) merge(name) retain"),
        ("nodeSelector", "Map atomic"),
        (
            "topologySpreadConstraints",
            "List map(topologyKey,whenUnsatisfiable) merge(topologyKey)",
        ),
    ] {
        check("apps", "Deployment", &format!("{pod}.{path}"), expected);
    }
    check(
        "",
        "Service",
        "spec.ports",
        "List map(port,protocol) merge(port)",
    );
    check("", "Service", "spec.selector", "Map atomic");
    check("", "PersistentVolume", "spec.claimRef", "Object");
    check("batch", "Job", "status.conditions", "List merge(type)");
    check("", "Node", "spec.podCIDRs", "List set merge()");
}

#[test]
fn rows_are_whole() {
    let rows = builtin(Profile::Templates);
    assert_eq!(rows.len(), 55);
    for row in &rows {
        assert_eq!(row.schema().node().ty, Type::Object, "{}", row.kind);
        let known = row.schema().field("metadata").is_some();
        assert!(known, "{} has metadata", row.kind);
        assert!(row.verbs.contains(&"create".to_owned()), "{}", row.kind);
    }
    let deployment = kind("apps", "Deployment");
    assert_eq!(deployment.short_names, ["deploy"]);
    assert_eq!(deployment.categories, ["all"]);
    let subresources: Vec<_> = deployment.subresources.iter().map(|s| &*s.name).collect();
    assert_eq!(subresources, ["scale", "status"]);
    assert!(
        !kind("", "Namespace")
            .verbs
            .contains(&"deletecollection".to_owned())
    );
    assert_eq!(kind("", "Secret").selectable.len(), 1);
}
