//! Which policy claims which template, and why: `claim` decides from scratch each time, from the
//! template, the claim that stands and all policies.
//!
//! A claim stays with its policy while that policy exists, is not being deleted and still selects
//! the template; a better policy does not take it. A claim whose policy is gone is dropped and the
//! template matched anew in the same pass. Never decides whether anything is removed: losing a
//! claim leaves the binding and the members' objects as they are.

mod marks;
mod rank;
mod report;
mod scope;

pub use marks::{ClaimMarks, ClaimRef, claim_marks, claim_of, no_claim_marks};
pub use rank::{Rank, rank};
pub use report::{Candidate, MatchReport, MatchVerdict};
pub use scope::{IgnoreReason, is_ignored_namespace, is_propagatable};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{ClusterPropagationPolicy, ObjectMeta, PropagationPolicy, PropagationSpec};
use crate::model::manifest;

/// Which kind of propagation policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// ClusterPropagationPolicy.
    Cluster,
    /// PropagationPolicy: any of them beats every cluster-scoped one.
    Namespaced,
}

/// A policy that claims a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Kind of the policy.
    pub scope: Scope,
    /// Namespace of the policy; empty for a cluster-scoped one.
    pub namespace: String,
    /// Name of the policy.
    pub name: String,
    /// UID of the policy object.
    pub uid: String,
    /// Identity that survives in marks; the UID where admission gave none.
    pub permanent_id: String,
}

/// All policies that may matter; those that cannot claim the template are left aside.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolicyView<'a> {
    /// Namespaced policies, of any namespace.
    pub propagation: &'a [&'a PropagationPolicy],
    /// Cluster-scoped policies.
    pub cluster: &'a [&'a ClusterPropagationPolicy],
}

/// Who holds the template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// This policy.
    Policy(PolicyRef),
    /// No policy selects it.
    None,
    /// It is not for policies.
    Ignored(IgnoreReason),
}

/// Decides which policy holds the template. `current` is the claim that stands, from the binding or
/// the template (`claim_of`).
#[must_use]
pub fn claim(
    template: &Value,
    current: Option<&ClaimRef>,
    policies: &PolicyView<'_>,
) -> (Claim, MatchReport) {
    if let Err(reason) = propagatable(template) {
        return (Claim::Ignored(reason), MatchReport::default());
    }
    let contenders = contenders(template, policies);
    let winner = match current.and_then(|claim| keeper(claim, &contenders)) {
        Some(kept) => Some((kept, true)),
        None => best(&contenders).map(|index| (index, false)),
    };
    let report = report::build(current, &contenders, winner, |c| names_kind(c, template));
    let claim = match winner {
        Some((index, _)) => Claim::Policy(contenders[index].policy.to_ref()),
        None => Claim::None,
    };
    (claim, report)
}

fn propagatable(template: &Value) -> Result<(), IgnoreReason> {
    let labels = manifest::labels(template);
    is_propagatable(
        manifest::api_version(template),
        manifest::kind(template),
        manifest::namespace(template),
        &labels,
    )
}

/// A policy of either kind, borrowed.
#[derive(Clone, Copy, Debug)]
struct AnyPolicy<'a> {
    scope: Scope,
    metadata: &'a ObjectMeta,
    spec: &'a PropagationSpec,
}

impl AnyPolicy<'_> {
    fn namespace(&self) -> &str {
        match self.scope {
            Scope::Namespaced => &self.metadata.namespace,
            Scope::Cluster => "",
        }
    }

    fn to_ref(self) -> PolicyRef {
        PolicyRef {
            scope: self.scope,
            namespace: self.namespace().to_owned(),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone(),
            permanent_id: marks::permanent_id(self.scope, self.metadata),
        }
    }
}

/// A policy with what it says about the template.
#[derive(Clone, Copy, Debug)]
struct Contender<'a> {
    policy: AnyPolicy<'a>,
    rank: Option<Rank>,
}

impl Contender<'_> {
    fn may_claim(&self) -> bool {
        self.rank.is_some() && !self.policy.metadata.is_deleting()
    }

    fn is_of(&self, claim: &ClaimRef) -> bool {
        self.policy.scope == claim.scope
            && self.policy.namespace() == claim.namespace
            && self.policy.metadata.name == claim.name
    }
}

fn contenders<'a>(template: &Value, policies: &PolicyView<'a>) -> Vec<Contender<'a>> {
    let namespace = manifest::namespace(template);
    let namespaced = policies
        .propagation
        .iter()
        .filter(|p| !namespace.is_empty() && p.metadata.namespace == namespace)
        .map(|p| (Scope::Namespaced, &p.metadata, &p.spec));
    let cluster = policies
        .cluster
        .iter()
        .map(|p| (Scope::Cluster, &p.metadata, &p.spec));
    namespaced
        .chain(cluster)
        .map(|(scope, metadata, spec)| Contender {
            policy: AnyPolicy {
                scope,
                metadata,
                spec,
            },
            rank: rank(spec, template),
        })
        .collect()
}

fn names_kind(contender: &Contender<'_>, template: &Value) -> bool {
    contender.policy.spec.resource_selectors.iter().any(|s| {
        s.kind == manifest::kind(template) && s.api_version == manifest::api_version(template)
    })
}

fn keeper(claim: &ClaimRef, contenders: &[Contender<'_>]) -> Option<usize> {
    contenders
        .iter()
        .position(|c| c.is_of(claim) && c.may_claim())
}

fn best(contenders: &[Contender<'_>]) -> Option<usize> {
    (0..contenders.len())
        .filter(|&i| contenders[i].may_claim())
        .max_by(|&a, &b| order(&contenders[a], &contenders[b]))
}

/// Greater is better: namespaced, then rank, then the smaller name.
fn order(a: &Contender<'_>, b: &Contender<'_>) -> std::cmp::Ordering {
    let name = |c: &Contender<'_>| std::cmp::Reverse(c.policy.metadata.name.clone());
    (a.policy.scope, a.rank)
        .cmp(&(b.policy.scope, b.rank))
        .then_with(|| name(a).cmp(&name(b)))
}

/// Override policies the policy waits for that `exists` does not know. While there is one, the
/// template is not claimed.
#[must_use]
pub fn missing_overrides(spec: &PropagationSpec, exists: impl Fn(&str) -> bool) -> Vec<&str> {
    spec.dependent_overrides
        .iter()
        .map(String::as_str)
        .filter(|name| !exists(name))
        .collect()
}
