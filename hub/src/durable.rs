//! Reading and compare-and-swap of one object at the front door: all that may last goes through here.
//!
//! Decides nothing and never retries: a caller that loses a race reads again and decides again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use flotilla_policy::model::marks::DOOR_FIELD_MANAGER;
use futures::future::BoxFuture;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::Value;

/// One kind of objects: names, and whether they have namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version within the group.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural, as in URLs.
    pub plural: &'static str,
}

impl Kind {
    /// `group/version`, or `version` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// Core Secrets.
pub const SECRET: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Secret",
    plural: "secrets",
};
/// Our JoinTokens.
pub const JOIN_TOKEN: Kind = fleet_kind("JoinToken", "jointokens");
/// Our Enrolments.
pub const ENROLMENT: Kind = fleet_kind("Enrolment", "enrolments");
/// Our Removals.
pub const REMOVAL: Kind = fleet_kind("Removal", "removals");
/// Our EpochList.
pub const EPOCH_LIST: Kind = fleet_kind("EpochList", "epochlists");
/// Karmada's Clusters.
pub const CLUSTER: Kind = Kind {
    group: "cluster.karmada.io",
    version: "v1alpha1",
    kind: "Cluster",
    plural: "clusters",
};
/// Karmada's ResourceBindings.
pub const RESOURCE_BINDING: Kind = Kind {
    group: "work.karmada.io",
    version: "v1alpha2",
    kind: "ResourceBinding",
    plural: "resourcebindings",
};
/// Karmada's ClusterResourceBindings.
pub const CLUSTER_RESOURCE_BINDING: Kind = Kind {
    group: "work.karmada.io",
    version: "v1alpha2",
    kind: "ClusterResourceBinding",
    plural: "clusterresourcebindings",
};

const fn fleet_kind(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "fleet.flotilla.dev",
        version: "v1alpha1",
        kind,
        plural,
    }
}

/// Where one object is; an empty namespace is the cluster scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// A cluster-scoped object.
    #[must_use]
    pub fn global(kind: Kind, name: &str) -> Self {
        Self::namespaced(kind, "", name)
    }

    /// A namespaced object.
    #[must_use]
    pub fn namespaced(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What failed, and what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// Somebody else wrote first: read again and decide again.
    #[error("{kind} {name} was changed by somebody else")]
    Conflict {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// The front door refused.
    #[error("the front door refused {kind} {name}: {reason}")]
    Refused {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// Its words.
        reason: String,
        /// HTTP status.
        code: u16,
    },
    /// No answer.
    #[error("the front door did not answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The only way to what lasts. Every object is JSON with `metadata.resourceVersion` from the last read.
pub trait Durable: Send + Sync {
    /// Reads an object; none when it is not there.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Value>, DurableError>>;
    /// Creates an object; `Conflict` when it is there.
    fn create<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>>;
    /// Replaces an object; `Conflict` unless its `resourceVersion` is the stored one, also when the
    /// object is gone.
    fn replace<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>>;
    /// Replaces an object's status; `Conflict` unless its `resourceVersion` is the stored one, also
    /// when the object is gone.
    fn replace_status<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>>;
    /// Deletes an object of this UID and version; absent is fine.
    fn delete<'a>(
        &'a self,
        key: &'a Key,
        uid: &'a str,
        resource_version: &'a str,
    ) -> BoxFuture<'a, Result<(), DurableError>>;
    /// Lists the objects of a kind in a namespace; an empty namespace lists all.
    fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, DurableError>>;
}

/// The front door over HTTP.
#[derive(Clone)]
pub struct KubeDurable {
    client: Client,
}

impl KubeDurable {
    /// Over an existing client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(DOOR_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or(Value::Null)
}

fn from_value(key: &Key, object: Value) -> Result<DynamicObject, DurableError> {
    serde_json::from_value(object).map_err(|error| DurableError::Refused {
        kind: key.kind.kind,
        name: key.name.clone(),
        reason: error.to_string(),
        code: 422,
    })
}

/// Maps a client's error once, for this border.
pub fn classify(key: &Key, error: kube::Error) -> DurableError {
    match error {
        kube::Error::Api(status) if status.code == 409 => DurableError::Conflict {
            kind: key.kind.kind,
            name: key.name.clone(),
        },
        kube::Error::Api(status) if status.code < 500 && status.code != 429 => {
            DurableError::Refused {
                kind: key.kind.kind,
                name: key.name.clone(),
                code: status.code,
                reason: status.message.clone(),
            }
        }
        other => DurableError::Unreachable(Box::new(other)),
    }
}

impl Durable for KubeDurable {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Value>, DurableError>> {
        Box::pin(async move {
            let found = self.api(key.kind, &key.namespace).get_opt(&key.name).await;
            Ok(found.map_err(|e| classify(key, e))?.as_ref().map(to_value))
        })
    }

    fn create<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move {
            let object = from_value(key, object)?;
            let api = self.api(key.kind, &key.namespace);
            let made = api.create(&params(), &object).await;
            made.as_ref()
                .map(to_value)
                .map_err(|e| classify_ref(key, e))
        })
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move {
            let object = from_value(key, object)?;
            let api = self.api(key.kind, &key.namespace);
            let made = api.replace(&key.name, &params(), &object).await;
            made.as_ref()
                .map(to_value)
                .map_err(|e| classify_swap(key, e))
        })
    }

    fn replace_status<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move {
            let object = from_value(key, object)?;
            let api = self.api(key.kind, &key.namespace);
            let made = api.replace_status(&key.name, &params(), &object).await;
            made.as_ref()
                .map(to_value)
                .map_err(|e| classify_swap(key, e))
        })
    }

    fn delete<'a>(
        &'a self,
        key: &'a Key,
        uid: &'a str,
        resource_version: &'a str,
    ) -> BoxFuture<'a, Result<(), DurableError>> {
        Box::pin(async move {
            let params = DeleteParams::background().preconditions(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: Some(resource_version.to_owned()),
            });
            let api = self.api(key.kind, &key.namespace);
            match api.delete(&key.name, &params).await {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(classify(key, error)),
            }
        })
    }

    fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, DurableError>> {
        Box::pin(async move {
            let listed = self.api(kind, namespace).list(&Default::default()).await;
            let key = Key::namespaced(kind, namespace, "*");
            let listed = listed.map_err(|e| classify(&key, e))?;
            Ok(listed.items.iter().map(to_value).collect())
        })
    }
}

