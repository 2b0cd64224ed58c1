//! Ingress.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::AggregatedStatusItem;
use crate::interpret::read::{self, Read};
use crate::interpret::{Dependency, HealthReport, Interpreter, load_balancer};
use crate::model::manifest;

pub(crate) struct Ingress;

impl Interpreter for Ingress {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("networking.k8s.io/v1", "Ingress")]
    }

    fn health(&self, object: &Value) -> Read<HealthReport> {
        load_balancer::health(object)
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        read::if_changed(template, load_balancer::aggregate(items))
    }

    /// Certificates. An entry without a secret uses the controller's own, so it names nothing.
    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        let namespace = manifest::namespace(object);
        let names: BTreeSet<&str> = read::list(object, &["spec", "tls"])?
            .iter()
            .map(|entry| read::text(entry, &["secretName"]))
            .collect::<Read<_>>()?;
        Ok(names
            .into_iter()
            .filter(|name| !name.is_empty())
            .map(|name| Dependency::named("v1", "Secret", namespace, name))
            .collect())
    }
}
