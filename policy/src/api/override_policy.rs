//! OverridePolicy and ClusterOverridePolicy (`policy.karmada.io/v1alpha1`): what differs per cluster.

mod admission;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::{KARMADA, KindInfo, no_defaults};
use super::{ClusterAffinity, Object, ResourceSelector, StringMap, schema};

/// A namespaced override policy.
pub type OverridePolicy = Object<OverrideSpec>;
/// A cluster-scoped override policy.
pub type ClusterOverridePolicy = Object<OverrideSpec>;

/// What both kinds of override policy say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OverrideSpec {
    /// Which templates; none = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_selectors: Vec<ResourceSelector>,
    /// Rules in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub override_rules: Vec<RuleWithCluster>,
    /// Deprecated: one rule without a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_cluster: Option<ClusterAffinity>,
    /// Deprecated: one rule without a list.
    #[serde(skip_serializing_if = "Overriders::is_empty")]
    pub overriders: Overriders,
}

/// One rule: overriders for some clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["overriders"]))]
pub struct RuleWithCluster {
    /// Which clusters; absent = all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_cluster: Option<ClusterAffinity>,
    /// What changes.
    pub overriders: Overriders,
}

/// Changes, applied in the order of the fields of Karmada: image, command, args, labels,
/// annotations, field, plaintext.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Overriders {
    /// RFC 6902 operations over the whole object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plaintext: Vec<PlaintextOverrider>,
    /// Parts of image references.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_overrider: Vec<ImageOverrider>,
    /// Commands of named containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command_overrider: Vec<CommandArgsOverrider>,
    /// Arguments of named containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args_overrider: Vec<CommandArgsOverrider>,
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels_overrider: Vec<LabelAnnotationOverrider>,
    /// Annotations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations_overrider: Vec<LabelAnnotationOverrider>,
    /// Parts of a text field that holds JSON or YAML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub field_overrider: Vec<FieldOverrider>,
}

impl Overriders {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One RFC 6902 operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["operator", "path"]))]
pub struct PlaintextOverrider {
    /// JSON pointer.
    pub path: String,
    /// `add`, `remove` or `replace`.
    #[schemars(extend("enum" = ["add", "remove", "replace"]))]
    pub operator: String,
    /// Any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// Changes a part of image references.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["component", "operator"]))]
pub struct ImageOverrider {
    /// Where; absent = the containers of the known workload kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate: Option<ImagePredicate>,
    /// `Registry`, `Repository` or `Tag`.
    #[schemars(extend("enum" = ["Registry", "Repository", "Tag"]))]
    pub component: String,
    /// `add`, `remove` or `replace`.
    #[schemars(extend("enum" = ["add", "remove", "replace"]))]
    pub operator: String,
    /// Text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// Where an image reference stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["path"]))]
pub struct ImagePredicate {
    /// JSON pointer to a string.
    pub path: String,
}

/// Changes the command or the arguments of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["containerName", "operator"]))]
pub struct CommandArgsOverrider {
    /// Name of the container.
    pub container_name: String,
    /// `add` or `remove`.
    #[schemars(extend("enum" = ["add", "remove"]))]
    pub operator: String,
    /// Items.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub value: Vec<String>,
}

/// Changes labels or annotations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["operator", "value"]))]
pub struct LabelAnnotationOverrider {
    /// `add`, `remove` or `replace`.
    #[schemars(extend("enum" = ["add", "remove", "replace"]))]
    pub operator: String,
    /// Keys and values; always written, since the schema requires it.
    pub value: StringMap,
}

/// Changes parts of a text field that holds JSON or YAML.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["fieldPath"]))]
pub struct FieldOverrider {
    /// JSON pointer to the text field.
    pub field_path: String,
    /// Operations when the text is JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<FieldPatchOperation>,
    /// Operations when the text is YAML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub yaml: Vec<FieldPatchOperation>,
}

/// One operation inside a text field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["operator", "subPath"]))]
pub struct FieldPatchOperation {
    /// JSON pointer inside the text.
    pub sub_path: String,
    /// `add`, `remove` or `replace`.
    #[schemars(extend("enum" = ["add", "remove", "replace"]))]
    pub operator: String,
    /// Any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| schema::object::<OverrideSpec>("What differs per cluster."));

/// OverridePolicy in the list of kinds.
pub static OVERRIDE_POLICY: KindInfo = KindInfo {
    group: "policy.karmada.io",
    version: "v1alpha1",
    kind: "OverridePolicy",
    plural: "overridepolicies",
    singular: "overridepolicy",
    short_names: &["op"],
    categories: KARMADA,
    namespaced: true,
    status_subresource: false,
    printer_columns: &[],
    schema: || &SCHEMA,
    defaults: admission::namespaced_defaults,
    validate: admission::validate,
    warn: admission::warn,
};

/// ClusterOverridePolicy in the list of kinds.
pub static CLUSTER_OVERRIDE_POLICY: KindInfo = KindInfo {
    group: "policy.karmada.io",
    version: "v1alpha1",
    kind: "ClusterOverridePolicy",
    plural: "clusteroverridepolicies",
    singular: "clusteroverridepolicy",
    short_names: &["cop"],
    categories: KARMADA,
    namespaced: false,
    status_subresource: false,
    printer_columns: &[],
    schema: || &SCHEMA,
    defaults: no_defaults,
    validate: admission::validate,
    warn: admission::warn,
};
