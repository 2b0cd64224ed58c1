//! What the hub puts at the front door before it serves: its namespace, the CRDs, the webhook
//! configurations and how agents reach it. Written only where something differs.
//!
//! Also refuses a front door that runs workloads: such a cluster would run the templates itself.

use std::time::Duration;

use flotilla_policy::api::{KINDS, crd};
use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::admission::{ADMIT_PATH, PROTECT_PATH};
use crate::rbac::{HUB_NAME, HUB_NAMESPACE};
use flotilla_policy::model::marks::{DELETION_PROTECTED, DOOR_FIELD_MANAGER};

/// Says which text of ours an object was made from.
const SOURCE: &str = "fleet.flotilla.dev/source";
/// A front door that does not serve a new kind within this has a problem of its own.
const ESTABLISHED_MAX: Duration = Duration::from_secs(30);

/// Why the front door cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It runs workloads.
    #[error(
        "this cluster runs workloads ({0}); a front door holds templates and must run none. \
         Point --kubeconfig at a dedicated API server"
    )]
    RunsWorkloads(String),
    /// A request failed.
    #[error("cannot {doing} at the front door")]
    Request {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// A kind is not served.
    #[error("the front door does not serve {0} after {ESTABLISHED_MAX:?}")]
    NotEstablished(String),
    /// An object of ours is not one for the client.
    #[error("cannot build {0}")]
    Build(String, #[source] serde_json::Error),
}

fn failed(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> InstallError {
    let doing = doing.into();
    move |source| InstallError::Request {
        doing,
        source: Box::new(source),
    }
}

/// Refuses a cluster that has nodes or whose ReplicaSets are acted on.
///
/// # Errors
/// When it does, or cannot be asked.
pub async fn refuse_workloads(client: &Client) -> Result<(), InstallError> {
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::Node;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default().limit(1)).await;
    if let Some(node) = nodes.map_err(failed("list nodes"))?.items.first() {
        let name = node.metadata.name.clone().unwrap_or_default();
        return Err(InstallError::RunsWorkloads(format!("it has node {name}")));
    }
    let sets: Api<ReplicaSet> = Api::all(client.clone());
    let mut params = ListParams::default().limit(500);
    loop {
        let page = sets
            .list(&params)
            .await
            .map_err(failed("list replicasets"))?;
        let works = |set: &&ReplicaSet| {
            set.status.as_ref().is_some_and(|s| s.replicas > 0)
                && set.metadata.owner_references.is_some()
        };
        if let Some(set) = page.items.iter().find(works) {
            let name = set.metadata.name.clone().unwrap_or_default();
            return Err(InstallError::RunsWorkloads(format!(
                "ReplicaSet {name} has replicas"
            )));
        }
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(()),
        }
    }
}

/// Puts the namespace and the CRDs there and waits until every kind is served.
///
/// # Errors
/// When a request fails or a kind does not come up.
pub async fn apply_kinds(client: &Client) -> Result<(), InstallError> {
    ensure(
        client,
        &[json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HUB_NAMESPACE},
        })],
    )
    .await?;
    ensure(client, &crd::crds()).await?;
    let served = KINDS.iter().map(|kind| async move {
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let name = kind.crd_name();
        let wait = await_condition(crds, &name, conditions::is_crd_established());
        match tokio::time::timeout(ESTABLISHED_MAX, wait).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(InstallError::NotEstablished(name)),
        }
    });
    try_join_all(served).await.map(drop)
}

/// How the front door calls the webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// `https://host:port`, without a path.
    pub url: String,
    /// Certificates to trust, PEM.
    pub ca_pem: String,
    /// The hub's own user name: its writes are not asked about, they come from `policy`.
    pub hub_user: String,
}

/// Puts the webhook configurations there.
///
/// # Errors
/// When a request fails.
pub async fn apply_webhooks(client: &Client, webhooks: &Webhooks) -> Result<(), InstallError> {
    ensure(client, &webhook_objects(webhooks)).await
}

/// How agents reach the hub, for `flotilla token create`.
#[derive(Clone, Debug)]
pub struct HubInfo {
    /// `host:port`.
    pub address: String,
    /// Name in the hub's certificate.
    pub server_name: String,
    /// SHA-256 of the roots' public keys, hex.
    pub pins: Vec<String>,
}