fn classify_ref(key: &Key, error: &kube::Error) -> DurableError {
    match error {
        kube::Error::Api(status) => classify(key, kube::Error::Api(status.clone())),
        other => DurableError::Unreachable(other.to_string().into()),
    }
}

/// An object that went since it was read is a race like any other.
fn classify_swap(key: &Key, error: &kube::Error) -> DurableError {
    match error {
        kube::Error::Api(status) if status.code == 404 => DurableError::Conflict {
            kind: key.kind.kind,
            name: key.name.clone(),
        },
        other => classify_ref(key, other),
    }
}

/// A front door in memory, for tests: versions count up, compare-and-swap holds.
#[derive(Default)]
pub struct MemoryDurable {
    inner: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    version: u64,
    objects: BTreeMap<Key, Value>,
}

impl MemoryDurable {
    fn with<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    fn conflict(key: &Key) -> DurableError {
        DurableError::Conflict {
            kind: key.kind.kind,
            name: key.name.clone(),
        }
    }

    fn put(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        let uid = self
            .objects
            .get(key)
            .map_or_else(|| format!("uid-{}", self.version), |o| text(o, "uid"));
        object["metadata"]["resourceVersion"] = Value::String(self.version.to_string());
        object["metadata"]["uid"] = Value::String(uid);
        object["metadata"]["name"] = Value::String(key.name.clone());
        self.objects.insert(key.clone(), object.clone());
        object
    }

    fn swap(&mut self, key: &Key, object: Value) -> Result<Value, DurableError> {
        let stored = self.objects.get(key).ok_or_else(|| Self::conflict(key))?;
        if text(stored, "resourceVersion") != text(&object, "resourceVersion") {
            return Err(Self::conflict(key));
        }
        Ok(self.put(key, object))
    }
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or("").to_owned()
}

impl Durable for MemoryDurable {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Value>, DurableError>> {
        Box::pin(async move { Ok(self.with(|m| m.objects.get(key).cloned())) })
    }

    fn create<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move {
            self.with(|m| {
                if m.objects.contains_key(key) {
                    return Err(Memory::conflict(key));
                }
                Ok(m.put(key, object))
            })
        })
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move { self.with(|m| m.swap(key, object)) })
    }

    fn replace_status<'a>(
        &'a self,
        key: &'a Key,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, DurableError>> {
        Box::pin(async move { self.with(|m| m.swap(key, object)) })
    }

    fn delete<'a>(
        &'a self,
        key: &'a Key,
        uid: &'a str,
        resource_version: &'a str,
    ) -> BoxFuture<'a, Result<(), DurableError>> {
        Box::pin(async move {
            self.with(|m| match m.objects.get(key) {
                None => Ok(()),
                Some(o)
                    if text(o, "uid") == uid && text(o, "resourceVersion") == resource_version =>
                {
                    m.objects.remove(key);
                    Ok(())
                }
                Some(_) => Err(Memory::conflict(key)),
            })
        })
    }

    fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, DurableError>> {
        Box::pin(async move {
            Ok(self.with(|m| {
                m.objects
                    .iter()
                    .filter(|(k, _)| k.kind == kind)
                    .filter(|(k, _)| namespace.is_empty() || k.namespace == namespace)
                    .map(|(_, o)| o.clone())
                    .collect()
            }))
        })
    }
}
