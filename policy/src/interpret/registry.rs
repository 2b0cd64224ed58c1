//! Which interpreter a kind has. Sorted by file name; no kind is listed twice.

use serde_json::Value;

use super::{Interpreter, kinds};
use crate::model::manifest;

/// Every interpreter.
pub const INTERPRETERS: &[&dyn Interpreter] = &[
    &kinds::cron_job::CronJob,
    &kinds::daemon_set::DaemonSet,
    &kinds::deployment::Deployment,
    &kinds::horizontal_pod_autoscaler::HorizontalPodAutoscaler,
    &kinds::ingress::Ingress,
    &kinds::job::Job,
    &kinds::persistent_volume::PersistentVolume,
    &kinds::persistent_volume_claim::PersistentVolumeClaim,
    &kinds::pod::Pod,
    &kinds::pod_disruption_budget::PodDisruptionBudget,
    &kinds::replica_set::ReplicaSet,
    &kinds::secret::Secret,
    &kinds::service::Service,
    &kinds::service_account::ServiceAccount,
    &kinds::service_import::ServiceImport,
    &kinds::stateful_set::StatefulSet,
];

/// The interpreter of a kind.
#[must_use]
pub fn find(api_version: &str, kind: &str) -> Option<&'static dyn Interpreter> {
    INTERPRETERS
        .iter()
        .copied()
        .find(|interpreter| interpreter.kinds().contains(&(api_version, kind)))
}

/// The interpreter of an object, or the defaults.
#[must_use]
pub fn of(object: &Value) -> &'static dyn Interpreter {
    find(manifest::api_version(object), manifest::kind(object)).unwrap_or(&Defaults)
}

/// For kinds nothing is known of.
struct Defaults;

impl Interpreter for Defaults {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{INTERPRETERS, find};

    #[test]
    fn every_kind_has_one_interpreter() {
        let mut seen = BTreeSet::new();
        for interpreter in INTERPRETERS {
            assert!(!interpreter.kinds().is_empty());
            for (api_version, kind) in interpreter.kinds() {
                assert!(seen.insert((api_version, kind)), "{kind} is listed twice");
                let found = find(api_version, kind).expect("a listed kind is found");
                assert_eq!(found.kinds(), interpreter.kinds());
            }
        }
        assert!(find("apps/v1beta1", "Deployment").is_none());
    }
}
