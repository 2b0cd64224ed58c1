//! The member's API as the agent needs it: a few verbs over JSON objects, and classes of failures.
//!
//! Decides nothing. `kube` is the real one and the only file that names that crate; `memory` is one
//! in memory for tests. An error is never an absence: a caller that may act on "not there" gets a
//! `None` that the member itself said.

use std::fmt;
use std::time::Duration;

use flotilla_policy::model::manifest;
use flotilla_proto::v1;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::Value;

pub mod kube;
pub mod memory;

pub use self::kube as real;

/// Group, version and kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// Version in the group.
    pub version: String,
    /// Kind.
    pub kind: String,
}

impl Gvk {
    /// From `apiVersion` and `kind`.
    #[must_use]
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// Of the object that a row is about.
    #[must_use]
    pub fn of_ref(object: &v1::ObjectRef) -> Self {
        Self::new(&object.api_version, &object.kind)
    }

    /// `group/version`, or `version` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// A kind as the member serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Its names.
    pub gvk: Gvk,
    /// Plural, as in URLs.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether its objects can be listed and watched.
    pub listable: bool,
}

impl Kind {
    fn known(api_version: &str, kind: &str, plural: &str, namespaced: bool) -> Self {
        Self {
            gvk: Gvk::new(api_version, kind),
            plural: plural.to_owned(),
            namespaced,
            listable: true,
        }
    }

    /// Core Secrets.
    #[must_use]
    pub fn secret() -> Self {
        Self::known("v1", "Secret", "secrets", true)
    }

    /// Core Namespaces.
    #[must_use]
    pub fn namespace() -> Self {
        Self::known("v1", "Namespace", "namespaces", false)
    }

    /// Core Nodes.
    #[must_use]
    pub fn node() -> Self {
        Self::known("v1", "Node", "nodes", false)
    }

    /// Core Pods.
    #[must_use]
    pub fn pod() -> Self {
        Self::known("v1", "Pod", "pods", true)
    }

    /// Leases.
    #[must_use]
    pub fn lease() -> Self {
        Self::known("coordination.k8s.io/v1", "Lease", "leases", true)
    }

    /// Definitions of further kinds.
    #[must_use]
    pub fn crd() -> Self {
        Self::known(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
        )
    }
}

/// Where one object is; an empty namespace is the cluster scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl At {
    /// An object by name.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.namespaced { namespace } else { "" };
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kind,
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.gvk.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again later.
    Retry,
    /// Try again, not before this.
    RetryAfter(Duration),
    /// Somebody else wrote first, or a precondition does not hold: look again.
    Conflict,
    /// A create of what is there.
    Exists,
    /// Not there (writes; a read answers none).
    NotFound,
    /// The namespace of the object is not there.
    NamespaceMissing,
    /// The object is broken or changes what cannot be changed.
    Invalid,
    /// The agent may not do it.
    Denied,
    /// Larger than the member takes.
    TooLarge,
    /// A webhook, a policy or a quota of the member refuses.
    MemberPolicy,
    /// The member does not serve that kind.
    UnknownKind,
    /// A watch asked for what the member has forgotten: list again.
    Expired,
    /// This process does not lead (any more): stop.
    NotLeader,
}

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{verb} {target}: {detail}")]
pub struct MemberError {
    /// What a caller can do.
    pub class: Class,
    /// What was tried.
    pub verb: &'static str,
    /// On what.
    pub target: String,
    /// The member's words.
    pub detail: String,
}

impl MemberError {
    /// A failure of a verb.
    #[must_use]
    pub fn new(class: Class, verb: &'static str, target: impl fmt::Display, detail: &str) -> Self {
        Self {
            class,
            verb,
            target: target.to_string(),
            detail: detail.to_owned(),
        }
    }
}

/// Conditions of a delete, both required: it hits exactly what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// UID of the object.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

/// What a delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The object is gone.
    Gone,
    /// Finalizers or a grace period still hold it.
    Terminating,
}

/// Something a watch saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Everything there is, complete; what was known before and is not here is gone.
    All(Vec<Value>),
    /// An object is there, or changed.
    Is(Value),
    /// An object went.
    Went(Value),
}

/// Kinds of one group and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// `group/version`.
    pub group_version: String,
    /// Kinds in it, without subresources.
    pub kinds: Vec<Kind>,
}

/// How an update of part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Server-side apply, without taking fields from others.
    Apply,
    /// Server-side apply that takes fields from others.
    ApplyForce,
    /// JSON merge patch.
    Merge,
    /// The whole object.
    Replace,
}

/// Answer of a call.
pub type Call<'a, T> = BoxFuture<'a, Result<T, MemberError>>;

/// The member's API. A `metadata.resourceVersion` in an object or patch is a precondition.
pub trait MemberApi: Send + Sync {
    /// Reads an object; none when the member says it is not there.
    fn get<'a>(&'a self, at: &'a At) -> Call<'a, Option<Value>>;
    /// Creates an object; `Exists` when it is there.
    fn create<'a>(&'a self, at: &'a At, object: &'a Value) -> Call<'a, Value>;
    /// Changes an object.
    fn write<'a>(&'a self, at: &'a At, object: &'a Value, how: Write) -> Call<'a, Value>;
    /// Deletes an object, its dependents in the background; absent is `Gone`.
    fn delete<'a>(&'a self, at: &'a At, only: &'a Precondition) -> Call<'a, Deleted>;
    /// Lists objects, at most `limit` of them (0 = all); an empty namespace lists all namespaces.
    fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &'a str,
        labels: &'a str,
        limit: usize,
    ) -> Call<'a, Vec<Value>>;
    /// Watches objects with labels; begins with `All`. Ends after an error; call again to go on.
    fn watch(&self, kind: &Kind, labels: &str) -> BoxStream<'static, Result<Seen, MemberError>>;
    /// Every kind the member serves.
    fn discover(&self) -> Call<'_, Vec<Served>>;
    /// Version of the member's API server.
    fn version(&self) -> Call<'_, String>;
}

/// `metadata.resourceVersion`, or empty.
#[must_use]
pub fn version_of(object: &Value) -> &str {
    manifest::text(object, &["metadata", "resourceVersion"])
}
