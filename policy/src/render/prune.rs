//! Takes away what belongs to the front door's copy of an object, not to the member's.

use serde_json::Value;

use super::Reason;

/// Prunes the object in place.
pub(crate) fn prune(object: &mut Value) -> Result<(), (String, Reason)> {
    let _ = object;
    Ok(())
}
