//! Role-based access: an index of roles and bindings, and the answers it gives.
//!
//! The index is fed with objects as they are stored and holds nothing else; the same objects give
//! the same answers. Aggregated ClusterRoles are evaluated from the roles that they select, so they
//! need no controller. It never reads a store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::Value;

use super::{Attributes, Authorizer, Decision, MASTERS, User, rules::Rule};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Namespace and name; the namespace is empty for kinds of the cluster.
type Key = (String, String);

/// Roles and bindings.
#[derive(Debug, Clone, Default)]
pub struct Index {
    roles: BTreeMap<Key, Role>,
    bindings: BTreeMap<Key, Binding>,
}

#[derive(Debug, Clone)]
struct Role {
    /// Its own rules, or those that it gathers.
    rules: Arc<[Rule]>,
    labels: Value,
    /// Selectors of an aggregated role.
    selectors: Option<Vec<Value>>,
}

#[derive(Debug, Clone)]
struct Binding {
    role: RoleRef,
    subjects: Vec<Subject>,
}

/// What a binding binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRef {
    /// The role is a ClusterRole.
    pub cluster: bool,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Clone)]
struct Subject {
    kind: String,
    namespace: String,
    name: String,
}

impl RoleRef {
    /// The `roleRef` of a binding; none = it names no role.
    #[must_use]
    pub fn of(binding: &Value) -> Option<Self> {
        let role = &binding["roleRef"];
        let cluster = match role["kind"].as_str()? {
            "ClusterRole" => true,
            "Role" => false,
            _ => return None,
        };
        let name = role["name"].as_str()?.to_owned();
        Some(Self { cluster, name })
    }
}

impl Index {
    /// Takes a Role, ClusterRole, RoleBinding or ClusterRoleBinding in; others are passed over.
    pub fn insert(&mut self, object: &Value) {
        let key = key(object);
        match object["kind"].as_str() {
            Some("Role" | "ClusterRole") => {
                let old = self.roles.insert(key.clone(), Role::from_json(object));
                let new = self.roles.get(&key).cloned();
                self.aggregate(&key, &[old, new]);
            }
            Some("RoleBinding" | "ClusterRoleBinding") => match Binding::from_json(object) {
                Some(binding) => {
                    self.bindings.insert(key, binding);
                }
                None => {
                    self.bindings.remove(&key);
                }
            },
            _ => {}
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, object: &Value) {
        let key = key(object);
        match object["kind"].as_str() {
            Some("Role" | "ClusterRole") => {
                let old = self.roles.remove(&key);
                self.aggregate(&key, &[old]);
            }
            Some("RoleBinding" | "ClusterRoleBinding") => {
                self.bindings.remove(&key);
            }
            _ => {}
        }
    }

    /// Gathers anew what aggregated roles gather, if one of them is touched by a changed role.
    fn aggregate(&mut self, changed: &Key, states: &[Option<Role>]) {
        if !changed.0.is_empty() {
            return;
        }
        let states: Vec<_> = states.iter().flatten().collect();
        let gathers = |role: &&Role| role.selectors.is_some();
        let touched = states.iter().any(|role| role.selectors.is_some())
            || self.roles.values().filter(gathers).any(|role| {
                let mut states = states.iter();
                states.any(|state| role.selects(state))
            });
        if !touched {
            return;
        }
        let fresh: Vec<_> = self
            .roles
            .iter()
            .filter_map(|(key, role)| {
                let selectors = role.selectors.as_ref()?;
                let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
                self.gather(selectors, &mut seen, &mut found);
                Some((key.clone(), found))
            })
            .collect();
        for (key, rules) in fresh {
            if let Some(role) = self.roles.get_mut(&key) {
                role.rules = rules.into();
            }
        }
    }

    /// The rules of a role, seen from a namespace; none = there is no such role.
    #[must_use]
    pub fn rules(&self, role: &RoleRef, namespace: &str) -> Option<Arc<[Rule]>> {
        let namespace = if role.cluster { "" } else { namespace };
        let key = (namespace.to_owned(), role.name.clone());
        self.roles.get(&key).map(|role| Arc::clone(&role.rules))
    }

    /// What each aggregated ClusterRole gathers, by name: what a controller writes into `rules`.
    #[must_use]
    pub fn aggregated(&self) -> BTreeMap<&str, &[Rule]> {
        let roles = self.roles.iter();
        roles
            .filter(|(_, role)| role.selectors.is_some())
            .map(|(key, role)| (key.1.as_str(), &*role.rules))
            .collect()
    }

    /// All rules of a user in a namespace (empty = in the cluster).
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        self.visit(user, namespace, |_, found| {
            rules.extend(found.iter().flat_map(|rules| rules.iter().cloned()));
            false
        });
        rules
    }

