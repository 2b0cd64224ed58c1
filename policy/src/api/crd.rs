//! CustomResourceDefinitions, generated from the list of kinds.

use serde_json::{Value, json};

use super::registry::{KINDS, KindInfo, PrinterColumn};

/// The CustomResourceDefinition of every kind, in the order of the list.
#[must_use]
pub fn crds() -> Vec<Value> {
    KINDS.iter().map(|info| crd(info)).collect()
}

fn crd(info: &KindInfo) -> Value {
    let mut version = json!({
        "name": info.version,
        "served": true,
        "storage": true,
        "schema": { "openAPIV3Schema": (info.schema)() },
    });
    if info.status_subresource {
        version["subresources"] = json!({ "status": {} });
    }
    if !info.printer_columns.is_empty() {
        version["additionalPrinterColumns"] = info.printer_columns.iter().map(column).collect();
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": info.crd_name() },
        "spec": {
            "group": info.group,
            "names": names(info),
            "scope": if info.namespaced { "Namespaced" } else { "Cluster" },
            "versions": [version],
        },
    })
}

fn names(info: &KindInfo) -> Value {
    let mut names = json!({
        "kind": info.kind,
        "listKind": format!("{}List", info.kind),
        "plural": info.plural,
        "singular": info.singular,
    });
    if !info.short_names.is_empty() {
        names["shortNames"] = json!(info.short_names);
    }
    if !info.categories.is_empty() {
        names["categories"] = json!(info.categories);
    }
    names
}

fn column(column: &PrinterColumn) -> Value {
    let mut out = json!({
        "name": column.name,
        "type": column.type_,
        "jsonPath": column.json_path,
    });
    if column.wide {
        out["priority"] = json!(1);
    }
    out
}
