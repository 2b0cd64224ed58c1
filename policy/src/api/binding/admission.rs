//! Defaults and rules of ResourceBinding and ClusterResourceBinding.

use std::collections::BTreeSet;

use serde_json::Value;

use super::BindingSpec;
use crate::api::admission::set_permanent_id;
use crate::api::checks::spec_of;
use crate::api::{FieldError, Moment};
use crate::model::{manifest, marks};

pub(super) fn namespaced_defaults(object: &mut Value, moment: Moment<'_>) {
    fill_permanent_id(object, moment, marks::BINDING_ID);
}

pub(super) fn cluster_defaults(object: &mut Value, moment: Moment<'_>) {
    fill_permanent_id(object, moment, marks::CLUSTER_BINDING_ID);
}

/// The hub names a binding's id when it creates one; only others get theirs here.
fn fill_permanent_id(object: &mut Value, moment: Moment<'_>, label: &str) {
    let id = manifest::labels(object).remove(label);
    if id.is_none_or(|id| id.is_empty()) {
        set_permanent_id(object, moment, label);
    }
}

pub(super) fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec: BindingSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (i, component) in spec.components.iter().enumerate() {
        if !names.insert(&component.name) {
            let field = format!("spec.components[{i}].name");
            let message = format!("\"{}\" stands here twice", component.name);
            errors.push(FieldError::new(field, message));
        }
    }
    let dependencies = manifest::annotations(new).remove(marks::DEPENDENCIES);
    let is_list = |text: String| {
        serde_json::from_str(&text).is_ok_and(|value: Value| value.is_array() || value.is_null())
    };
    if dependencies.is_some_and(|text| !is_list(text)) {
        let field = format!("metadata.annotations[{}]", marks::DEPENDENCIES);
        errors.push(FieldError::new(field, "is no JSON list"));
    }
    errors
}