    /// Whether a binding gives this right.
    #[must_use]
    pub fn allows(&self, wish: &Attributes<'_>) -> Decision {
        let mut decision = Decision::default();
        let mut lost = Vec::new();
        self.visit(wish.user, wish.namespace, |source, rules| match rules {
            Some(rules) if rules.iter().any(|rule| rule.allows(wish)) => {
                decision.allowed = true;
                decision.reason = format!("RBAC: allowed by {}", source.describe());
                true
            }
            Some(_) => false,
            None => {
                lost.push(source.lost_role());
                false
            }
        });
        if !decision.allowed && !lost.is_empty() {
            lost.dedup();
            decision.reason = match lost.as_slice() {
                [one] => format!("RBAC: {one}"),
                many => format!("RBAC: [{}]", many.join(", ")),
            };
        }
        decision
    }

    /// Shows each binding of a user with the rules of its role (none = there is no such role),
    /// until `stop` says true.
    fn visit(
        &self,
        user: &User,
        namespace: &str,
        mut stop: impl FnMut(&Source<'_>, Option<Arc<[Rule]>>) -> bool,
    ) {
        let places: &[&str] = if namespace.is_empty() {
            &[""]
        } else {
            &["", namespace]
        };
        for place in places {
            let from = (String::from(*place), String::new());
            let here = self.bindings.range(from..);
            for (key, binding) in here.take_while(|((at, _), _)| at == place) {
                let matching = binding.subjects.iter();
                let Some(subject) = matching
                    .into_iter()
                    .find(|subject| subject.is(user, &key.0))
                else {
                    continue;
                };
                let source = Source {
                    key,
                    role: &binding.role,
                    subject,
                };
                if stop(&source, self.rules(&binding.role, place)) {
                    return;
                }
            }
        }
    }

    /// Follows aggregation through roles that are aggregated themselves, each role once.
    fn gather(&self, selectors: &[Value], seen: &mut BTreeSet<Key>, found: &mut Vec<Rule>) {
        let cluster_roles = self.roles.iter().take_while(|((at, _), _)| at.is_empty());
        for (key, role) in cluster_roles {
            let mut wanted = selectors.iter();
            let selected = wanted.any(|selector| selects(selector, &role.labels));
            if !selected || !seen.insert(key.clone()) {
                continue;
            }
            match &role.selectors {
                Some(more) => self.gather(more, seen, found),
                None => {
                    let fresh: Vec<_> = role
                        .rules
                        .iter()
                        .filter(|rule| !found.contains(rule))
                        .cloned()
                        .collect();
                    found.extend(fresh);
                }
            }
        }
    }
}

/// Where a right comes from.
struct Source<'a> {
    key: &'a Key,
    role: &'a RoleRef,
    subject: &'a Subject,
}

impl Source<'_> {
    fn describe(&self) -> String {
        let (namespace, name) = self.key;
        let binding = if namespace.is_empty() {
            format!("ClusterRoleBinding {name:?}")
        } else {
            format!("RoleBinding \"{name}/{namespace}\"")
        };
        let role = if self.role.cluster {
            "ClusterRole"
        } else {
            "Role"
        };
        let subject = match self.subject.kind.as_str() {
            "ServiceAccount" => {
                let at = self.subject.namespace_or(namespace);
                format!("{}/{at}", self.subject.name)
            }
            _ => self.subject.name.clone(),
        };
        let (role_name, kind) = (&self.role.name, &self.subject.kind);
        format!("{binding} of {role} {role_name:?} to {kind} {subject:?}")
    }

    fn lost_role(&self) -> String {
        let kind = if self.role.cluster {
            "clusterrole"
        } else {
            "role"
        };
        format!("{kind}.{GROUP} {:?} not found", self.role.name)
    }
}

