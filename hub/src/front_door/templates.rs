//! Templates as they are patched, and events for people. The only writes to what is not the hub's own.

use std::sync::Arc;

use flotilla_policy::model::marks::DOOR_FIELD_MANAGER;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::Served;
use super::keys::{Gvk, TemplateKey};
use crate::controllers::writes::{Note, TemplateDoor};
use crate::durable::DurableError;

/// Longest text of an event that the API server takes.
const NOTE_CHARS_MAX: usize = 1_000;

/// Templates at the front door, over HTTP.
#[derive(Clone)]
pub struct KubeTemplates {
    client: Client,
    served: Arc<Served>,
}

impl KubeTemplates {
    pub(super) fn new(client: Client, served: Arc<Served>) -> Self {
        Self { client, served }
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, resource)
        }
    }
}

impl TemplateDoor for KubeTemplates {
    fn patch<'a>(
        &'a self,
        gvk: &'a Gvk,
        key: &'a TemplateKey,
        status: bool,
        patch: &'a Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move {
            let resource = self.served.get(gvk).ok_or_else(|| refused(key))?;
            let api = self.api(&resource, &key.namespace);
            let params = PatchParams {
                field_manager: Some(DOOR_FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(patch);
            let patched = if status {
                api.patch_status(&key.name, &params, &patch).await
            } else {
                api.patch(&key.name, &params, &patch).await
            };
            let patched = patched.map_err(|e| classify(key, e))?;
            serde_json::to_value(patched).map_err(|e| DurableError::Unreachable(Box::new(e)))
        })
    }

    fn note<'a>(&'a self, note: &'a Note) -> BoxFuture<'a, Result<(), DurableError>> {
        Box::pin(async move {
            let namespace = match note.key.namespace.as_str() {
                "" => "default",
                namespace => namespace,
            };
            let event: Event = serde_json::from_value(to_event(note, namespace))
                .map_err(|e| DurableError::Unreachable(Box::new(e)))?;
            let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
            let made = api.create(&PostParams::default(), &event).await;
            made.map(drop).map_err(|e| classify(&note.key, e))
        })
    }
}

fn to_event(note: &Note, namespace: &str) -> Value {
    let Note {
        gvk, key, reason, ..
    } = note;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let text: String = note.message.chars().take(NOTE_CHARS_MAX).collect();
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    json!({
        "metadata": { "name": format!("flotilla.{id}"), "namespace": namespace },
        "eventTime": now.to_string(),
        "reportingController": DOOR_FIELD_MANAGER,
        "reportingInstance": DOOR_FIELD_MANAGER,
        "action": "Schedule",
        "reason": reason,
        "type": if note.is_warning { "Warning" } else { "Normal" },
        "note": text,
        "regarding": {
            "apiVersion": gvk.api_version(), "kind": gvk.kind,
            "namespace": key.namespace, "name": key.name, "uid": note.uid,
        },
    })
}

fn refused(key: &TemplateKey) -> DurableError {
    DurableError::Refused {
        kind: "template",
        name: key.name.clone(),
        reason: format!("kind {} is not served", key.kind),
        code: 404,
    }
}

fn classify(key: &TemplateKey, error: kube::Error) -> DurableError {
    match error {
        kube::Error::Api(status) if status.code == 409 => DurableError::Conflict {
            kind: "template",
            name: key.name.clone(),
        },
        kube::Error::Api(status) if status.code < 500 && status.code != 429 => {
            DurableError::Refused {
                kind: "template",
                name: key.name.clone(),
                code: status.code,
                reason: status.message.clone(),
            }
        }
        other => DurableError::Unreachable(Box::new(other)),
    }
}
