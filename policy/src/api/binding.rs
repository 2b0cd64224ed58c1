//! ResourceBinding and ClusterResourceBinding (`work.karmada.io/v1alpha2`): the decision about one
//! template, and what the members report about it.

mod admission;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::{KARMADA, KindInfo, PrinterColumn, no_warnings};
use super::{
    Condition, FailoverBehavior, Object, Placement, ResourceList, StringMap, Suspension,
    Toleration, quantity, schema,
};

/// The binding of a namespaced template.
pub type ResourceBinding = Object<BindingSpec, BindingStatus>;
/// The binding of a cluster-scoped template.
pub type ClusterResourceBinding = Object<BindingSpec, BindingStatus>;

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["resource"]))]
pub struct BindingSpec {
    /// The template.
    pub resource: ObjectReference,
    /// Also send what the template refers to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub propagate_deps: bool,
    /// What one replica needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_requirements: Option<ReplicaRequirements>,
    /// Replicas in all.
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: i32,
    /// Parts of a multi-component workload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// The result: clusters and their replicas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<TargetCluster>,
    /// Copy of the policy's placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Moves in progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub graceful_eviction_tasks: Vec<GracefulEvictionTask>,
    /// Bindings that depend on this object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_by: Vec<BindingSnapshot>,
    /// Which scheduler decides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheduler_name: String,
    /// Copy of the policy's failover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverBehavior>,
    /// `Abort` or `Overwrite`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Abort", "Overwrite"], "x-default" = "Abort"))]
    pub conflict_resolution: String,
    /// RFC 3339 time of the last request to place anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub reschedule_triggered_at: Option<String>,
    /// Stops dispatching or scheduling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    /// Keep the members' objects when the template is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preserve_resources_on_deletion: Option<bool>,
    /// Order in the scheduling queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_priority: Option<BindingSchedulePriority>,
    /// Groups of workload affinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_affinity_groups: Option<WorkloadAffinityGroups>,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// The template a binding is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["apiVersion", "kind", "name"]))]
pub struct ObjectReference {
    /// API version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped templates.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Resource version the decision was made from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
}

/// What one replica needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaRequirements {
    /// Which nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_claim: Option<NodeClaim>,
    /// Resources.
    #[serde(
        deserialize_with = "quantity::map",
        skip_serializing_if = "ResourceList::is_empty"
    )]
    #[schemars(transform = schema::quantities)]
    pub resource_request: ResourceList,
    /// Namespace, for quota.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// PriorityClass, for quota.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub priority_class_name: String,
}

/// Which nodes can hold a replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeClaim {
    /// Kubernetes' NodeSelector, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = "object"))]
    pub hard_node_affinity: Option<Value>,
    /// Node labels.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub node_selector: StringMap,
    /// Tolerations of node taints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// One part of a multi-component workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name", "replicas"]))]
pub struct Component {
    /// Name, at most 32 characters.
    #[schemars(length(max = 32))]
    pub name: String,
    /// Replicas.
    pub replicas: i32,
    /// What one replica needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_requirements: Option<ReplicaRequirements>,
}

/// One cluster of the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub struct TargetCluster {
    /// Name of the cluster.
    pub name: String,
    /// Replicas there.
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: i32,
    /// Replicas of components there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<TargetComponent>,
}

/// Replicas of one component in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name", "replicas"]))]
pub struct TargetComponent {
    /// Name.
    pub name: String,
    /// Replicas.
    pub replicas: i32,
}

/// A move away from a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["fromCluster", "producer", "reason"]))]
pub struct GracefulEvictionTask {
    /// From where.
    pub from_cluster: String,
    /// `Directly`, `Gracefully` or `Never`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Directly", "Gracefully", "Never"]))]
    pub purge_mode: String,
    /// Replicas that were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// CamelCase reason.
    #[schemars(
        length(min = 1, max = 32),
        regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Who asked.
    pub producer: String,
    /// Seconds the old copy stays at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,
    /// Holds the deletion until a person says no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress_deletion: Option<bool>,
    /// State carried to the new copy.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub preserved_label_state: StringMap,
    /// RFC 3339 time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub creation_timestamp: Option<String>,
    /// Clusters before the move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters_before_failover: Vec<String>,
}

/// A binding that depends on this object, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub struct BindingSnapshot {
    /// Namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its clusters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<TargetCluster>,
}

/// Order in the scheduling queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingSchedulePriority {
    /// Higher is first.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(extend("x-default" = 0))]
    pub priority: i32,
}

/// Groups of workload affinity, as `key=value`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadAffinityGroups {
    /// Together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub affinity_group: String,
    /// Apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub anti_affinity_group: String,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingStatus {
    /// Generation of the last decision.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub scheduler_observed_generation: i64,
    /// Affinity term in force; the spelling is Karmada's.
    #[serde(
        rename = "schedulerObservingAffinityName",
        skip_serializing_if = "String::is_empty"
    )]
    pub scheduler_observed_affinity_name: String,
    /// RFC 3339 time of the last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_scheduled_time: Option<String>,
    /// `Scheduled` and `FullyApplied`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What each member reports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aggregated_status: Vec<AggregatedStatusItem>,
}

fn is_zero_i64(n: &i64) -> bool {
    *n == 0
}

/// What one member reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["clusterName"]))]
pub struct AggregatedStatusItem {
    /// Name of the cluster.
    pub cluster_name: String,
    /// Status as the member reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = "object"))]
    pub status: Option<Value>,
    /// Whether the manifest is in the member.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub applied: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub applied_message: String,
    /// `Healthy`, `Unhealthy` or `Unknown`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Healthy", "Unhealthy", "Unknown"]))]
    pub health: String,
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    schema::object_with_status::<BindingSpec, BindingStatus>("Where one template goes.")
});

const COLUMNS: &[PrinterColumn] = &[
    PrinterColumn::text(
        "SCHEDULED",
        r#".status.conditions[?(@.type=="Scheduled")].status"#,
    ),
    PrinterColumn::text(
        "FULLYAPPLIED",
        r#".status.conditions[?(@.type=="FullyApplied")].status"#,
    ),
    PrinterColumn::age(),
];

/// ResourceBinding in the list of kinds.
pub static RESOURCE_BINDING: KindInfo = KindInfo {
    group: "work.karmada.io",
    version: "v1alpha2",
    kind: "ResourceBinding",
    plural: "resourcebindings",
    singular: "resourcebinding",
    short_names: &["rb"],
    categories: KARMADA,
    namespaced: true,
    status_subresource: true,
    printer_columns: COLUMNS,
    schema: || &SCHEMA,
    defaults: admission::namespaced_defaults,
    validate: admission::validate,
    warn: no_warnings,
};

/// ClusterResourceBinding in the list of kinds.
pub static CLUSTER_RESOURCE_BINDING: KindInfo = KindInfo {
    group: "work.karmada.io",
    version: "v1alpha2",
    kind: "ClusterResourceBinding",
    plural: "clusterresourcebindings",
    singular: "clusterresourcebinding",
    short_names: &["crb"],
    categories: KARMADA,
    namespaced: false,
    status_subresource: true,
    printer_columns: COLUMNS,
    schema: || &SCHEMA,
    defaults: admission::cluster_defaults,
    validate: admission::validate,
    warn: no_warnings,
};
