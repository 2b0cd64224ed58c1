//! Reading typed fields out of manifests: an absent field and null are the zero value, another type
//! is an error that names the path.

use serde_json::Value;

use super::InterpretError;

/// The object's status; none when absent.
pub(super) fn status(object: &Value) -> Result<Option<&Value>, InterpretError> {
    match object.get("status") {
        None | Some(Value::Null) => Ok(None),
        Some(status @ Value::Object(_)) => Ok(Some(status)),
        Some(_) => Err(InterpretError::Type {
            path: "status".to_owned(),
            want: "an object",
        }),
    }
}
