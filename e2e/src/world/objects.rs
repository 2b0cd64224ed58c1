//! Objects of one API server as JSON, with the waiting that scenarios need.
//!
//! Decides nothing; every wait has a deadline and says what it last saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Api, Client};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::WorldError;
use crate::real::{NotYet, eventually};

/// Longest wait for one thing: a hub that just began to lead holds derived removals for a minute, and
/// four control planes share two cores.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Of an object that is not as it should be, an error says no more.
const BRIEF_BYTES_MAX: usize = 4 << 10;

/// API version and kind.
pub type Kind<'a> = (&'a str, &'a str);
/// Namespace (empty for the cluster scope) and name.
pub type Name<'a> = (&'a str, &'a str);

type KnownKinds = BTreeMap<(String, String), (ApiResource, bool)>;

/// Objects of one API server.
#[derive(Clone)]
pub struct Objects {
    whose: String,
    client: Client,
    kinds: Arc<Mutex<KnownKinds>>,
}

impl Objects {
    /// Over a client.
    #[must_use]
    pub fn new(whose: &str, client: Client) -> Self {
        Self {
            whose: whose.to_owned(),
            client,
            kinds: Arc::default(),
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn api(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> Result<Api<DynamicObject>, WorldError> {
        let key = (api_version.to_owned(), kind.to_owned());
        let known = self
            .kinds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        let (resource, namespaced) = match known {
            Some(known) => known,
            None => {
                let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
                let gvk = GroupVersionKind::gvk(group, version, kind);
                let found = discovery::pinned_kind(&self.client, &gvk).await;
                let doing = format!("find kind {kind} of {api_version} at {}", self.whose);
                let (resource, capabilities) = found.map_err(WorldError::request(doing))?;
                let found = (resource, capabilities.scope == Scope::Namespaced);
                self.kinds
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(key, found.clone());
                found
            }
        };
        Ok(if namespaced && !namespace.is_empty() {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        })
    }

    async fn api_of(&self, object: &Value) -> Result<(Api<DynamicObject>, String), WorldError> {
        let text = |p: &str| {
            object
                .pointer(p)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let api = self
            .api(&text("/apiVersion"), &kind, &text("/metadata/namespace"))
            .await?;
        Ok((api, name))
    }

    /// Server-side apply, as `kubectl apply --server-side --force-conflicts` would.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn apply(&self, object: Value) -> Result<Value, WorldError> {
        let (api, name) = self.api_of(&object).await?;
        let doing = format!("apply {} {name} at {}", object["kind"], self.whose);
        let params = PatchParams::apply("e2e").force();
        let applied = api.patch(&name, &params, &Patch::Apply(&object)).await;
        applied
            .map(|o| to_value(&o))
            .map_err(WorldError::request(doing))
    }

    /// Creates an object.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(&self, object: Value) -> Result<Value, WorldError> {
        let (api, name) = self.api_of(&object).await?;
        let doing = format!("create {} {name} at {}", object["kind"], self.whose);
        let typed: DynamicObject = serde_json::from_value(object)
            .map_err(|e| WorldError::Expected(format!("{doing}: {e}")))?;
        let made = api.create(&PostParams::default(), &typed).await;
        made.map(|o| to_value(&o))
            .map_err(WorldError::request(doing))
    }

    /// A JSON merge patch.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn merge(
        &self,
        (api_version, kind): Kind<'_>,
        (namespace, name): Name<'_>,
        patch: Value,
    ) -> Result<Value, WorldError> {
        let api = self.api(api_version, kind, namespace).await?;
        let doing = format!("patch {kind} {name} at {}", self.whose);
        let patched = api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched
            .map(|o| to_value(&o))
            .map_err(WorldError::request(doing))
    }

    /// Reads an object; none when it or its kind is not there.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn get(
        &self,
        (api_version, kind): Kind<'_>,
        (namespace, name): Name<'_>,
    ) -> Result<Option<Value>, WorldError> {
        let api = match self.api(api_version, kind, namespace).await {
            Ok(api) => api,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let doing = format!("read {kind} {name} at {}", self.whose);
        let found = api
            .get_opt(name)
            .await
            .map_err(WorldError::request(doing))?;
        Ok(found.map(|o| to_value(&o)))
    }

    /// Lists objects of a namespace; an empty namespace lists all.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn list(
        &self,
        (api_version, kind): Kind<'_>,
        namespace: &str,
    ) -> Result<Vec<Value>, WorldError> {
        let api = self.api(api_version, kind, namespace).await?;
        let doing = format!("list {kind} at {}", self.whose);
        let listed = api
            .list(&ListParams::default())
            .await
            .map_err(WorldError::request(doing))?;
        Ok(listed.items.iter().map(to_value).collect())
    }

    /// Deletes an object; absent is fine.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(
        &self,
        (api_version, kind): Kind<'_>,
        (namespace, name): Name<'_>,
    ) -> Result<(), WorldError> {
        let api = self.api(api_version, kind, namespace).await?;
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(WorldError::request(format!(
                "delete {kind} {name} at {}",
                self.whose
            ))(error)),
        }
    }

    /// Waits until an object is there and satisfies `holds`; returns it.
    ///
    /// # Errors
    /// When it does not in time; says what it last was.
    pub async fn eventually(
        &self,
        kind: Kind<'_>,
        name: Name<'_>,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value, WorldError> {
        let what = format!("{} {}/{} at {} {what}", kind.1, name.0, name.1, self.whose);
        let found = eventually(what, WAIT_MAX, async || match self.get(kind, name).await {
            Ok(Some(object)) if holds(&object) => Ok(object),
            Ok(Some(object)) => Err(NotYet::again(brief(object))),
            Ok(None) => Err(NotYet::again("it is not there")),
            Err(error) => Err(NotYet::again(error)),
        });
        found.await.map_err(WorldError::from)
    }

    /// Waits until an object is not there.
    ///
    /// # Errors
    /// When it still is at the deadline.
    pub async fn eventually_gone(
        &self,
        (api_version, kind): Kind<'_>,
        (namespace, name): Name<'_>,
    ) -> Result<(), WorldError> {
        let what = format!("{kind} {namespace}/{name} at {} is gone", self.whose);
        let gone = eventually(what, WAIT_MAX, async || {
            match self.get((api_version, kind), (namespace, name)).await {
                Ok(None) => Ok(()),
                Ok(Some(object)) => Err(NotYet::again(brief(object))),
                Err(error) => Err(NotYet::again(error)),
            }
        });
        gone.await.map_err(WorldError::from)
    }
}

/// The object as people want to read it in an error.
fn brief(mut object: Value) -> String {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let mut text = object.to_string();
    if text.len() > BRIEF_BYTES_MAX {
        let cut = (0..=BRIEF_BYTES_MAX)
            .rev()
            .find(|i| text.is_char_boundary(*i));
        text.truncate(cut.unwrap_or(0));
        text.push_str(" ...");
    }
    text
}

fn is_absent(error: &WorldError) -> bool {
    matches!(error, WorldError::Request { source, .. } if matches!(
        source.as_ref(),
        kube::Error::Discovery(_)
    ) || matches!(source.as_ref(), kube::Error::Api(status) if status.code == 404))
}

fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or(Value::Null)
}

/// One plain HTTP GET on the loopback address: status and body.
pub(super) async fn http_get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}
