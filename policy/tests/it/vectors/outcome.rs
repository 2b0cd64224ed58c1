//! Compares JSON results.

use serde_json::Value;

/// Whether two values are the same API JSON: numbers by value, as Go prints `3.0` as `3`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

/// Compares our result with Karmada's: both refuse, or both have the same value.
pub(super) fn compare(ours: Result<Value, String>, theirs: Option<&Value>) -> Result<(), String> {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) if same(&ours, theirs) => Ok(()),
        (Err(_), None) => Ok(()),
        (ours, theirs) => Err(format!(
            "\n  ours   {}\n  theirs {}",
            show(ours),
            show(theirs.ok_or("refused".to_owned()).cloned())
        )),
    }
}

fn show(result: Result<Value, String>) -> String {
    result.map_or_else(|e| format!("error: {e}"), |v| v.to_string())
}
