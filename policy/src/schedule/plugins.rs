//! One file per filter: what it rejects and why. Each is listed in the registry.

pub(super) mod api_enablement;
pub(super) mod cluster_affinity;
pub(super) mod cluster_eviction;
pub(super) mod spread_constraint;
pub(super) mod taint_toleration;
