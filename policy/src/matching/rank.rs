//! How strongly a policy wants a template. Needs the policy and the template only, so an index can
//! keep ranks; the order among kinds of policies and names is decided beside it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::PropagationSpec;
use crate::model::selectors::{Exactness, resource_matches};

/// Strength of a policy for one template; greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rank {
    /// Explicit priority, 0 when absent.
    pub priority: i32,
    /// Exactness of the policy's most exact selector that matches.
    pub exactness: Exactness,
}

/// The policy's rank for the template; none when no selector matches.
#[must_use]
pub fn rank(policy: &PropagationSpec, template: &Value) -> Option<Rank> {
    let exactness = policy
        .resource_selectors
        .iter()
        .filter_map(|selector| resource_matches(selector, template))
        .max()?;
    Some(Rank {
        priority: policy.priority.unwrap_or(0),
        exactness,
    })
}
