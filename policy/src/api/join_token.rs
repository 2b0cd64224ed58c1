//! JoinToken (`fleet.flotilla.dev/v1alpha1`): the right to enrol one cluster, once, for a short time.
//!
//! The object holds the hash of the secret only. What it grants never changes after it was made.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks::{check_label_value, check_labels, spec_of};
use super::registry::{FLEET_GROUP, FLOTILLA, KindInfo, PrinterColumn, no_defaults, no_warnings};
use super::{FieldError, Object, StringMap, names, schema};

/// The right to enrol one cluster.
pub type JoinToken = Object<JoinTokenSpec, JoinTokenStatus>;

/// What a token grants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["clusterName", "expiresAt", "secretHash"]))]
pub struct JoinTokenSpec {
    /// Name the cluster will have.
    #[schemars(length(min = 1, max = 48))]
    pub cluster_name: String,
    /// SHA-256 of the secret, in lower-case hex.
    #[schemars(length(min = 64, max = 64))]
    pub secret_hash: String,
    /// RFC 3339 time after which the token is worthless.
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
    /// Labels the cluster will have.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub labels: StringMap,
    /// Cloud provider of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// Region of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Zones of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// What the agent may touch in its member.
    #[schemars(extend("x-default" = "workloads"))]
    pub profile: AgentProfile,
}

/// What an agent may touch in its member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentProfile {
    /// Workloads: no kube-system, not its own namespace, no RBAC.
    #[default]
    Workloads,
    /// Also namespaces, CRDs, and RBAC that does not escalate.
    Platform,
}

/// Who used a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinTokenStatus {
    /// Thumbprint of the identity key that used it; a used token works for that key alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub used_by: String,
    /// RFC 3339 time of the use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub used_at: Option<String>,
    /// UID of the cluster that used it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_uid: String,
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    schema::object_with_status::<JoinTokenSpec, JoinTokenStatus>("The right to enrol one cluster.")
});

/// JoinToken in the list of kinds.
pub static JOIN_TOKEN: KindInfo = KindInfo {
    group: FLEET_GROUP,
    version: "v1alpha1",
    kind: "JoinToken",
    plural: "jointokens",
    singular: "jointoken",
    short_names: &[],
    categories: FLOTILLA,
    namespaced: false,
    status_subresource: true,
    printer_columns: &[
        PrinterColumn::text("CLUSTER", ".spec.clusterName"),
        PrinterColumn::text("EXPIRES", ".spec.expiresAt"),
        PrinterColumn::text("USED", ".status.usedAt"),
        PrinterColumn::age(),
    ],
    schema: || &SCHEMA,
    defaults: no_defaults,
    validate,
    warn: no_warnings,
};

fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec: JoinTokenSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    if !names::is_cluster_name(&spec.cluster_name) {
        let message = format!("\"{}\" is no name for a cluster", spec.cluster_name);
        errors.push(FieldError::new("spec.clusterName", message));
    }
    if !names::is_hex(&spec.secret_hash, 32) {
        errors.push(FieldError::new(
            "spec.secretHash",
            "is no SHA-256 in lower-case hex",
        ));
    }
    check_labels("spec.labels", &spec.labels, &mut errors);
    check_label_value("spec.provider", &spec.provider, &mut errors);
    check_label_value("spec.region", &spec.region, &mut errors);
    for (i, zone) in spec.zones.iter().enumerate() {
        check_label_value(&format!("spec.zones[{i}]"), zone, &mut errors);
    }
    if old.is_some_and(|old| spec_of(old) != Ok(spec)) {
        errors.push(FieldError::new("spec", "never changes after create"));
    }
    errors
}
