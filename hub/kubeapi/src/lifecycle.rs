//! What a server does for itself: the objects that it starts with.
//!
//! Missing ones are made, present ones are left as they are.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::roles;
use crate::error::Status;
use crate::kinds::Profile;
use crate::rest::Engine;

/// Namespaces that every server has.
const NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// Makes what is missing of the first objects.
pub async fn prepare(engine: &Arc<Engine>) -> Result<(), Status> {
    for name in NAMESPACES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name}});
        engine.ensure("namespaces", namespace).await?;
    }
    if engine.profile() == Profile::Cluster {
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": "10.96.0.1",
                "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}});
        engine.ensure("services", service).await?;
    }
    for object in roles::defaults() {
        let plural = match object["kind"].as_str() {
            Some("ClusterRole") => "clusterroles",
            Some("ClusterRoleBinding") => "clusterrolebindings",
            Some("Role") => "roles",
            _ => "rolebindings",
        };
        engine.ensure(plural, without_nulls(object)).await?;
    }
    Ok(())
}

fn without_nulls(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    object
}