impl Role {
    fn from_json(object: &Value) -> Self {
        let aggregation = &object["aggregationRule"];
        let selectors = aggregation.is_object().then(|| {
            let list = aggregation["clusterRoleSelectors"].as_array();
            list.cloned().unwrap_or_default()
        });
        Self {
            rules: Rule::list(&object["rules"]).into(),
            labels: object["metadata"]["labels"].clone(),
            selectors,
        }
    }
}

impl Role {
    fn selects(&self, other: &Self) -> bool {
        let mut selectors = self.selectors.iter().flatten();
        selectors.any(|selector| selects(selector, &other.labels))
    }
}

impl Binding {
    fn from_json(object: &Value) -> Option<Self> {
        let subjects = object["subjects"].as_array().map_or(&[][..], Vec::as_slice);
        Some(Self {
            role: RoleRef::of(object)?,
            subjects: subjects.iter().map(Subject::from_json).collect(),
        })
    }
}

impl Subject {
    fn from_json(subject: &Value) -> Self {
        let text = |key: &str| subject[key].as_str().unwrap_or_default().to_owned();
        Self {
            kind: text("kind"),
            namespace: text("namespace"),
            name: text("name"),
        }
    }

    fn namespace_or<'a>(&'a self, other: &'a str) -> &'a str {
        if self.namespace.is_empty() {
            other
        } else {
            &self.namespace
        }
    }

    fn is(&self, user: &User, binding_namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.is_in(&self.name),
            "ServiceAccount" => {
                let namespace = self.namespace_or(binding_namespace);
                let account = service_account(&user.name);
                !namespace.is_empty() && account == Some((namespace, &self.name))
            }
            _ => false,
        }
    }
}

/// Namespace and name of the service account that a user name stands for.
#[must_use]
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let plain = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    plain.then_some((namespace, name))
}

fn key(object: &Value) -> Key {
    let meta = &object["metadata"];
    let text = |key: &str| meta[key].as_str().unwrap_or_default().to_owned();
    let cluster = object["kind"]
        .as_str()
        .is_some_and(|kind| kind.starts_with("Cluster"));
    let namespace = if cluster {
        String::new()
    } else {
        text("namespace")
    };
    (namespace, text("name"))
}

/// A LabelSelector over labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let at = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector["matchLabels"].as_object().is_none_or(|wanted| {
        let mut pairs = wanted.iter();
        pairs.all(|(key, value)| at(key) == value.as_str())
    });
    let expressions = selector["matchExpressions"].as_array();
    equal
        && expressions.is_none_or(|list| {
            list.iter().all(|one| {
                let label = one["key"].as_str().and_then(at);
                let values = super::rules::texts(&one["values"]);
                let listed = label.is_some_and(|label| values.iter().any(|value| value == label));
                match one["operator"].as_str() {
                    Some("In") => listed,
                    Some("NotIn") => !listed,
                    Some("Exists") => label.is_some(),
                    Some("DoesNotExist") => label.is_none(),
                    _ => false,
                }
            })
        })
}

/// The index behind a lock, with the group that may do everything.
#[derive(Debug, Default)]
pub struct Rbac {
    index: RwLock<Index>,
}

impl Rbac {
    /// Starts from an index.
    #[must_use]
    pub fn new(index: Index) -> Self {
        Self {
            index: RwLock::new(index),
        }
    }

    /// Changes the index; the next question sees the change.
    pub fn update(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Looks into the index.
    pub fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Authorizer for Rbac {
    fn allowed(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.is_in(MASTERS) {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        self.read(|index| index.allows(attributes))
    }
}
