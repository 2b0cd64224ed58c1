//! All scenarios, by area.

mod away;
mod common;
mod crash;
mod door;
mod drift;
mod identity;
mod kinds;
mod leave;
mod namespaces;
mod overrides;
mod placement;
mod propagation;
mod quiet;
mod refusal;
mod renewal;
mod restore;
mod size;
mod status;
mod suspension;
mod takeover;
mod templates;
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
        templates::SCENARIOS,
        door::SCENARIOS,
        status::SCENARIOS,
        kinds::SCENARIOS,
        namespaces::SCENARIOS,
        why::SCENARIOS,
        drift::SCENARIOS,
        refusal::SCENARIOS,
        size::SCENARIOS,
        quiet::SCENARIOS,
        away::SCENARIOS,
        identity::SCENARIOS,
        renewal::SCENARIOS,
        crash::SCENARIOS,
        takeover::SCENARIOS,
        restore::SCENARIOS,
        leave::SCENARIOS,
    ]
    .concat()
}
