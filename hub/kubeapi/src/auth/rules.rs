//! One rule of a role: what it allows, and whether other rules together say as much.
//!
//! Pure data and questions about it; who holds a rule is none of its business.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Attributes;

/// One rule of a Role or ClusterRole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub groups: Vec<String>,
    /// Resources as `name`, `name/sub`, `*/sub` or `*`.
    pub resources: Vec<String>,
    /// Names of objects; empty = all.
    pub names: Vec<String>,
    /// Paths, with a star at the end if need be.
    pub urls: Vec<String>,
}

impl Rule {
    /// Everything there is.
    #[must_use]
    pub fn everything() -> [Self; 2] {
        let star = || vec!["*".to_owned()];
        let resources = Self {
            verbs: star(),
            groups: star(),
            resources: star(),
            ..Self::default()
        };
        let urls = Self {
            verbs: star(),
            urls: star(),
            ..Self::default()
        };
        [resources, urls]
    }

    /// The `rules` of a role object.
    #[must_use]
    pub fn list(rules: &Value) -> Vec<Self> {
        let rules = rules.as_array().map_or(&[][..], Vec::as_slice);
        rules.iter().map(Self::from_json).collect()
    }

    fn from_json(rule: &Value) -> Self {
        let texts = |key: &str| texts(&rule[key]);
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            urls: texts("nonResourceURLs"),
        }
    }

    /// As it stands in a role object or in a review.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut rule = Map::new();
        rule.insert("verbs".into(), json!(self.verbs));
        for (key, list) in [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !list.is_empty() {
                rule.insert(key.into(), json!(list));
            }
        }
        Value::Object(rule)
    }

    /// Whether this rule alone allows it.
    #[must_use]
    pub fn allows(&self, wish: &Attributes<'_>) -> bool {
        if !wild(&self.verbs, wish.verb) {
            return false;
        }
        if !wish.path.is_empty() {
            return self.urls.iter().any(|url| url_covers(url, wish.path));
        }
        wild(&self.groups, wish.group)
            && self.has_resource(wish.resource, wish.subresource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == wish.name))
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|one| {
            one == "*"
                || match one.split_once('/') {
                    None => subresource.is_empty() && one == resource,
                    Some((main, sub)) => {
                        !subresource.is_empty()
                            && sub == subresource
                            && (main == "*" || main == resource)
                    }
                }
        })
    }

    /// The same rights as rules of one verb and one thing each.
    fn split(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let mut parts = Vec::new();
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part = Self {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        ..Self::default()
                    };
                    if self.names.is_empty() {
                        parts.push(part);
                        continue;
                    }
                    let named = self.names.iter().map(|name| Self {
                        names: one(name),
                        ..part.clone()
                    });
                    parts.extend(named);
                }
            }
        }
        for url in &self.urls {
            let of_url = self.verbs.iter().map(|verb| Self {
                verbs: one(verb),
                urls: one(url),
                ..Self::default()
            });
            parts.extend(of_url);
        }
        parts
    }

    /// Whether this rule holds a part made by [`Rule::split`].
    fn covers(&self, part: &Self) -> bool {
        let resource = |wanted: &String| {
            let inside = |(_, sub): (&str, &str)| has(&self.resources, &format!("*/{sub}"));
            wild(&self.resources, wanted) || wanted.split_once('/').is_some_and(inside)
        };
        let url = |wanted: &String| self.urls.iter().any(|mine| url_covers(mine, wanted));
        part.verbs.iter().all(|verb| wild(&self.verbs, verb))
            && part.groups.iter().all(|group| wild(&self.groups, group))
            && part.resources.iter().all(resource)
            && part.urls.iter().all(url)
            && (self.names.is_empty()
                || !part.names.is_empty() && part.names.iter().all(|name| has(&self.names, name)))
    }

    /// The short form that refusals list, with the field names that clients know from Go.
    fn describe(&self) -> String {
        let fields: Vec<_> = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
        format!("{{{}}}", fields.join(", "))
    }
}

/// What of `wanted` the rules `held` do not give, each as a short text, sorted; empty = all is held.
#[must_use]
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let parts = wanted.iter().flat_map(Rule::split);
    let lacking = parts.filter(|part| !held.iter().any(|rule| rule.covers(part)));
    let mut by_thing: BTreeMap<[Vec<String>; 3], Rule> = BTreeMap::new();
    let mut texts = Vec::new();
    for part in lacking {
        if !part.urls.is_empty() {
            texts.push(part.describe());
            continue;
        }
        let thing = [&part.groups, &part.resources, &part.names].map(Clone::clone);
        match by_thing.get_mut(&thing) {
            Some(rule) => rule.verbs.extend(part.verbs),
            None => {
                by_thing.insert(thing, part);
            }
        }
    }
    texts.extend(by_thing.values().map(Rule::describe));
    texts.sort();
    texts.dedup();
    texts
}

/// `["a" "b"]`, as refusals write lists.
#[must_use]
pub fn quoted(list: &[String]) -> String {
    let items: Vec<_> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(" "))
}

/// The texts of a list of texts.
pub(super) fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == wanted)
}

fn wild(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn url_covers(rule: &str, path: &str) -> bool {
    let start = rule.trim_end_matches('*');
    rule == path || (start.len() < rule.len() && path.starts_with(start))
}
