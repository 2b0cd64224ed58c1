//! Rules of CustomResourceDefinitions: names, versions, subresources, and well-formed schemas.

mod schemas;

use serde_json::Value;

use super::cursor::{At, Found};
use super::names;

/// Checks a definition.
pub(super) fn check(root: &At<'_>, found: &mut Found) {
    let spec = root.field("spec");
    group(root, &spec.field("group"), found);
    let plural = spec.field("names.plural");
    let (group, name) = (spec.field("group").text(), root.field("metadata.name"));
    if name.text() != format!("{}.{group}", plural.text()) {
        found.invalid(&name, "must be spec.names.plural+\".\"+spec.group");
    }
    if spec.field("scope").is_empty() {
        found.required(&spec.field("scope"), "");
    } else {
        found.one_of(&spec.field("scope"), &["Cluster", "Namespaced"]);
    }
    for field in ["plural", "singular", "kind", "listKind"] {
        let field = spec.field("names").field(field);
        if field.is_empty() {
            found.required(&field, "");
        } else {
            found.check(&field, names::service_label(&field.text().to_lowercase()));
        }
    }
    versions(root, &spec, found);
    conversion(&spec.field("conversion"), found);
    let preserve = spec.field("preserveUnknownFields");
    if *preserve.value == Value::Bool(true) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                   spec.versions[*].schema instead";
        found.invalid(&preserve, why);
    }
}

fn group(root: &At<'_>, group: &At<'_>, found: &mut Found) {
    let text = group.text();
    if text.is_empty() {
        found.required(group, "");
    } else if let Some(why) = names::subdomain(text) {
        found.invalid(group, &why);
    } else if !text.contains('.') {
        found.invalid(group, "should be a domain with at least one dot");
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| text == *domain || text.ends_with(&format!(".{domain}")));
    let annotation = "api-approved.kubernetes.io";
    let annotations = root.field("metadata.annotations");
    if protected && annotations.value.get(annotation).is_none() {
        let at = annotations.said_at(format!("metadata.annotations[{annotation}]"));
        let why = format!("protected groups must have approval annotation \"{annotation}\"");
        found.required(&at, &why);
    }
}

fn versions(root: &At<'_>, spec: &At<'_>, found: &mut Found) {
    let all = spec.field("versions");
    let items = all.items();
    let mut seen = Vec::new();
    let mut stored = Vec::new();
    for (at, version) in items.iter().enumerate() {
        let name = version.field("name");
        if let Some(why) = names::service_label(name.text()) {
            found.invalid(&name, &why);
            if at == 0 {
                // The first version has an older name too.
                found.invalid(&name.said_at("spec.version"), &why);
            }
        }
        if seen.contains(&name.text()) {
            found.invalid(&all, "must contain unique version names");
        }
        seen.push(name.text());
        if version.value["storage"] == true {
            stored.push(name.text());
        }
    }
    let kept = root.field("status.storedVersions");
    match stored.as_slice() {
        [one] => {
            let has = kept.items().iter().any(|name| name.text() == *one);
            if !has && !kept.is_missing() {
                let why = format!("must have the storage version {one}");
                found.invalid(&kept, &why);
            }
        }
        more => {
            found.invalid(
                &all,
                "must have exactly one version marked as storage version",
            );
            let why = match more.last() {
                None => "must have at least one stored version".to_owned(),
                Some(last) => format!("must have the storage version {last}"),
            };
            if !kept.is_missing() {
                found.invalid(&kept, &why);
            }
        }
    }
    parts(&items, found);
}

/// Schemas and subresources; what all versions share is said of the definition as a whole.
fn parts(items: &[At<'_>], found: &mut Found) {
    let same = |field: &str| {
        let first = items.first().map(|version| version.field(field).value);
        items
            .iter()
            .all(|version| Some(version.field(field).value) == first)
    };
    let (one_schema, one_parts) = (same("schema"), same("subresources"));
    for (at, version) in items.iter().enumerate() {
        let schema = version.field("schema.openAPIV3Schema");
        if schema.is_missing() {
            found.required(&schema, "");
        } else if !one_schema {
            schemas::check(&schema, found);
        } else if at == 0 {
            schemas::check(&schema.said_at("spec.validation.openAPIV3Schema"), found);
        }
        let scale = version.field("subresources.scale");
        if !scale.is_missing() && (!one_parts || at == 0) {
            let scale = if one_parts {
                scale.said_at("spec.subresources.scale")
            } else {
                scale
            };
            scale_paths(&scale, found);
        }
    }
}

fn scale_paths(scale: &At<'_>, found: &mut Found) {
    for (field, under) in [
        ("specReplicasPath", &[".spec"][..]),
        ("statusReplicasPath", &[".status"][..]),
        ("labelSelectorPath", &[".spec", ".status"][..]),
    ] {
        let path = scale.field(field);
        let text = path.text();
        if text.is_empty() {
            if field != "labelSelectorPath" {
                found.required(&path, "");
            }
        } else if !text.starts_with('.') || text.contains(['[', '*', '@']) {
            found.invalid(&path, "must be a simple json path starting with .");
        } else if !under
            .iter()
            .any(|prefix| text.starts_with(&format!("{prefix}.")))
        {
            let why = format!("should be a json path under {}", under.join(" or "));
            found.invalid(&path, &why);
        }
    }
}

fn conversion(at: &At<'_>, found: &mut Found) {
    let strategy = at.field("strategy");
    match strategy.text() {
        "" => found.required(&strategy, ""),
        "None" => {}
        "Webhook" => {
            let webhook = at.field("webhook");
            if webhook.field("conversionReviewVersions").is_empty() {
                found.required(&at.field("conversionReviewVersions"), "");
            }
            if webhook.field("clientConfig").is_missing() {
                let why = "required when strategy is set to Webhook";
                found.required(&at.field("webhookClientConfig"), why);
            }
        }
        _ => found.one_of(&strategy, &["None", "Webhook"]),
    }
}
