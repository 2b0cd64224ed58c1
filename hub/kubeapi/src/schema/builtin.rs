//! Schemas of the built-in kinds: types and field names from the published definitions, and beside
//! them the facts that these do not carry, from `facts.txt`.
//!
//! A line of the facts is a type and its words: `@atomic`, or a field followed by marks. `*` = an
//! empty value that was said stays; `!` = the field always shows; `~` = it shows, as `null` when
//! missing; `:set`, `:map(keys)`, `:atomic`, `:granular` = its type in server-side apply;
//! `+merge(key)`, `+retain`, `+replace` = its patch strategy. `e2e/kubernetes/facts` prints them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{ListType, Node, NodeId, PatchStrategy, Presence, SchemaSet, Type};

const FACTS: &str = include_str!("facts.txt");

/// Facts of types that are newer than the ones printed.
const NEWER: &str = "\
core.v1.EvictionResponder @atomic
core.v1.PodSpec evictionResponders:map(name)+merge(name)
core.v1.PodStatus nodeAllocatableResourceClaimStatuses:map(resourceClaimName)+merge(resourceClaimName)
core.v1.ContainerStatus volumeHealth:map(name)
";

/// What must be seen here although it shows no longer: an empty list resets the owners of fields.
const SEEN: &str = "\
meta.v1.ObjectMeta managedFields*
";

/// All built-in schemas in one set, with the root of each definition by its name.
#[derive(Debug)]
pub struct Builtin {
    /// The nodes.
    pub set: Arc<SchemaSet>,
    /// Roots by definition name, such as `io.k8s.api.apps.v1.Deployment`.
    pub roots: BTreeMap<String, NodeId>,
}

/// The built-in schemas, made once.
#[must_use]
pub fn schemas() -> &'static Builtin {
    static SCHEMAS: LazyLock<Builtin> = LazyLock::new(|| build(&definitions()));
    &SCHEMAS
}

/// The published definitions of all built-in kinds as JSON Schemas, by name.
#[must_use]
pub fn definitions() -> Map<String, Value> {
    let mut generator = SchemaSettings::default().into_generator();
    super::sources::add_all(&mut generator);
    generator.take_definitions(true)
}

/// Adds the definition of one type, and of all that it refers to.
pub(super) fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// What the facts say of one field.
#[derive(Debug, Default, Clone)]
struct Fact {
    presence: Presence,
    list: Option<ListType>,
    atomic: Option<bool>,
    patch: PatchStrategy,
}

impl Fact {
    /// The field needs a node of its own: it differs from what it refers to.
    fn differs(&self) -> bool {
        self.list.is_some() || self.atomic.is_some() || self.patch != PatchStrategy::default()
    }

    fn put(&self, node: &mut Node) {
        if let Some(list) = &self.list {
            node.list = list.clone();
        }
        node.atomic = self.atomic.unwrap_or(node.atomic);
        node.patch = self.patch.clone();
    }
}

struct Builder {
    set: SchemaSet,
    roots: BTreeMap<String, NodeId>,
    facts: BTreeMap<&'static str, Vec<&'static str>>,
    /// Nodes to be made from another one and a fact, once all are there.
    copies: Vec<(NodeId, NodeId, Fact)>,
}

fn build(definitions: &Map<String, Value>) -> Builtin {
    let mut builder = Builder {
        set: SchemaSet::default(),
        roots: BTreeMap::new(),
        facts: BTreeMap::new(),
        copies: Vec::new(),
    };
    for line in FACTS.lines().chain(NEWER.lines()).chain(SEEN.lines()) {
        if let Some((name, words)) = line.split_once(' ') {
            let known = builder.facts.entry(name).or_default();
            known.extend(words.split(' '));
        }
    }
    for name in definitions.keys() {
        let root = builder.set.add(Node::default());
        builder.roots.insert(name.clone(), root);
    }
    for (name, definition) in definitions {
        let node = builder.definition(name, definition);
        let root = builder.roots[name];
        builder.set.nodes[root as usize] = node;
    }
    for (id, target, fact) in std::mem::take(&mut builder.copies) {
        let mut node = builder.set.nodes[target as usize].clone();
        fact.put(&mut node);
        builder.set.nodes[id as usize] = node;
    }
    Builtin {
        set: Arc::new(builder.set),
        roots: builder.roots,
    }
}

