//! Changes labels or annotations of an object.
//!
//! Keys are taken as they are written, and no key but the named ones is touched. (Karmada reads
//! `~0` and `~1` in a key as escapes, and drops a whole map that holds anything but text.)

use serde_json::Value;

use super::{Failure, Target};
use crate::api::LabelAnnotationOverrider;
use crate::model::manifest;
use crate::render::Reason;
use crate::render::patch::{self, PatchError};

/// Changes `metadata.<field>`.
pub(super) fn override_map(
    target: &mut Target<'_>,
    field: &str,
    overriders: &[LabelAnnotationOverrider],
) -> Result<(), Failure> {
    for (index, overrider) in overriders.iter().enumerate() {
        for (key, value) in &overrider.value {
            override_key(target, field, &overrider.operator, (key, value))
                .map_err(|reason| Failure { index, reason })?;
        }
    }
    Ok(())
}

/// `add` also overwrites; `replace` and `remove` skip an absent key.
fn override_key(
    target: &mut Target<'_>,
    field: &str,
    operator: &str,
    (key, value): (&str, &str),
) -> Result<(), Reason> {
    let present = manifest::get(target.object, &["metadata", field, key]).is_some();
    match operator {
        "add" => {
            manifest::map_mut(target.object, &["metadata", field]);
        }
        "replace" | "remove" if present => {}
        "replace" | "remove" => return Ok(()),
        _ => return Err(PatchError::Operator(operator.to_owned()).into()),
    }
    let path = format!("/metadata/{field}/{}", patch::escape(key));
    target.patch(operator, &path, Some(&Value::from(value)))
}
