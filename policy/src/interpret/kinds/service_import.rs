//! ServiceImport: it stands for a Service derived from it, and that Service's endpoints.

use serde_json::Value;

use crate::api::StringMap;
use crate::interpret::read::Read;
use crate::interpret::{Dependency, Interpreter};
use crate::model::manifest;

pub(crate) struct ServiceImport;

impl Interpreter for ServiceImport {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("multicluster.x-k8s.io/v1alpha1", "ServiceImport")]
    }

    fn dependencies(&self, object: &Value) -> Read<Vec<Dependency>> {
        let namespace = manifest::namespace(object);
        let service = format!("derived-{}", manifest::name(object));
        let endpoints = Dependency {
            labels: StringMap::from([("kubernetes.io/service-name".to_owned(), service.clone())]),
            ..Dependency::named("discovery.k8s.io/v1", "EndpointSlice", namespace, "")
        };
        let service = Dependency::named("v1", "Service", namespace, &service);
        Ok(vec![endpoints, service])
    }
}