impl Builder {
    fn definition(&mut self, name: &str, definition: &Value) -> Node {
        let short = short(name);
        let words = self.facts.get(short).cloned().unwrap_or_default();
        let mut facts: BTreeMap<&str, Fact> = BTreeMap::new();
        for word in words.iter().filter(|word| !word.starts_with('@')) {
            let (field, fact) = parse(word);
            facts.insert(field, fact);
        }
        let mut node = match short {
            "api.resource.Quantity" => of(Type::Quantity, ""),
            "util.intstr.IntOrString" => of(Type::IntOrString, ""),
            "meta.v1.Time" => of(Type::String, "date-time"),
            "meta.v1.MicroTime" => of(Type::String, "micro-time"),
            _ => self.plain(definition, &facts),
        };
        node.atomic = words.contains(&"@atomic");
        name.clone_into(&mut node.name);
        for (field, fact) in facts {
            if fact.presence != Presence::Omitted {
                node.presence.insert(field.to_owned(), fact.presence);
            }
        }
        node
    }

    fn plain(&mut self, schema: &Value, facts: &BTreeMap<&str, Fact>) -> Node {
        let format = schema["format"].as_str().unwrap_or_default();
        let mut node = match schema["type"].as_str() {
            Some("object") => self.object(schema, facts),
            Some("array") => {
                let items = self.child(&schema["items"], &Fact::default());
                Node {
                    items: Some(items),
                    ..of(Type::List, "")
                }
            }
            Some("string") => of(Type::String, format),
            Some("integer") => of(Type::Integer, format),
            Some("number") => of(Type::Number, format),
            Some("boolean") => of(Type::Boolean, ""),
            _ => Node::default(),
        };
        if let Some(required) = schema["required"].as_array() {
            let names = required.iter().filter_map(Value::as_str);
            node.required = names.map(str::to_owned).collect();
        }
        node
    }

    fn object(&mut self, schema: &Value, facts: &BTreeMap<&str, Fact>) -> Node {
        if let Some(properties) = schema["properties"].as_object() {
            let mut node = of(Type::Object, "");
            for (field, schema) in properties {
                let fact = facts.get(field.as_str()).cloned().unwrap_or_default();
                let child = self.child(schema, &fact);
                node.fields.insert(field.clone(), child);
            }
            return node;
        }
        match schema.get("additionalProperties") {
            Some(values) => Node {
                values: Some(self.child(values, &Fact::default())),
                ..of(Type::Map, "")
            },
            None => Node::default(),
        }
    }

    fn child(&mut self, schema: &Value, fact: &Fact) -> NodeId {
        let Some(reference) = schema["$ref"].as_str() else {
            let mut node = self.plain(schema, &BTreeMap::new());
            fact.put(&mut node);
            return self.set.add(node);
        };
        let name = reference.rsplit('/').next().unwrap_or_default();
        let target = self.roots[name];
        if !fact.differs() {
            return target;
        }
        let id = self.set.add(Node::default());
        self.copies.push((id, target, fact.clone()));
        id
    }
}

fn of(ty: Type, format: &str) -> Node {
    Node {
        ty,
        format: format.to_owned(),
        ..Node::default()
    }
}

/// `apps.v1.Deployment` for `io.k8s.api.apps.v1.Deployment`.
fn short(name: &str) -> &str {
    let prefixes = [
        "io.k8s.api.",
        "io.k8s.apimachinery.pkg.apis.",
        "io.k8s.apimachinery.pkg.",
        "io.k8s.apiextensions-apiserver.pkg.apis.",
    ];
    let stripped = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    stripped.unwrap_or(name)
}

/// One word of the facts: the field and what is said of it.
fn parse(word: &str) -> (&str, Fact) {
    let end = word.find(['*', '!', '~', ':', '+']).unwrap_or(word.len());
    let (field, marks) = word.split_at(end);
    let presence = match marks.chars().next() {
        Some('*') => Presence::Kept,
        Some('!') => Presence::Always,
        Some('~') => Presence::AlwaysNull,
        _ => Presence::Omitted,
    };
    let mut fact = Fact {
        presence,
        ..Fact::default()
    };
    let marks = marks.trim_start_matches(['*', '!', '~']);
    for (at, part) in marks.split('+').enumerate() {
        let (what, argument) = part.split_once('(').unwrap_or((part, ""));
        let argument = argument.trim_end_matches(')');
        match (at, what) {
            (0, ":set") => fact.list = Some(ListType::Set),
            (0, ":map") => {
                let keys = argument.split(',').map(str::to_owned).collect();
                fact.list = Some(ListType::Map(keys));
            }
            (0, ":atomic") => fact.atomic = Some(true),
            (0, ":granular") => fact.atomic = Some(false),
            (_, "merge") => {
                fact.patch.merge = true;
                fact.patch.merge_key = Some(argument.to_owned()).filter(|key| !key.is_empty());
            }
            (_, "retain") => fact.patch.retain_keys = true,
            (_, "replace") => fact.patch.replace = true,
            _ => {}
        }
    }
    (field, fact)
}
