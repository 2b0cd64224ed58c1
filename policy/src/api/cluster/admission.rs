//! Defaults and rules of Cluster.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ClusterSpec, LocalSecretReference, models};
use crate::api::checks::{check_label_key, check_label_value, list_mut, spec_of};
use crate::api::names::{self, CLUSTER_NAME_CHARS_MAX};
use crate::api::{FieldError, Moment};
use crate::model::manifest;

pub(super) fn defaults(object: &mut Value, moment: Moment<'_>) {
    move_zone(object);
    if let Moment::Create(ctx) | Moment::Update(ctx) = moment {
        for taint in list_mut(object, &["spec", "taints"]) {
            if manifest::text(taint, &["effect"]) == "NoExecute" && taint.get("timeAdded").is_none()
            {
                manifest::map_mut(taint, &[]).insert("timeAdded".to_owned(), ctx.now.into());
            }
        }
    }
    let spec = manifest::get(object, &["spec", "resourceModels"]);
    let none = spec.and_then(Value::as_array).is_none_or(Vec::is_empty);
    if none && matches!(moment, Moment::Create(_)) && object["spec"].is_object() {
        let models = models::default_models();
        manifest::map_mut(object, &["spec"]).insert("resourceModels".to_owned(), models);
    }
    models::standardise(object);
}

/// The deprecated single zone becomes the list; with a list beside it, the rules refuse it.
fn move_zone(object: &mut Value) {
    let zones = manifest::get(object, &["spec", "zones"]).and_then(Value::as_array);
    let zone = manifest::text(object, &["spec", "zone"]).to_owned();
    if zones.is_none_or(Vec::is_empty) && !zone.is_empty() {
        let spec = manifest::map_mut(object, &["spec"]);
        spec.remove("zone");
        spec.insert("zones".to_owned(), json!([zone]));
    }
}

pub(super) fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec: ClusterSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    let name = manifest::name(new);
    if !names::is_cluster_name(name) {
        let message = format!(
            "\"{name}\" is no DNS label (a-z, 0-9, -) of at most {CLUSTER_NAME_CHARS_MAX} characters"
        );
        errors.push(FieldError::new("metadata.name", message));
    }
    check_endpoint(&spec.api_endpoint, &mut errors);
    check_proxy(&spec.proxy_url, &mut errors);
    check_secret("spec.secretRef", spec.secret_ref.as_ref(), &mut errors);
    let impersonator = spec.impersonator_secret_ref.as_ref();
    check_secret("spec.impersonatorSecretRef", impersonator, &mut errors);
    check_label_value("spec.provider", &spec.provider, &mut errors);
    check_label_value("spec.region", &spec.region, &mut errors);
    if !spec.zone.is_empty() {
        errors.push(FieldError::new("spec.zone", "cannot stand beside zones"));
    }
    for (i, zone) in spec.zones.iter().enumerate() {
        check_label_value(&format!("spec.zones[{i}]"), zone, &mut errors);
    }
    check_taints(&spec, &mut errors);
    models::check(&spec.resource_models, &mut errors);
    errors
}

fn check_endpoint(url: &str, errors: &mut Vec<FieldError>) {
    let mut refuse = |message: &str| {
        errors.push(FieldError::new(
            "spec.apiEndpoint",
            format!("\"{url}\" {message}"),
        ));
    };
    if url.is_empty() {
        return;
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return refuse("is no absolute URL");
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if !scheme.bytes().all(|b| b.is_ascii_alphanumeric())
        || scheme.is_empty()
        || authority.is_empty()
    {
        refuse("is no URL with a host");
    }
    for (found, what) in [
        (authority.contains('@'), "a user"),
        (tail.contains('?'), "a query"),
        (tail.contains('#'), "a fragment"),
    ] {
        if found {
            refuse(&format!("must not carry {what}"));
        }
    }
}

fn check_proxy(url: &str, errors: &mut Vec<FieldError>) {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !url.is_empty() && !matches!(scheme, "http" | "https" | "socks5") {
        let message = format!("\"{url}\" is no http, https or socks5 URL");
        errors.push(FieldError::new("spec.proxyURL", message));
    }
}

fn check_secret(field: &str, secret: Option<&LocalSecretReference>, errors: &mut Vec<FieldError>) {
    let Some(LocalSecretReference { namespace, name }) = secret else {
        return;
    };
    for (part, text) in [("namespace", namespace), ("name", name)] {
        if text.is_empty() {
            errors.push(FieldError::new(format!("{field}.{part}"), "is required"));
        }
    }
}

fn check_taints(spec: &ClusterSpec, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, taint) in spec.taints.iter().enumerate() {
        let field = format!("spec.taints[{i}]");
        check_label_key(&format!("{field}.key"), &taint.key, errors);
        check_label_value(&format!("{field}.value"), &taint.value, errors);
        if !matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") {
            let message = format!("\"{}\" is not NoSchedule or NoExecute", taint.effect);
            errors.push(FieldError::new(format!("{field}.effect"), message));
        }
        if !seen.insert((&taint.key, &taint.effect)) {
            errors.push(FieldError::new(
                field,
                "has the key and effect of another taint",
            ));
        }
    }
}

pub(super) fn warn(object: &Value) -> Vec<String> {
    let push = manifest::text(object, &["spec", "syncMode"]) == "Push";
    let warning = "spec.syncMode: Push is not supported by this version";
    push.then(|| warning.to_owned()).into_iter().collect()
}
