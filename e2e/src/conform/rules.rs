//! Differences from a real kube-apiserver that we mean, each with its reason.
//!
//! A rule that no longer matches anything is to be taken out: the fewer, the better.

use super::Case;

/// A difference that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Topic.
    pub topic: &'static str,
    /// Name of the case; a star at its end stands for any rest.
    pub case: &'static str,
    /// Path in the answer, such as `body.status`; everything below it counts too.
    pub path: &'static str,
    /// Why we differ.
    pub reason: &'static str,
}

/// All of them.
pub const RULES: &[Rule] = &[];

/// The rule that lists this difference.
pub(super) fn listed(case: &Case, path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.covers(case, path))
}

impl Rule {
    /// Whether this difference of this case is meant.
    #[must_use]
    pub fn covers(&self, case: &Case, path: &str) -> bool {
        let named = match self.case.strip_suffix('*') {
            Some(start) => case.name.starts_with(start),
            None => case.name == self.case,
        };
        let below = path
            .strip_prefix(self.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.topic == case.topic && named && below
    }
}
