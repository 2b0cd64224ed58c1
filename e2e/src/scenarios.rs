//! All scenarios, by area.

mod propagation;

use crate::scenario::Scenario;

/// Every scenario.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [propagation::SCENARIOS].concat()
}
