//! The bytes of a template that agents get, and whose digest names it.
//!
//! Holds what can change a manifest and nothing else: no status, nothing the front door's API server
//! keeps for itself, no claim marks. So neither a status written back nor a claim sends a template
//! again.

use serde_json::Value;

use crate::model::{manifest, marks};

/// Metadata that an API server gives, or that is about its own copy of an object.
pub(crate) const DOOR_METADATA: [&str; 10] = [
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
    "ownerReferences",
    "finalizers",
];

/// Karmada sends these to members; there they say nothing, and here they are written after the
/// first delivery, so that every new template would be delivered twice.
const CLAIMS: [(&str, &[&str]); 2] = [
    ("labels", &[marks::POLICY_ID, marks::CLUSTER_POLICY_ID]),
    (
        "annotations",
        &[
            marks::POLICY_NAMESPACE,
            marks::POLICY_NAME,
            marks::CLUSTER_POLICY_NAME,
        ],
    ),
];

/// The body of a template: JSON without spaces, keys sorted.
#[must_use]
pub fn to_template_body(template: &Value) -> Vec<u8> {
    let mut body = template.clone();
    manifest::remove(&mut body, &["status"]);
    for field in DOOR_METADATA {
        manifest::remove(&mut body, &["metadata", field]);
    }
    for (map, keys) in CLAIMS {
        let removed = keys
            .iter()
            .filter_map(|k| manifest::remove(&mut body, &["metadata", map, k]));
        let emptied = removed.count() > 0
            && manifest::get(&body, &["metadata", map]) == Some(&Value::Object(Default::default()));
        if emptied {
            manifest::remove(&mut body, &["metadata", map]);
        }
    }
    // Another crate of the build may have turned on serde_json's insertion order.
    body.sort_all_objects();
    body.to_string().into_bytes()
}
