//! Enrolment (`fleet.flotilla.dev/v1alpha1`): which key speaks for a cluster, and whether it may.
//!
//! Named like its Cluster. Written on change only: nothing periodic stands here.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks::spec_of;
use super::registry::{FLEET_GROUP, FLOTILLA, KindInfo, PrinterColumn, no_defaults, no_warnings};
use super::{FieldError, Object, names, schema};
use crate::model::manifest;

/// How many serials of issued certificates are remembered.
pub const SERIALS_KEPT: usize = 2;

/// The key that speaks for a cluster.
pub type Enrolment = Object<EnrolmentSpec, EnrolmentStatus>;

/// The key and its standing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["clusterUid", "identityKey"]))]
pub struct EnrolmentSpec {
    /// UID of the cluster.
    #[schemars(length(min = 1))]
    pub cluster_uid: String,
    /// Ed25519 public key, in base64.
    #[schemars(length(min = 44, max = 44))]
    pub identity_key: String,
    /// Whether the key may connect.
    #[schemars(extend("x-default" = "Active"))]
    pub state: EnrolmentState,
}

/// Whether an enrolled key may connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EnrolmentState {
    /// It may.
    #[default]
    Active,
    /// Not until a person decides: the key was seen in two places.
    Locked,
    /// Never again.
    Revoked,
    /// Never again, and nobody waits for the cluster's acknowledgements any more.
    Forgotten,
}

/// What was issued to the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EnrolmentStatus {
    /// Serials of the newest certificates in hex, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub serials: Vec<String>,
    /// How often a certificate was renewed.
    pub renew_counter: u64,
    /// Newest fence the agent showed.
    pub fence: u64,
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    schema::object_with_status::<EnrolmentSpec, EnrolmentStatus>(
        "The key that speaks for a cluster.",
    )
});

/// Enrolment in the list of kinds.
pub static ENROLMENT: KindInfo = KindInfo {
    group: FLEET_GROUP,
    version: "v1alpha1",
    kind: "Enrolment",
    plural: "enrolments",
    singular: "enrolment",
    short_names: &[],
    categories: FLOTILLA,
    namespaced: false,
    status_subresource: true,
    printer_columns: &[
        PrinterColumn::text("STATE", ".spec.state"),
        PrinterColumn::age(),
    ],
    schema: || &SCHEMA,
    defaults: no_defaults,
    validate,
    warn: no_warnings,
};

fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec: EnrolmentSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    let name = manifest::name(new);
    if !names::is_cluster_name(name) {
        let message = format!("\"{name}\" is no name of a cluster");
        errors.push(FieldError::new("metadata.name", message));
    }
    if !names::is_base64_of_32_bytes(&spec.identity_key) {
        errors.push(FieldError::new(
            "spec.identityKey",
            "is no Ed25519 public key in base64",
        ));
    }
    errors
}
