//! Sets of field paths, and their form in `fieldsV1`.
//!
//! A set is a trie whose keys are the path elements as they are written: `f:<name>`, `k:<keys>`,
//! `v:<value>`, `i:<index>`. An element is in the set when its node says so; that its children are in
//! it does not make it a member.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of field paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: Set,
}

/// The element of a named field.
#[must_use]
pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

impl Set {
    /// A set of one path of named fields.
    #[must_use]
    pub fn of_fields(names: &[&str]) -> Self {
        let path: Vec<_> = names.iter().map(|name| field(name)).collect();
        let mut set = Self::default();
        set.insert(&path);
        set
    }

    /// Nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a path; the empty path is nothing.
    pub fn insert(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let node = self.nodes.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// The element is a member.
    #[must_use]
    pub fn has(&self, element: &str) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// The path is a member.
    #[must_use]
    pub fn contains(&self, path: &[String]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    /// What is in the set below an element; none = nothing.
    #[must_use]
    pub fn below(&self, element: &str) -> Option<&Self> {
        let node = self.nodes.get(element)?;
        (!node.below.is_empty()).then_some(&node.below)
    }

    /// The elements at the top, with what is below them.
    pub(super) fn elements(&self) -> impl Iterator<Item = (&str, bool, &Self)> {
        let nodes = self.nodes.iter();
        nodes.map(|(key, node)| (key.as_str(), node.member, &node.below))
    }

    /// Puts an element there, a member or not, with what is below it.
    pub(super) fn put(&mut self, element: &str, member: bool, below: Self) {
        if member || !below.is_empty() {
            let node = Node { member, below };
            self.nodes.insert(element.to_owned(), node);
        }
    }

    /// The members of both.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (key, node) in &other.nodes {
            let mine = self.nodes.entry(key.clone()).or_default();
            mine.member |= node.member;
            mine.below = std::mem::take(&mut mine.below).union(&node.below);
        }
        self
    }

    /// The members that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (key, node) in &self.nodes {
            match other.nodes.get(key) {
                None => left.put(key, node.member, node.below.clone()),
                Some(gone) => left.put(
                    key,
                    node.member && !gone.member,
                    node.below.difference(&gone.below),
                ),
            }
        }
        left
    }

    /// The members that are not in the other, nor below a member of it.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (key, node) in &self.nodes {
            match other.nodes.get(key) {
                None => left.put(key, node.member, node.below.clone()),
                Some(gone) if gone.member => {}
                Some(gone) => left.put(key, node.member, node.below.without(&gone.below)),
            }
        }
        left
    }

    /// The members that are below a member of the other, or are one.
    #[must_use]
    pub fn only(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (key, node) in &self.nodes {
            match other.nodes.get(key) {
                None => {}
                Some(kept) if kept.member => left.put(key, node.member, node.below.clone()),
                Some(kept) => left.put(key, false, node.below.only(&kept.below)),
            }
        }
        left
    }

    /// The members that both have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (key, node) in &self.nodes {
            if let Some(theirs) = other.nodes.get(key) {
                both.put(
                    key,
                    node.member && theirs.member,
                    node.below.intersection(&theirs.below),
                );
            }
        }
        both
    }

    /// All members, as texts such as `.spec.ports[port=80].name`.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        self.collect("", &mut texts);
        texts
    }

    fn collect(&self, prefix: &str, texts: &mut Vec<String>) {
        let members = self.nodes.iter().filter(|(_, node)| node.member);
        texts.extend(members.map(|(key, _)| format!("{prefix}{}", text(key))));
        for (key, node) in &self.nodes {
            node.below.collect(&format!("{prefix}{}", text(key)), texts);
        }
    }

    /// Reads `fieldsV1`; none = it is not one.
    #[must_use]
    pub fn from_fields(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, value) in fields.as_object()? {
            if key == "." {
                continue;
            }
            let children = value.as_object()?;
            let element = canonical(key)?;
            let member = children.is_empty() || children.contains_key(".");
            set.put(&element, member, Self::from_fields(value)?);
        }
        Some(set)
    }

    /// Writes `fieldsV1`.
    #[must_use]
    pub fn to_fields(&self) -> Value {
        let mut fields = Map::new();
        for (key, node) in &self.nodes {
            let mut below = match node.below.to_fields() {
                Value::Object(below) => below,
                _ => Map::new(),
            };
            if node.member && !below.is_empty() {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(key.clone(), Value::Object(below));
        }
        Value::Object(fields)
    }
}

/// The one way in which an element is written here, whatever the client wrote.
fn canonical(key: &str) -> Option<String> {
    let (kind, rest) = key.split_once(':')?;
    match kind {
        "f" => Some(key.to_owned()),
        "v" | "k" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            Some(format!("{kind}:{value}"))
        }
        "i" => rest.parse::<i64>().ok().map(|at| format!("i:{at}")),
        _ => None,
    }
}

/// How an element is shown to people.
pub(super) fn text(element: &str) -> String {
    let (kind, rest) = element.split_once(':').unwrap_or(("", element));
    match kind {
        "k" => {
            let keys: Value = serde_json::from_str(rest).unwrap_or_default();
            let mut keys: Vec<_> = keys.as_object().into_iter().flatten().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            let keys: Vec<_> = keys
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        "v" => format!("[={rest}]"),
        "i" => format!("[{rest}]"),
        _ => format!(".{rest}"),
    }
}
