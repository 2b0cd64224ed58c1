//! Cluster (`cluster.karmada.io/v1alpha1`): one member, as people describe it and as its agent
//! reports it.

mod admission;
mod models;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::{KARMADA, KindInfo, PrinterColumn};
use super::{Condition, Object, ResourceList, StringMap, Taint, quantity, schema};

/// One member cluster.
pub type Cluster = Object<ClusterSpec, ClusterStatus>;

/// What people say about a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["syncMode"]))]
pub struct ClusterSpec {
    /// UID of the member's kube-system namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `Push` or `Pull`.
    #[schemars(extend("enum" = ["Push", "Pull"]))]
    pub sync_mode: String,
    /// URL of the member's API server (push mode).
    #[serde(rename = "apiEndpoint", skip_serializing_if = "String::is_empty")]
    pub api_endpoint: String,
    /// Credentials (push mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalSecretReference>,
    /// Credentials for impersonation (push mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonator_secret_ref: Option<LocalSecretReference>,
    /// Skip checking the member's certificate (push mode).
    #[serde(
        rename = "insecureSkipTLSVerification",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub insecure_skip_tls_verification: bool,
    /// Proxy to the member (push mode).
    #[serde(rename = "proxyURL", skip_serializing_if = "String::is_empty")]
    pub proxy_url: String,
    /// Headers for the proxy.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub proxy_header: StringMap,
    /// Cloud provider.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// Region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Deprecated: moved into `zones` on write.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Zones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// Taints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Grades of nodes for capacity estimates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_models: Vec<ResourceModel>,
}

/// A Secret by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name", "namespace"]))]
pub struct LocalSecretReference {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One grade of nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["grade", "ranges"]))]
pub struct ResourceModel {
    /// Number of the grade.
    pub grade: u64,
    /// Bounds per resource.
    pub ranges: Vec<ResourceModelRange>,
}

/// Bounds of one resource in a grade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["max", "min", "name"]))]
pub struct ResourceModelRange {
    /// Resource name.
    pub name: String,
    /// Lower bound, inclusive.
    #[serde(deserialize_with = "quantity::text")]
    #[schemars(transform = schema::quantity)]
    pub min: String,
    /// Upper bound, exclusive.
    #[serde(deserialize_with = "quantity::text")]
    #[schemars(transform = schema::quantity)]
    pub max: String,
}

/// What a cluster's agent reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// Version of the member's API server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_version: String,
    /// Kinds the member serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_enablements: Vec<ApiEnablement>,
    /// `Ready`, `CompleteAPIEnablements` and users' own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_summary: Option<NodeSummary>,
    /// Resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_summary: Option<ResourceSummary>,
    /// Actions of remedies in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedy_actions: Vec<String>,
}

/// Kinds of one group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["groupVersion"]))]
pub struct ApiEnablement {
    /// `group/version`, or `v1`.
    pub group_version: String,
    /// Kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ApiResource>,
}

/// One kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["kind", "name"]))]
pub struct ApiResource {
    /// Plural name.
    pub name: String,
    /// Kind.
    pub kind: String,
}

/// Nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSummary {
    /// All nodes.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_num: i32,
    /// Ready nodes.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_num: i32,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// Resources of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceSummary {
    /// What nodes offer.
    #[serde(
        deserialize_with = "quantity::map",
        skip_serializing_if = "ResourceList::is_empty"
    )]
    #[schemars(transform = schema::quantities)]
    pub allocatable: ResourceList,
    /// Requests of pods that wait for a node.
    #[serde(
        deserialize_with = "quantity::map",
        skip_serializing_if = "ResourceList::is_empty"
    )]
    #[schemars(transform = schema::quantities)]
    pub allocating: ResourceList,
    /// Requests of pods on nodes.
    #[serde(
        deserialize_with = "quantity::map",
        skip_serializing_if = "ResourceList::is_empty"
    )]
    #[schemars(transform = schema::quantities)]
    pub allocated: ResourceList,
    /// Nodes per grade.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allocatable_modelings: Vec<AllocatableModeling>,
}

/// Nodes of one grade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["count", "grade"]))]
pub struct AllocatableModeling {
    /// Number of the grade.
    pub grade: u64,
    /// Nodes.
    pub count: i64,
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    schema::object_with_status::<ClusterSpec, ClusterStatus>("One member cluster.")
});

/// Cluster in the list of kinds.
pub static CLUSTER: KindInfo = KindInfo {
    group: "cluster.karmada.io",
    version: "v1alpha1",
    kind: "Cluster",
    plural: "clusters",
    singular: "cluster",
    short_names: &[],
    categories: KARMADA,
    namespaced: false,
    status_subresource: true,
    printer_columns: &[
        PrinterColumn::text("VERSION", ".status.kubernetesVersion"),
        PrinterColumn::text("MODE", ".spec.syncMode"),
        PrinterColumn::text("READY", r#".status.conditions[?(@.type=="Ready")].status"#),
        PrinterColumn::age(),
        PrinterColumn::wide("ZONES", ".spec.zones"),
        PrinterColumn::wide("REGION", ".spec.region"),
        PrinterColumn::wide("PROVIDER", ".spec.provider"),
        PrinterColumn::wide("API-ENDPOINT", ".spec.apiEndpoint"),
        PrinterColumn::wide("PROXY-URL", ".spec.proxyURL"),
    ],
    schema: || &SCHEMA,
    defaults: admission::defaults,
    validate: admission::validate,
    warn: admission::warn,
};
