//! Patches that change a live object: JSON patch, merge patch and strategic merge patch.
//!
//! Pure functions over JSON values. They answer as a real server does, its oddities included, and
//! leave decoding, defaults and validation of the outcome to others.

mod json;
mod order;
mod strategic;

use serde_json::{Map, Value};

pub use json::json;
pub use strategic::strategic;

/// Merges a patch as RFC 7396 has it; `null` takes a field away.
#[must_use]
pub fn merge(live: &Value, patch: &Value) -> Value {
    let mut merged = live.clone();
    merge_into(&mut merged, patch);
    merged
}

fn merge_into(live: &mut Value, patch: &Value) {
    let (Value::Object(live), Value::Object(patch)) = (&mut *live, patch) else {
        *live = without_nulls(patch);
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            live.remove(key);
        } else if let Some(present) = live.get_mut(key).filter(|present| !present.is_null()) {
            merge_into(present, value);
        } else {
            live.insert(key.clone(), without_nulls(value));
        }
    }
}

/// A new value has no fields to take away; nulls in lists are values.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(key, value)| (key.clone(), without_nulls(value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
