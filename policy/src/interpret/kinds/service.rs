//! Service. Only a load balancer has a status worth reporting.

use serde_json::{Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{HealthReport, Interpreter, load_balancer, retention};
use crate::model::manifest;

const CLUSTER_IP: [&str; 2] = ["spec", "clusterIP"];
const HEALTH_CHECK_PORT: [&str; 2] = ["spec", "healthCheckNodePort"];

pub(crate) struct Service;

impl Interpreter for Service {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("v1", "Service")]
    }

    /// The address and port that the member allocated.
    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        if !read::text(observed, &CLUSTER_IP)?.is_empty() {
            retention::copy(desired, observed, &CLUSTER_IP)?;
        }
        if read::int(observed, &HEALTH_CHECK_PORT)? > 0 {
            retention::copy(desired, observed, &HEALTH_CHECK_PORT)?;
        }
        Ok(())
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        if !manifest::text(observed, &CLUSTER_IP).is_empty() {
            retention::leave_out(desired, observed, &CLUSTER_IP);
            retention::leave_out(desired, observed, &["spec", "clusterIPs"]);
        }
        if manifest::int(observed, &HEALTH_CHECK_PORT).is_some_and(|port| port > 0) {
            retention::leave_out(desired, observed, &HEALTH_CHECK_PORT);
        }
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        let Some(status) = read::status(object)?.filter(|_| is_load_balancer(object)) else {
            return Ok(None);
        };
        let balancer = read::map(status, &["loadBalancer"])?;
        Ok(Some(match balancer {
            Some(balancer) => json!({ "loadBalancer": balancer }),
            None => json!({ "loadBalancer": {} }),
        }))
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        if is_load_balancer(object) {
            load_balancer::health(object)
        } else {
            Ok(HealthReport::healthy())
        }
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        if is_load_balancer(template) {
            read::if_changed(template, load_balancer::aggregate(items))
        } else {
            Ok(None)
        }
    }
}

fn is_load_balancer(object: &Value) -> bool {
    manifest::text(object, &["spec", "type"]) == "LoadBalancer"
}
