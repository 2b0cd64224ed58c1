//! Schemas as the engine reads them: one form for built-in kinds and for custom resources.
//!
//! A set is an arena, so that schemas may refer to themselves; a [`Schema`] is a cheap handle into
//! it. This file holds the form only: where schemas come from and what is done with them (decode,
//! prune, default, validate, merge, apply) is the business of other files.

pub mod builtin;
pub mod decode;
mod sources;
pub mod structural;

use std::collections::BTreeMap;

use serde_json::Value;

/// Index of a node in its set.
pub type NodeId = u32;

/// Schemas that refer to each other.
#[derive(Debug, Clone, Default)]
pub struct SchemaSet {
    /// All nodes; ids are indexes.
    pub nodes: Vec<Node>,
}

/// One place of an object: its type, its parts, and how lists and maps merge there.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// What kind of value stands here.
    pub ty: Type,
    /// Known fields of an object.
    pub fields: BTreeMap<String, NodeId>,
    /// Fields that show otherwise than by the rule of [`Presence::Omitted`] (built-in kinds).
    pub presence: BTreeMap<String, Presence>,
    /// Values of a map, when `ty` is [`Type::Map`].
    pub values: Option<NodeId>,
    /// Items of a list, when `ty` is [`Type::List`].
    pub items: Option<NodeId>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// Unknown fields are kept (custom resources).
    pub preserve_unknown: bool,
    /// An embedded object with `apiVersion`, `kind`, `metadata` (custom resources).
    pub embedded: bool,
    /// `null` is a value (custom resources).
    pub nullable: bool,
    /// Value when the field is missing.
    pub default: Option<Value>,
    /// Ownership and merging of a list in server-side apply.
    pub list: ListType,
    /// A map or struct that is owned and replaced as a whole in server-side apply.
    pub atomic: bool,
    /// Merging in strategic merge patches.
    pub patch: PatchStrategy,
    /// `int32`, `int64`, `date-time`, `byte`, ...; empty = none.
    pub format: String,
    /// What values are valid (custom resources; built-in kinds have code for that).
    pub limits: Option<Box<Limits>>,
    /// The text that `kubectl explain` shows.
    pub description: String,
    /// Name of the definition that this node is the root of, such as `io.k8s.api.apps.v1.Deployment`.
    pub name: String,
}

/// What kind of value a node describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Type {
    /// Anything at all: a raw extension, or a region without schema.
    #[default]
    Any,
    /// Known fields.
    Object,
    /// Free keys, values of one schema.
    Map,
    /// Items of one schema.
    List,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A whole number or text.
    IntOrString,
    /// A Kubernetes quantity: text, or a number that becomes text.
    Quantity,
}

/// How an empty field of a built-in kind shows in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// An empty value (`""`, `0`, `false`, `[]`, an empty map) is left out; an empty struct stays.
    #[default]
    Omitted,
    /// An empty value that was said stays; a missing one is left out.
    Kept,
    /// A missing value shows as the empty one: `""`, `0`, a struct, or `null` for lists and times.
    Always,
    /// A missing value shows as `null`.
    AlwaysNull,
}

/// Ownership of a list in server-side apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// Owned as a whole.
    #[default]
    Atomic,
    /// Each value is owned.
    Set,
    /// Each item is owned, told apart by these fields.
    Map(Vec<String>),
}

/// How strategic merge patches treat a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// A list is merged, not replaced.
    pub merge: bool,
    /// The field that tells items apart; none = a list of scalars, merged as a set.
    pub merge_key: Option<String>,
    /// `$retainKeys` is honoured.
    pub retain_keys: bool,
    /// A map or struct is replaced, not merged.
    pub replace: bool,
}

/// Value validations of a structural schema, as OpenAPI words them.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Allowed values.
    pub one_of_values: Option<Vec<Value>>,
    /// Regular expression.
    pub pattern: Option<String>,
    /// Least number; true = exclusive.
    pub minimum: Option<(f64, bool)>,
    /// Greatest number; true = exclusive.
    pub maximum: Option<(f64, bool)>,
    /// Multiple of.
    pub multiple_of: Option<f64>,
    /// Least and greatest length of text, in characters.
    pub length: (Option<u64>, Option<u64>),
    /// Least and greatest number of items.
    pub items: (Option<u64>, Option<u64>),
    /// Least and greatest number of properties.
    pub properties: (Option<u64>, Option<u64>),
    /// Items must differ.
    pub unique_items: bool,
    /// All of these must hold.
    pub all_of: Vec<NodeId>,
    /// At least one of these must hold.
    pub any_of: Vec<NodeId>,
    /// Exactly one of these must hold.
    pub one_of: Vec<NodeId>,
    /// This must not hold.
    pub not: Option<NodeId>,
}

/// A handle: one node of a set.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    set: &'a SchemaSet,
    id: NodeId,
}

impl SchemaSet {
    /// Adds a node and says where it lies.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId::try_from(self.nodes.len()).expect("a set holds far less than 2^32 nodes");
        self.nodes.push(node);
        id
    }

    /// The handle of a node of this set.
    #[must_use]
    pub fn at(&self, id: NodeId) -> Schema<'_> {
        Schema { set: self, id }
    }
}

impl<'a> Schema<'a> {
    /// The node itself.
    #[must_use]
    pub fn node(self) -> &'a Node {
        &self.set.nodes[self.id as usize]
    }

    /// Where the node lies in its set.
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Another node of the same set.
    #[must_use]
    pub fn at(self, id: NodeId) -> Self {
        Self { set: self.set, id }
    }

    /// What stands at this key: a known field, or the value of a map. None = unknown.
    #[must_use]
    pub fn field(self, key: &str) -> Option<Self> {
        let node = self.node();
        let id = node.fields.get(key).or(node.values.as_ref())?;
        Some(self.at(*id))
    }

    /// What stands in a list.
    #[must_use]
    pub fn items(self) -> Option<Self> {
        self.node().items.map(|id| self.at(id))
    }
}
