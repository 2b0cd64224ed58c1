//! References to objects, and the enums of a row and a status.

use flotilla_policy::api::ObjectReference;

use crate::v1;

impl From<&ObjectReference> for v1::ObjectRef {
    fn from(own: &ObjectReference) -> Self {
        Self {
            api_version: own.api_version.clone(),
            kind: own.kind.clone(),
            namespace: own.namespace.clone(),
            name: own.name.clone(),
        }
    }
}

impl From<&v1::ObjectRef> for ObjectReference {
    fn from(wire: &v1::ObjectRef) -> Self {
        Self {
            api_version: wire.api_version.clone(),
            kind: wire.kind.clone(),
            namespace: wire.namespace.clone(),
            name: wire.name.clone(),
            ..Self::default()
        }
    }
}

/// A policy's `conflictResolution`; anything but Overwrite is Abort.
#[must_use]
pub fn conflict_from_policy(text: &str) -> v1::Conflict {
    if text.eq_ignore_ascii_case("overwrite") {
        v1::Conflict::Overwrite
    } else {
        v1::Conflict::Abort
    }
}

/// Karmada's word for a health on the wire.
#[must_use]
pub fn health_word(health: v1::HealthState) -> &'static str {
    match health {
        v1::HealthState::Healthy => "Healthy",
        v1::HealthState::Unhealthy => "Unhealthy",
        v1::HealthState::Unknown | v1::HealthState::Unspecified => "Unknown",
    }
}
