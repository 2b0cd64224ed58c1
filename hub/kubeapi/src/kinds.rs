//! The one table of kinds: what a request for a resource needs to know.
//!
//! A row is plain data, made once for a built-in kind and on every change for a custom one. The
//! table itself decides nothing.

mod builtin;
pub mod columns;
pub mod custom;
pub mod defaults;
pub mod prepare;
pub mod validate;

use std::sync::Arc;

pub use builtin::{body, builtin};
pub use custom::custom;

use crate::schema::{NodeId, Schema, SchemaSet};

/// What kind of server this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A front door: pure defaults, nothing is allocated.
    Templates,
    /// A cluster: cluster IPs, node ports, service accounts of pods, and so on are allocated.
    Cluster,
}

/// One resource in one version.
#[derive(Debug, Clone)]
pub struct Kind {
    /// API group; empty = core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Plural resource.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// Verbs in discovery order.
    pub verbs: Vec<String>,
    /// Subresources, such as `status` and `scale`.
    pub subresources: Vec<Subresource>,
    /// Spec changes move `metadata.generation`.
    pub has_generation: bool,
    /// A custom resource: no strategic merge patches, other rules of decoding.
    pub custom: bool,
    /// Schemas, with the root of this kind.
    pub schemas: Arc<SchemaSet>,
    /// The root node.
    pub root: NodeId,
    /// Extra columns of a custom resource; none = the age alone.
    pub columns: Vec<PrinterColumn>,
    /// A `Warning` that every request gets: the version is deprecated. Empty = none.
    pub warning: String,
    /// Field selectors beyond `metadata.name` and `metadata.namespace`: label and dotted path.
    pub selectable: Vec<(String, String)>,
}

/// A column that a custom resource defines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrinterColumn {
    /// Title.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: String,
    /// Format.
    pub format: String,
    /// The text for people.
    pub description: String,
    /// 0 = always shown, above = wide output only.
    pub priority: i64,
    /// Where the value is, such as `.spec.replicas`.
    pub path: String,
}

/// A part of an object with its own path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// Last segment of the path.
    pub name: String,
    /// Kind of what is sent and answered there, with group and version.
    pub group_version_kind: (String, String, String),
    /// Verbs.
    pub verbs: Vec<String>,
    /// `specReplicasPath`, `statusReplicasPath`, `labelSelectorPath` of a scale.
    pub scale: Option<ScalePaths>,
}

/// Where a scale finds its numbers; paths without the leading dot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec: String,
    /// Present replicas.
    pub status: String,
    /// Selector, as text (custom) or as LabelSelector (built-in); empty = none.
    pub selector: String,
}

impl Kind {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The schema of whole objects.
    #[must_use]
    pub fn schema(&self) -> Schema<'_> {
        self.schemas.at(self.root)
    }
}
