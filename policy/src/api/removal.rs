//! Removal (`fleet.flotilla.dev/v1alpha1`): which clusters still hold something of a binding that
//! went.
//!
//! Named by the binding's UID. A cluster is struck when it acknowledged; the last one takes the
//! object along.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks::spec_of;
use super::registry::{FLEET_GROUP, FLOTILLA, KindInfo, PrinterColumn, no_defaults, no_warnings};
use super::{FieldError, Object, ObjectReference, schema};

/// What has to go from members after a binding went.
pub type Removal = Object<RemovalSpec>;

/// What has to go, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["entries", "resource"]))]
pub struct RemovalSpec {
    /// The template.
    pub resource: ObjectReference,
    /// Leave the members' objects and only stop managing them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preserve: bool,
    /// UIDs of earlier templates of that name whose deletion no hub saw: removed as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<String>,
    /// Clusters that did not acknowledge yet.
    pub entries: Vec<RemovalEntry>,
}

/// One cluster that did not acknowledge yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["cluster", "madeAt", "templateUid", "workId"]))]
pub struct RemovalEntry {
    /// Name of the cluster.
    #[schemars(length(min = 1))]
    pub cluster: String,
    /// Id of the work there.
    #[schemars(length(min = 1))]
    pub work_id: String,
    /// UID of the template the work was made from.
    pub template_uid: String,
    /// Door revision of the decision.
    pub made_at: u64,
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    schema::object::<RemovalSpec>("What has to go from members after a binding went.")
});

/// Removal in the list of kinds.
pub static REMOVAL: KindInfo = KindInfo {
    group: FLEET_GROUP,
    version: "v1alpha1",
    kind: "Removal",
    plural: "removals",
    singular: "removal",
    short_names: &[],
    categories: FLOTILLA,
    namespaced: false,
    status_subresource: false,
    printer_columns: &[
        PrinterColumn::text("KIND", ".spec.resource.kind"),
        PrinterColumn::text("NAMESPACE", ".spec.resource.namespace"),
        PrinterColumn::text("RESOURCE", ".spec.resource.name"),
        PrinterColumn::age(),
    ],
    schema: || &SCHEMA,
    defaults: no_defaults,
    validate,
    warn: no_warnings,
};

fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec: RemovalSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut seen = BTreeSet::new();
    let entries = spec.entries.iter().enumerate();
    entries
        .filter(|(_, entry)| !seen.insert((&entry.cluster, &entry.work_id)))
        .map(|(i, _)| FieldError::new(format!("spec.entries[{i}]"), "stands here twice"))
        .collect()
}
