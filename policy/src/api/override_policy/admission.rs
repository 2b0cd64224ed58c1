//! Defaults and rules of OverridePolicy and ClusterOverridePolicy.
//!
//! Unlike Karmada's, the deprecated overriders outside rules are checked as those in rules are, and
//! none is ignored because rules stand beside it. Paths of plaintext overriders are not looked at:
//! whether they fit shows when the object is rendered.

use serde_json::Value;

use super::{FieldOverrider, FieldPatchOperation, OverrideSpec, Overriders};
use crate::api::checks::{
    check_affinity, check_labels, check_pointer, check_selectors, fill_selector_namespaces, spec_of,
};
use crate::api::{FieldError, Moment, names, support};
use crate::model::manifest;

pub(super) fn namespaced_defaults(object: &mut Value, _moment: Moment<'_>) {
    fill_selector_namespaces(object);
}

pub(super) fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec: OverrideSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    check_selectors(
        &spec.resource_selectors,
        manifest::namespace(new),
        &mut errors,
    );
    if !spec.override_rules.is_empty() {
        check_alone(&spec, &mut errors);
    }
    if let Some(target) = &spec.target_cluster {
        check_affinity("spec.targetCluster", target, &mut errors);
    }
    check_overriders("spec.overriders", &spec.overriders, &mut errors);
    for (i, rule) in spec.override_rules.iter().enumerate() {
        let field = format!("spec.overrideRules[{i}]");
        if let Some(target) = &rule.target_cluster {
            check_affinity(&format!("{field}.targetCluster"), target, &mut errors);
        }
        check_overriders(
            &format!("{field}.overriders"),
            &rule.overriders,
            &mut errors,
        );
    }
    errors
}

fn check_alone(spec: &OverrideSpec, errors: &mut Vec<FieldError>) {
    for (asked, field) in [
        (spec.target_cluster.is_some(), "spec.targetCluster"),
        (!spec.overriders.is_empty(), "spec.overriders"),
    ] {
        if asked {
            errors.push(FieldError::new(field, "cannot stand beside overrideRules"));
        }
    }
}

fn check_overriders(field: &str, overriders: &Overriders, errors: &mut Vec<FieldError>) {
    for (i, image) in overriders.image_overrider.iter().enumerate() {
        if let Some(predicate) = &image.predicate {
            let field = format!("{field}.imageOverrider[{i}].predicate.path");
            check_pointer(&field, &predicate.path, errors);
        }
    }
    for (i, labels) in overriders.labels_overrider.iter().enumerate() {
        check_labels(
            &format!("{field}.labelsOverrider[{i}].value"),
            &labels.value,
            errors,
        );
    }
    for (i, annotations) in overriders.annotations_overrider.iter().enumerate() {
        for key in annotations
            .value
            .keys()
            .filter(|k| !names::is_annotation_key(k))
        {
            let field = format!("{field}.annotationsOverrider[{i}].value");
            errors.push(FieldError::new(
                field,
                format!("\"{key}\" is no annotation key"),
            ));
        }
    }
    for (i, patch) in overriders.field_overrider.iter().enumerate() {
        check_field_overrider(&format!("{field}.fieldOverrider[{i}]"), patch, errors);
    }
}

fn check_field_overrider(field: &str, overrider: &FieldOverrider, errors: &mut Vec<FieldError>) {
    check_pointer(&format!("{field}.fieldPath"), &overrider.field_path, errors);
    if !overrider.json.is_empty() && !overrider.yaml.is_empty() {
        let field = format!("{field}.yaml");
        errors.push(FieldError::new(
            field,
            "cannot stand beside json: a text is one of the two",
        ));
    }
    for (format, operations) in [("json", &overrider.json), ("yaml", &overrider.yaml)] {
        for (i, operation) in operations.iter().enumerate() {
            check_operation(&format!("{field}.{format}[{i}]"), operation, errors);
        }
    }
}

fn check_operation(field: &str, operation: &FieldPatchOperation, errors: &mut Vec<FieldError>) {
    check_pointer(&format!("{field}.subPath"), &operation.sub_path, errors);
    let message = match (operation.operator.as_str(), &operation.value) {
        ("remove", Some(_)) => "has no meaning with remove",
        ("add" | "replace", None) => "is required with add and replace",
        _ => return,
    };
    errors.push(FieldError::new(format!("{field}.value"), message));
}

pub(super) fn warn(object: &Value) -> Vec<String> {
    let Ok(spec) = spec_of::<OverrideSpec>(object) else {
        return Vec::new();
    };
    let mut warnings: Vec<String> = support::unsupported_overrides(&spec)
        .iter()
        .map(ToString::to_string)
        .collect();
    for (deprecated, field) in [
        (spec.target_cluster.is_some(), "targetCluster"),
        (!spec.overriders.is_empty(), "overriders"),
    ] {
        if deprecated {
            warnings.push(format!("spec.{field}: is deprecated, use overrideRules"));
        }
    }
    warnings
}
