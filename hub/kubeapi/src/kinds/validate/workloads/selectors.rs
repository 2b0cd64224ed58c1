//! Label selectors as objects: their form, and whether they select labels.

use serde_json::Value;

use crate::kinds::validate::cursor::{At, Found};
use crate::kinds::validate::{meta, names};

/// Checks the form.
pub(in crate::kinds::validate) fn check(at: &At<'_>, found: &mut Found) {
    meta::labels(&at.field("matchLabels"), found);
    for expression in at.field("matchExpressions").items() {
        let (operator, values) = (expression.field("operator"), expression.field("values"));
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                found.required(&values, why);
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                found.forbidden(&values, why);
            }
            "Exists" | "DoesNotExist" => {}
            _ => found.invalid(&operator, "not a valid selector operator"),
        }
        let key = expression.field("key");
        found.check(&key, names::qualified(key.text()));
        for value in values.items() {
            found.check(&value, names::label_value(value.text()));
        }
    }
}

/// It selects everything, or is missing.
pub(in crate::kinds::validate) fn is_empty(selector: &Value) -> bool {
    let nothing = |field: &str| match &selector[field] {
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => true,
    };
    nothing("matchLabels") && nothing("matchExpressions")
}

/// Whether it selects these labels; none = it cannot be read. A missing one selects nothing.
pub(in crate::kinds::validate) fn matches(selector: &Value, labels: &Value) -> Option<bool> {
    if selector.is_null() {
        return Some(false);
    }
    let mut all = true;
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        all &= labels.get(key) == Some(value);
    }
    let expressions = selector["matchExpressions"].as_array();
    for expression in expressions.into_iter().flatten() {
        let label = labels.get(expression["key"].as_str().unwrap_or_default());
        let values = expression["values"].as_array();
        let listed = || label.is_some_and(|label| values.is_some_and(|all| all.contains(label)));
        let has_values = values.is_some_and(|values| !values.is_empty());
        all &= match expression["operator"].as_str() {
            Some("In") if has_values => listed(),
            Some("NotIn") if has_values => !listed(),
            Some("Exists") => label.is_some(),
            Some("DoesNotExist") => label.is_none(),
            _ => return None,
        };
    }
    Some(all)
}