/// Says at the front door how agents reach the hub.
///
/// # Errors
/// When a request fails.
pub async fn publish(client: &Client, info: &HubInfo) -> Result<(), InstallError> {
    ensure(
        client,
        &[json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": HUB_NAME, "namespace": HUB_NAMESPACE},
            "data": {
                "address": info.address,
                "serverName": info.server_name,
                "pins": info.pins.join(" "),
            },
        })],
    )
    .await
}

fn webhook_objects(webhooks: &Webhooks) -> Vec<Value> {
    use base64::Engine;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&webhooks.ca_pem);
    let client = |path: &str| json!({"url": format!("{}{path}", webhooks.url), "caBundle": bundle});
    let groups: std::collections::BTreeSet<_> = KINDS.iter().map(|kind| kind.group).collect();
    let resources: Vec<_> = KINDS.iter().map(|kind| kind.plural).collect();
    let common = json!({
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
        "timeoutSeconds": 5,
    });
    let hook = |name: &str, rest: Value| {
        let mut hook = common.clone();
        hook["name"] = name.into();
        if let (Some(hook), Some(rest)) = (hook.as_object_mut(), rest.as_object()) {
            hook.extend(rest.clone());
        }
        hook
    };
    let not_the_hub = json!([{
        "name": "not-the-hub",
        "expression": format!("request.userInfo.username != '{}'", webhooks.hub_user.replace('\'', "")),
    }]);
    let admit = hook(
        "admit.fleet.flotilla.dev",
        json!({
            "clientConfig": client(ADMIT_PATH),
            "matchConditions": not_the_hub,
            "rules": [{
                "apiGroups": groups, "apiVersions": ["*"], "resources": resources,
                "operations": ["CREATE", "UPDATE"], "scope": "*",
            }],
        }),
    );
    let protect = hook(
        "protect.fleet.flotilla.dev",
        json!({
            "clientConfig": client(PROTECT_PATH),
            "objectSelector": {"matchLabels": {DELETION_PROTECTED: "Always"}},
            "rules": [{
                "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
                "operations": ["DELETE"], "scope": "*",
            }],
        }),
    );
    let configuration = |kind: &str, hook: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": HUB_NAME}, "webhooks": [hook],
        })
    };
    vec![
        configuration("MutatingWebhookConfiguration", admit),
        configuration("ValidatingWebhookConfiguration", protect),
    ]
}

/// Creates what is absent, and replaces what was made from another text of ours.
async fn ensure(client: &Client, objects: &[Value]) -> Result<(), InstallError> {
    try_join_all(objects.iter().map(|object| ensure_one(client, object)))
        .await
        .map(drop)
}

async fn ensure_one(client: &Client, object: &Value) -> Result<(), InstallError> {
    let mut object = object.clone();
    let source = blake3::hash(object.to_string().as_bytes())
        .to_hex()
        .to_string();
    object["metadata"]["annotations"][SOURCE] = source.clone().into();
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let api = api_of(
        client,
        &text("/apiVersion"),
        &kind,
        &text("/metadata/namespace"),
    );
    let what = format!("{kind} {name}");
    let stored = api
        .get_opt(&name)
        .await
        .map_err(failed(format!("read {what}")))?;
    let held = stored
        .as_ref()
        .and_then(|s| s.metadata.annotations.as_ref()?.get(SOURCE));
    if held == Some(&source) {
        return Ok(());
    }
    if stored.is_some() && kind == "Namespace" {
        return Ok(());
    }
    let params = PatchParams::apply(DOOR_FIELD_MANAGER).force();
    let object: DynamicObject =
        serde_json::from_value(object).map_err(|e| InstallError::Build(what.clone(), e))?;
    let applied = api.patch(&name, &params, &Patch::Apply(&object)).await;
    applied.map(drop).map_err(failed(format!("apply {what}")))
}

fn api_of(client: &Client, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        // All kinds named in this file have regular plurals.
        plural: format!("{}s", kind.to_lowercase()),
    };
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}
