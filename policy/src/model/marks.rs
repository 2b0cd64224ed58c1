//! Every label, annotation and finalizer that Flotilla reads or writes, once.
//!
//! Names under `fleet.flotilla.dev` are ours; the others are Karmada's, kept because people and tools
//! read them. Holds names and the text form of our own values; decides nothing.

/// Label: id of the work an object in a member belongs to.
pub const OWNER: &str = "fleet.flotilla.dev/owner";
/// Annotation: generation an object in a member was applied from.
pub const GENERATION: &str = "fleet.flotilla.dev/generation";
/// Annotation: fence of the agent leader that applied an object.
pub const FENCE: &str = "fleet.flotilla.dev/fence";
/// Annotation: UID of the template an object was rendered from.
pub const TEMPLATE_UID: &str = "fleet.flotilla.dev/template-uid";
/// Finalizer of bindings: holds them until their removal is remembered.
pub const REMOVAL_FINALIZER: &str = "fleet.flotilla.dev/removal";
/// Annotation of bindings: clusters dropped and not yet acknowledged.
pub const REMOVED: &str = "fleet.flotilla.dev/removed";
/// Annotation of bindings: term of the hub that wrote the decision.
pub const TERM: &str = "fleet.flotilla.dev/term";
/// Annotation of bindings: digest of the template's body at the decision, and the generation it had
/// before the claim's own marks moved it.
pub const BODY: &str = "fleet.flotilla.dev/body";
/// Annotation of bindings: JSON list of the UIDs of earlier templates of that name whose deletion no
/// hub saw; members may still hold what was made from them.
pub const PREDECESSORS: &str = "fleet.flotilla.dev/predecessors";
/// Annotation of bindings: summary of the decision's report.
pub const WHY: &str = "fleet.flotilla.dev/why";

/// Annotation of Clusters, by people: `true` takes everything of the fleet off the member.
pub const DRAIN: &str = "fleet.flotilla.dev/drain";
/// On a Cluster, by a person: lets held works go on; each new text once.
pub const RELEASE: &str = "fleet.flotilla.dev/release";
/// Finalizer of Clusters: holds them until the hub has detached the member.
pub const CLUSTER_FINALIZER: &str = "fleet.flotilla.dev/cluster";
/// Annotation of Removals: `true` where a person asked for the deletion, so that no brake holds it.
pub const APPROVED: &str = "fleet.flotilla.dev/approved";

/// Field manager in members.
pub const MEMBER_FIELD_MANAGER: &str = "flotilla";
/// Field manager at the front door.
pub const DOOR_FIELD_MANAGER: &str = "flotilla-hub";

/// Label: an object in a member is managed from the front door.
pub const MANAGED: &str = "karmada.io/managed";
/// Annotation: UID of the template an object was rendered from.
pub const KARMADA_TEMPLATE_UID: &str = "resourcetemplate.karmada.io/uid";
/// Annotation: generation of the template an object was rendered from; status interpreters read it.
pub const KARMADA_TEMPLATE_GENERATION: &str = "resourcetemplate.karmada.io/generation";
/// Annotation: sorted keys of the annotations Karmada manages; read when taking over.
pub const MANAGED_ANNOTATIONS: &str = "resourcetemplate.karmada.io/managed-annotations";
/// Annotation: sorted keys of the labels Karmada manages; read when taking over.
pub const MANAGED_LABELS: &str = "resourcetemplate.karmada.io/managed-labels";
/// Annotation: `abort` or `overwrite` when a member already holds a foreign object.
pub const CONFLICT_RESOLUTION: &str = "work.karmada.io/conflict-resolution";
/// Annotation: namespace of Karmada's Work; read when taking over.
pub const WORK_NAMESPACE: &str = "work.karmada.io/namespace";
/// Annotation: name of Karmada's Work; read when taking over.
pub const WORK_NAME: &str = "work.karmada.io/name";
/// Label: permanent id of Karmada's Work; read when taking over.
pub const WORK_ID: &str = "work.karmada.io/permanent-id";

/// Label: permanent id of the claiming PropagationPolicy.
pub const POLICY_ID: &str = "propagationpolicy.karmada.io/permanent-id";
/// Annotation: namespace of the claiming PropagationPolicy.
pub const POLICY_NAMESPACE: &str = "propagationpolicy.karmada.io/namespace";
/// Annotation: name of the claiming PropagationPolicy.
pub const POLICY_NAME: &str = "propagationpolicy.karmada.io/name";
/// Label: permanent id of the claiming ClusterPropagationPolicy.
pub const CLUSTER_POLICY_ID: &str = "clusterpropagationpolicy.karmada.io/permanent-id";
/// Annotation: name of the claiming ClusterPropagationPolicy.
pub const CLUSTER_POLICY_NAME: &str = "clusterpropagationpolicy.karmada.io/name";

/// Annotation of bindings: JSON of the placement last scheduled.
pub const APPLIED_PLACEMENT: &str = "policy.karmada.io/applied-placement";
/// Annotation of bindings: JSON list of what the template refers to.
pub const DEPENDENCIES: &str = "resourcebinding.karmada.io/dependencies";
/// Label of bindings: who manages them.
pub const BINDING_MANAGED_BY: &str = "binding.karmada.io/managed-by";
/// Label: permanent id of a ResourceBinding.
pub const BINDING_ID: &str = "resourcebinding.karmada.io/permanent-id";
/// Annotation: namespace of a ResourceBinding.
pub const BINDING_NAMESPACE: &str = "resourcebinding.karmada.io/namespace";
/// Annotation: name of a ResourceBinding.
pub const BINDING_NAME: &str = "resourcebinding.karmada.io/name";
/// Label: permanent id of a ClusterResourceBinding.
pub const CLUSTER_BINDING_ID: &str = "clusterresourcebinding.karmada.io/permanent-id";
/// Annotation: name of a ClusterResourceBinding.
pub const CLUSTER_BINDING_NAME: &str = "clusterresourcebinding.karmada.io/name";
/// Annotation of Works: names of applied OverridePolicies.
pub const APPLIED_OVERRIDES: &str = "policy.karmada.io/applied-overrides";
/// Annotation of Works: names of applied ClusterOverridePolicies.
pub const APPLIED_CLUSTER_OVERRIDES: &str = "policy.karmada.io/applied-cluster-overrides";

/// Label of templates, by people: keep the replicas of the member.
pub const RETAIN_REPLICAS: &str = "resourcetemplate.karmada.io/retain-replicas";
/// Label of templates, by people: `Always` refuses deletion.
pub const DELETION_PROTECTED: &str = "resourcetemplate.karmada.io/deletion-protected";
/// Label of templates that something else propagates: never claimed by a policy.
pub const CLAIMED_BY: &str = "resourcetemplate.karmada.io/claimed-by";
/// Label of namespaces, by people: `true` keeps a namespace out of the members.
pub const SKIP_NAMESPACE: &str = "namespace.karmada.io/skip-auto-propagation";

/// The text of a generation in [`GENERATION`].
#[must_use]
pub fn to_generation_text(term: u64, n: u64) -> String {
    format!("{term}.{n}")
}

/// Term and number from the text of [`GENERATION`]; other text is none.
#[must_use]
pub fn from_generation_text(text: &str) -> Option<(u64, u64)> {
    let (term, n) = text.split_once('.')?;
    let parsed = (term.parse().ok()?, n.parse().ok()?);
    (to_generation_text(parsed.0, parsed.1) == text).then_some(parsed)
}
