//! A Cluster that a person deleted: its enrolment is forgotten, then the object may go.
//!
//! Nothing is deleted in the member: bindings drop the cluster without a tombstone, because it is
//! detached. That part is placement's; here the object waits until it is done.

use flotilla_policy::api::{Cluster, EnrolmentState};
use serde_json::json;

use super::super::driver::Planned;
use super::super::writes::Write;
use super::FINALIZER;
use crate::durable::{self, Key};
use crate::front_door::index::ClusterView;

pub(super) fn plan(view: &ClusterView, cluster: &Cluster) -> Planned {
    let name = &cluster.metadata.name;
    if let Some(enrolment) = &view.enrolment
        && enrolment.spec.state != EnrolmentState::Forgotten
    {
        let mut forgotten = json!(enrolment.as_ref());
        forgotten["spec"]["state"] = json!(EnrolmentState::Forgotten);
        let key = Key::global(durable::ENROLMENT, name);
        return Planned::Write(vec![Write::Replace(key, forgotten)]);
    }
    if view.bindings > 0 {
        // Placement lets go of it; the index wakes this key again.
        return Planned::Nothing;
    }
    if let Some(enrolment) = &view.enrolment {
        return Planned::Write(vec![Write::Delete {
            key: Key::global(durable::ENROLMENT, name),
            uid: enrolment.metadata.uid.clone(),
            resource_version: enrolment.metadata.resource_version.clone(),
        }]);
    }
    if !cluster.metadata.finalizers.iter().any(|f| f == FINALIZER) {
        return Planned::Nothing;
    }
    let mut free = cluster.clone();
    free.metadata.finalizers.retain(|f| f != FINALIZER);
    let key = Key::global(durable::CLUSTER, name);
    Planned::Write(vec![super::replace(Write::Replace, key, &free)])
}
