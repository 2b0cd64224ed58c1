//! Which kinds of templates are watched: those that a policy selects or a binding points at, and
//! Namespaces as soon as there is one of them.

use std::collections::BTreeMap;

use flotilla_policy::matching::is_propagatable;

use super::State;
use crate::front_door::keys::{Gvk, Source};

impl State {
    /// Computes the wanted kinds anew; of a kind's versions one is watched, since all show the same
    /// objects.
    pub(super) fn refresh_wanted(&mut self) {
        let named = self.propagation.kinds().chain(self.binding_kinds.keys());
        let mut chosen: BTreeMap<(String, String), Gvk> = BTreeMap::new();
        for gvk in named.filter(|gvk| may_be_template(gvk)) {
            let kind = (gvk.group.clone(), gvk.kind.clone());
            let held = chosen.entry(kind).or_insert_with(|| gvk.clone());
            if maturity(gvk) > maturity(held) {
                *held = gvk.clone();
            }
        }
        self.wanted = chosen.into_values().collect();
        if !self.wanted.is_empty() {
            self.wanted.insert(Gvk::namespace());
        }
    }

    /// Counts a binding of a kind in or out.
    pub(super) fn count_binding_kind(&mut self, gvk: &Gvk, by: isize) {
        let count = self.binding_kinds.entry(gvk.clone()).or_default();
        *count = count.saturating_add_signed(by);
        let (now, before) = (*count, count.saturating_add_signed(-by));
        if now == 0 {
            self.binding_kinds.remove(gvk);
        }
        if (now == 0) != (before == 0) {
            self.refresh_wanted();
        }
    }

    pub(super) fn forget_kind(&mut self, gvk: &Gvk) {
        let templates = self.templates_of(gvk, None);
        let keys: Vec<_> = templates.map(|t| t.key.clone()).collect();
        for key in keys {
            if self.binding_of.contains_key(&key) {
                continue;
            }
            self.templates.remove(&key);
        }
        self.synced.remove(&Source::Templates(gvk.clone()));
    }
}

fn may_be_template(gvk: &Gvk) -> bool {
    is_propagatable(&gvk.api_version(), &gvk.kind, "", &BTreeMap::new()).is_ok()
}

/// Stable versions before beta ones before alpha ones, then the later name.
fn maturity(gvk: &Gvk) -> (u8, &str) {
    let version = gvk.version.as_str();
    let grade = if version.contains("alpha") {
        0
    } else if version.contains("beta") {
        1
    } else {
        2
    };
    (grade, version)
}
