//! All scenarios, by area.

mod common;
mod kinds;
mod namespaces;
mod overrides;
mod placement;
mod propagation;
mod size;
mod status;
mod suspension;
mod why;

use crate::scenario::Scenario;

/// Every scenario.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        propagation::SCENARIOS,
        overrides::SCENARIOS,
        placement::SCENARIOS,
        suspension::SCENARIOS,
        status::SCENARIOS,
        kinds::SCENARIOS,
        namespaces::SCENARIOS,
        why::SCENARIOS,
        size::SCENARIOS,
    ]
    .concat()
}
