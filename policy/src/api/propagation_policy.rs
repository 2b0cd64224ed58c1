//! PropagationPolicy and ClusterPropagationPolicy (`policy.karmada.io/v1alpha1`): which templates go
//! where, and how their replicas are divided.

mod admission;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::{KARMADA, KindInfo, PrinterColumn};
use super::{ClusterAffinity, Object, ResourceSelector, StringMap, Toleration, schema};

/// A namespaced policy.
pub type PropagationPolicy = Object<PropagationSpec>;
/// A cluster-scoped policy.
pub type ClusterPropagationPolicy = Object<PropagationSpec>;

/// What both kinds of propagation policy say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["resourceSelectors"]))]
pub struct PropagationSpec {
    /// Which templates; at least one.
    #[schemars(length(min = 1))]
    pub resource_selectors: Vec<ResourceSelector>,
    /// Deprecated, without effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub association: bool,
    /// Also send the objects that the template refers to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub propagate_deps: bool,
    /// Where to.
    pub placement: Placement,
    /// Explicit priority; higher wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = 0))]
    pub priority: Option<i32>,
    /// `Always` or `Never`: whether it may take templates that another policy claimed.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Always", "Never"], "x-default" = "Never"))]
    pub preemption: String,
    /// Override policies that must exist first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependent_overrides: Vec<String>,
    /// Which scheduler decides.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("x-default" = "default-scheduler"))]
    pub scheduler_name: String,
    /// When a workload moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverBehavior>,
    /// `Abort` or `Overwrite`: what happens when a member already holds the object unmanaged.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Abort", "Overwrite"], "x-default" = "Abort"))]
    pub conflict_resolution: String,
    /// Empty or `Lazy`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Lazy"]))]
    pub activation_preference: String,
    /// Stops dispatching.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    /// Keep the members' objects when the template is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preserve_resources_on_deletion: Option<bool>,
    /// Order in the scheduling queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_priority: Option<SchedulePriority>,
}

/// Where to, and how replicas are divided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Which clusters; excludes `clusterAffinities`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_affinity: Option<ClusterAffinity>,
    /// Groups of clusters, tried in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_affinities: Vec<ClusterAffinityTerm>,
    /// Which cluster taints are tolerated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_tolerations: Vec<Toleration>,
    /// How clusters are spread over topologies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread_constraints: Vec<SpreadConstraint>,
    /// How replicas are divided; absent = every cluster gets all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_scheduling: Option<ReplicaSchedulingStrategy>,
    /// Placement relative to other workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_affinity: Option<WorkloadAffinity>,
}

/// One group of clusters with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["affinityName"]))]
pub struct ClusterAffinityTerm {
    /// Name of the group, 1-32 characters.
    #[schemars(length(min = 1, max = 32))]
    pub affinity_name: String,
    /// Which clusters.
    #[serde(flatten)]
    pub affinity: ClusterAffinity,
    /// Further tiers, filled in order when this one is full.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overflow_affinities: Vec<OverflowAffinity>,
}

/// One overflow tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["affinityName"]))]
pub struct OverflowAffinity {
    /// Name of the tier, 1-32 characters.
    #[schemars(length(min = 1, max = 32))]
    pub affinity_name: String,
    /// Which clusters.
    #[serde(flatten)]
    pub affinity: ClusterAffinity,
}

/// How many groups of a topology are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SpreadConstraint {
    /// `cluster`, `region`, `zone` or `provider`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["cluster", "region", "zone", "provider"]))]
    pub spread_by_field: String,
    /// A cluster label.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub spread_by_label: String,
    /// At most this many groups.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_groups: i64,
    /// At least this many groups.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_groups: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// How replicas are divided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSchedulingStrategy {
    /// `Duplicated` or `Divided`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Divided", "Duplicated"], "x-default" = "Divided"))]
    pub replica_scheduling_type: String,
    /// `Aggregated` or `Weighted`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Aggregated", "Weighted"]))]
    pub replica_division_preference: String,
    /// The weights of `Weighted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_preference: Option<ClusterPreferences>,
}

/// Weights of clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterPreferences {
    /// Weights by rule; the largest that matches a cluster counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_weight_list: Vec<StaticClusterWeight>,
    /// Empty or `AvailableReplicas`; wins over the list.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["AvailableReplicas"]))]
    pub dynamic_weight: String,
}

