//! Which override rules concern one template in one cluster, in the order they are applied.
//!
//! Resolution only: selectors, target clusters, order. It never renders, so the hub may call it on
//! its way to an agent, and a cluster learns nothing of the rules of other clusters.
//!
//! Order: ClusterOverridePolicies before the OverridePolicies of the template's namespace; in each
//! group the less exact selector first, then the name, so that the more exact policy comes last and
//! wins; in a policy its rules as written. Matching looks at the template as written, while Karmada
//! shows OverridePolicies the object as ClusterOverridePolicies changed it: the hub does not render.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{Cluster, ClusterOverridePolicy, OverridePolicy, OverrideSpec, Overriders};
use crate::model::manifest;
use crate::model::selectors::{Exactness, cluster_matches, resource_matches};

/// The override rules of one template for one cluster, in order. Sent to agents as one body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideList {
    /// Rules in the order they are applied.
    #[serde(default)]
    pub rules: Vec<ResolvedRule>,
}

/// One rule that applies, and where it was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedRule {
    /// `ClusterOverridePolicy/name` or `OverridePolicy/namespace/name`.
    pub policy: String,
    /// Position in the policy's `overrideRules`; 0 for the deprecated pair without a list.
    pub rule: usize,
    /// What changes.
    #[serde(default)]
    pub overriders: Overriders,
}

impl OverrideList {
    /// Whether nothing applies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The bytes whose digest names this list: JSON without spaces, keys sorted.
    #[must_use]
    pub fn to_canonical_bytes(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("text keys and JSON values only");
        // Another crate of the build may have turned on serde_json's insertion order.
        value.sort_all_objects();
        value.to_string().into_bytes()
    }

    /// The list from its bytes.
    ///
    /// # Errors
    /// Text that is not such a list.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// The rules that apply to the template in the cluster. Of the template only `apiVersion`, `kind`
/// and `metadata` are looked at; policies may come in any order and from any namespace.
#[must_use]
pub fn resolve(
    template: &Value,
    cluster_policies: &[&ClusterOverridePolicy],
    policies: &[&OverridePolicy],
    cluster: &Cluster,
) -> OverrideList {
    Matched::new(template, cluster_policies, policies).for_cluster(cluster)
}

/// The policies that select one template, in order: made once, asked for each cluster.
pub struct Matched<'a> {
    policies: Vec<Candidate<'a>>,
}

impl<'a> Matched<'a> {
    /// Finds and orders the policies that select the template.
    #[must_use]
    pub fn new(
        template: &Value,
        cluster_policies: &[&'a ClusterOverridePolicy],
        policies: &[&'a OverridePolicy],
    ) -> Self {
        let namespace = manifest::namespace(template);
        let cluster_scoped = cluster_policies.iter().map(|p| Candidate {
            label: format!("ClusterOverridePolicy/{}", p.metadata.name),
            name: &p.metadata.name,
            spec: &p.spec,
        });
        let namespaced = policies
            .iter()
            .filter(|p| !namespace.is_empty() && p.metadata.namespace == namespace)
            .map(|p| Candidate {
                label: format!("OverridePolicy/{namespace}/{}", p.metadata.name),
                name: &p.metadata.name,
                spec: &p.spec,
            });
        let mut policies = matching(cluster_scoped, template);
        policies.extend(matching(namespaced, template));
        Self { policies }
    }

    /// The rules that apply in the cluster.
    #[must_use]
    pub fn for_cluster(&self, cluster: &Cluster) -> OverrideList {
        let mut rules = Vec::new();
        for policy in &self.policies {
            policy.push_rules(cluster, &mut rules);
        }
        OverrideList { rules }
    }
}

struct Candidate<'a> {
    label: String,
    name: &'a str,
    spec: &'a OverrideSpec,
}

/// The policies that select the template, least exact first, then by name.
fn matching<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    template: &Value,
) -> Vec<Candidate<'a>> {
    let mut matching: Vec<_> = candidates
        .filter_map(|c| Some((exactness(c.spec, template)?, c)))
        .collect();
    matching.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.name.cmp(y.name)));
    matching.into_iter().map(|(_, c)| c).collect()
}

/// A policy without selectors selects everything, and is as exact as a kind alone.
fn exactness(spec: &OverrideSpec, template: &Value) -> Option<Exactness> {
    if spec.resource_selectors.is_empty() {
        return Some(Exactness::Kind);
    }
    spec.resource_selectors
        .iter()
        .filter_map(|s| resource_matches(s, template))
        .max()
}

impl Candidate<'_> {
    /// A list of rules hides the deprecated pair; without a list the pair counts, even if empty.
    fn push_rules(&self, cluster: &Cluster, rules: &mut Vec<ResolvedRule>) {
        let legacy = (&self.spec.target_cluster, &self.spec.overriders);
        let listed = self.spec.override_rules.iter();
        let pairs: Vec<_> = if self.spec.override_rules.is_empty() {
            vec![legacy]
        } else {
            listed.map(|r| (&r.target_cluster, &r.overriders)).collect()
        };
        for (rule, (target, overriders)) in pairs.into_iter().enumerate() {
            if target.as_ref().is_none_or(|t| cluster_matches(t, cluster)) {
                rules.push(ResolvedRule {
                    policy: self.label.clone(),
                    rule,
                    overriders: overriders.clone(),
                });
            }
        }
    }
}
