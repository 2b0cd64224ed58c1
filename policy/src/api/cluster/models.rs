//! Grades of nodes: their defaults, standard form and rules.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ResourceModel;
use crate::api::FieldError;
use crate::api::checks::list_mut;
use crate::model::manifest;
use crate::model::quantity::Quantity;

/// Upper bound of the last grade: no bound.
const UNBOUNDED: &str = "9223372036854775807";
/// Lower bounds of the default grades.
const CPU_CORES: [&str; 9] = ["0", "1", "2", "4", "8", "16", "32", "64", "128"];
const MEMORY: [&str; 9] = [
    "0", "4Gi", "16Gi", "32Gi", "64Gi", "128Gi", "256Gi", "512Gi", "1Ti",
];

/// What a cluster gets that names no grades.
pub(super) fn default_models() -> Value {
    let range = |name: &str, bounds: &[&str], grade: usize| {
        let max = bounds.get(grade + 1).copied().unwrap_or(UNBOUNDED);
        json!({ "name": name, "min": bounds[grade], "max": max })
    };
    (0..CPU_CORES.len())
        .map(|grade| {
            let ranges = [
                range("cpu", &CPU_CORES, grade),
                range("memory", &MEMORY, grade),
            ];
            json!({ "grade": grade, "ranges": ranges })
        })
        .collect()
}

/// Grades in order, the first from 0, the last without a bound.
pub(super) fn standardise(object: &mut Value) {
    let models = list_mut(object, &["spec", "resourceModels"]);
    models.sort_by_key(|model| manifest::int(model, &["grade"]));
    if let Some(first) = models.first_mut() {
        set_bounds(first, "min", "0");
    }
    if let Some(last) = models.last_mut() {
        set_bounds(last, "max", UNBOUNDED);
    }
}

fn set_bounds(model: &mut Value, bound: &str, quantity: &str) {
    for range in list_mut(model, &["ranges"]) {
        if let Some(range) = range.as_object_mut() {
            range.insert(bound.to_owned(), quantity.into());
        }
    }
}

/// Rules over grades in standard form.
pub(super) fn check(models: &[ResourceModel], errors: &mut Vec<FieldError>) {
    let mut grades = BTreeSet::new();
    for (i, model) in models.iter().enumerate() {
        let field = format!("spec.resourceModels[{i}]");
        if !grades.insert(model.grade) {
            let message = format!("{} is the grade of another model", model.grade);
            errors.push(FieldError::new(format!("{field}.grade"), message));
        }
        for (j, range) in model.ranges.iter().enumerate() {
            let field = format!("{field}.ranges[{j}]");
            let (min, max) = (Quantity::parse(&range.min), Quantity::parse(&range.max));
            for (name, bound, text) in [("min", min, &range.min), ("max", max, &range.max)] {
                if bound.is_err() {
                    let message = format!("\"{text}\" is no quantity");
                    errors.push(FieldError::new(format!("{field}.{name}"), message));
                }
            }
            if min.ok().zip(max.ok()).is_some_and(|(min, max)| min >= max) {
                errors.push(FieldError::new(
                    format!("{field}.max"),
                    "must be greater than min",
                ));
            }
        }
        if let Some(previous) = i.checked_sub(1).and_then(|i| models.get(i)) {
            check_follows(&field, previous, model, errors);
        }
    }
}

/// A grade has the resources of the one before, and begins where that one ends.
fn check_follows(
    field: &str,
    previous: &ResourceModel,
    model: &ResourceModel,
    errors: &mut Vec<FieldError>,
) {
    let field = format!("{field}.ranges");
    let names = |model: &ResourceModel| -> Vec<String> {
        model
            .ranges
            .iter()
            .map(|range| range.name.clone())
            .collect()
    };
    if names(previous) != names(model) {
        let message = "must name the same resources as the grade before, in the same order";
        errors.push(FieldError::new(field, message));
        return;
    }
    for (j, (before, range)) in previous.ranges.iter().zip(&model.ranges).enumerate() {
        if Quantity::parse(&before.max).ok() != Quantity::parse(&range.min).ok() {
            let message = format!("must be \"{}\", where the grade before ends", before.max);
            errors.push(FieldError::new(format!("{field}[{j}].min"), message));
        }
    }
}