/// One weight rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["weight"]))]
pub struct StaticClusterWeight {
    /// Which clusters.
    pub target_cluster: ClusterAffinity,
    /// At least 1.
    #[schemars(range(min = 1))]
    pub weight: i64,
}

/// Placement relative to other workloads of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadAffinity {
    /// Together with its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<WorkloadAffinityTerm>,
    /// Apart from its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<WorkloadAffinityTerm>,
}

/// Names the label whose value is the group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["groupByLabelKey"]))]
pub struct WorkloadAffinityTerm {
    /// Label key of the template.
    pub group_by_label_key: String,
}

/// When a workload moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverBehavior {
    /// Because it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationFailoverBehavior>,
    /// Because its cluster is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterFailoverBehavior>,
}

/// Application failover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationFailoverBehavior {
    /// When.
    pub decision_conditions: DecisionConditions,
    /// `Directly`, `Gracefully` or `Never`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Directly", "Gracefully", "Never"], "x-default" = "Gracefully"))]
    pub purge_mode: String,
    /// How long the old copy stays, in seconds; only with `Gracefully`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,
    /// State carried to the new copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_preservation: Option<StatePreservation>,
}

/// When an application counts as failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DecisionConditions {
    /// Seconds of being unhealthy; 300 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = 300))]
    pub toleration_seconds: Option<i32>,
}

/// Cluster failover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFailoverBehavior {
    /// `Directly` or `Gracefully`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["Directly", "Gracefully"], "x-default" = "Gracefully"))]
    pub purge_mode: String,
    /// State carried to the new copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_preservation: Option<StatePreservation>,
}

/// State carried to the new copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["rules"]))]
pub struct StatePreservation {
    /// Values to carry.
    pub rules: Vec<StatePreservationRule>,
}

/// One value to carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["aliasLabelName", "jsonPath"]))]
pub struct StatePreservationRule {
    /// Label it becomes.
    pub alias_label_name: String,
    /// Where it stands in the status.
    pub json_path: String,
}

/// Stops dispatching, for all clusters or for some.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Suspension {
    /// For all clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatching: Option<bool>,
    /// For these clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatching_on_clusters: Option<SuspendClusters>,
    /// Stops scheduling; only bindings carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<bool>,
}

/// Names of clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SuspendClusters {
    /// Names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_names: Vec<String>,
}

/// Order in the scheduling queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["priorityClassName", "priorityClassSource"]))]
pub struct SchedulePriority {
    /// `KubePriorityClass`.
    #[schemars(extend("enum" = ["KubePriorityClass"]))]
    pub priority_class_source: String,
    /// Name of the PriorityClass.
    pub priority_class_name: String,
}

/// Quantities by resource name, as written (`500m`, `1Gi`).
pub type ResourceList = StringMap;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let schema = schema::object::<PropagationSpec>("Which templates go where.");
    schema::without(schema, &["spec", "suspension", "scheduling"])
});

const COLUMNS: &[PrinterColumn] = &[
    PrinterColumn::text("CONFLICT-RESOLUTION", ".spec.conflictResolution"),
    PrinterColumn::text("PRIORITY", ".spec.priority"),
    PrinterColumn::age(),
];

/// PropagationPolicy in the list of kinds.
pub static PROPAGATION_POLICY: KindInfo = KindInfo {
    group: "policy.karmada.io",
    version: "v1alpha1",
    kind: "PropagationPolicy",
    plural: "propagationpolicies",
    singular: "propagationpolicy",
    short_names: &["pp"],
    categories: KARMADA,
    namespaced: true,
    status_subresource: false,
    printer_columns: COLUMNS,
    schema: || &SCHEMA,
    defaults: admission::namespaced_defaults,
    validate: admission::validate_namespaced,
    warn: admission::warn,
};

/// ClusterPropagationPolicy in the list of kinds.
pub static CLUSTER_PROPAGATION_POLICY: KindInfo = KindInfo {
    group: "policy.karmada.io",
    version: "v1alpha1",
    kind: "ClusterPropagationPolicy",
    plural: "clusterpropagationpolicies",
    singular: "clusterpropagationpolicy",
    short_names: &["cpp"],
    categories: KARMADA,
    namespaced: false,
    status_subresource: false,
    printer_columns: COLUMNS,
    schema: || &SCHEMA,
    defaults: admission::cluster_defaults,
    validate: admission::validate_cluster,
    warn: admission::warn,
};
