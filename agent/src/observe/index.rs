//! Managed objects as the watches saw them last, by kind and name.
//!
//! Synchronous; a complete list replaces everything of its kind and says what went. Objects are kept
//! without the bookkeeping of other managers, which is most of their size.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_policy::model::manifest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;
use serde_json::Value;

use crate::decisions::marks;
use crate::member::{Gvk, Seen};

/// Which object of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its namespace; empty in the cluster scope.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Name {
    /// Of an object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        Self {
            namespace: manifest::namespace(object).to_owned(),
            name: manifest::name(object).to_owned(),
        }
    }

    /// Of what a row is about.
    #[must_use]
    pub fn of_ref(object: &v1::ObjectRef) -> Self {
        Self {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

/// One change of a managed object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The work that the object is labelled with.
    pub id: WorkId,
    /// The object's name.
    pub name: Name,
    /// The object; none when it went.
    pub object: Option<Arc<Value>>,
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    kinds: BTreeMap<Gvk, BTreeMap<Name, Arc<Value>>>,
}

impl Index {
    /// Takes in what a watch saw; returns what changed for us.
    pub fn take(&mut self, gvk: &Gvk, seen: Seen) -> Vec<Change> {
        let objects = self.kinds.entry(gvk.clone()).or_default();
        match seen {
            Seen::All(all) => {
                let old = std::mem::take(objects);
                let mut changes = Vec::new();
                for object in all {
                    changes.extend(put(objects, object));
                }
                let went = old
                    .into_iter()
                    .filter(|(name, _)| !objects.contains_key(name));
                changes.extend(went.filter_map(|(name, object)| gone(name, &object)));
                changes
            }
            Seen::Is(object) => put(objects, object).into_iter().collect(),
            Seen::Went(object) => {
                let name = Name::of(&object);
                let old = objects.remove(&name).unwrap_or_else(|| Arc::new(object));
                gone(name, &old).into_iter().collect()
            }
        }
    }

    /// An object as it was seen last.
    #[must_use]
    pub fn get(&self, gvk: &Gvk, name: &Name) -> Option<&Arc<Value>> {
        self.kinds.get(gvk)?.get(name)
    }
}

fn put(objects: &mut BTreeMap<Name, Arc<Value>>, mut object: Value) -> Option<Change> {
    trim(&mut object);
    let name = Name::of(&object);
    let id = owner(&object);
    let object = Arc::new(object);
    objects.insert(name.clone(), Arc::clone(&object));
    Some(Change {
        id: id?,
        name,
        object: Some(object),
    })
}

fn gone(name: Name, object: &Value) -> Option<Change> {
    Some(Change {
        id: owner(object)?,
        name,
        object: None,
    })
}

/// The work that an object is labelled with.
#[must_use]
pub fn owner(object: &Value) -> Option<WorkId> {
    WorkId::parse(manifest::text(
        object,
        &["metadata", "labels", marks::OWNER],
    ))
}

/// Keeps of the bookkeeping what decisions look at: our own entries, and plain updates by others.
fn trim(object: &mut Value) {
    let entries = object
        .get_mut("metadata")
        .and_then(|meta| meta.get_mut("managedFields"))
        .and_then(Value::as_array_mut);
    if let Some(entries) = entries {
        entries.retain(|entry| {
            manifest::text(entry, &["manager"]) == marks::MEMBER_FIELD_MANAGER
                || manifest::text(entry, &["operation"]) == "Update"
                    && manifest::text(entry, &["subresource"]).is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mk_object(name: &str, owner: Option<WorkId>) -> Value {
        let mut object = json!({"metadata": {"namespace": "ns", "name": name}});
        if let Some(owner) = owner {
            object["metadata"]["labels"] = json!({marks::OWNER: owner.to_string()});
        }
        object
    }

    #[test]
    fn a_complete_list_says_what_went() {
        let gvk = Gvk::new("v1", "ConfigMap");
        let (a, b) = (WorkId::from_array([1; 16]), WorkId::from_array([2; 16]));
        let mut index = Index::default();
        let both = vec![mk_object("a", Some(a)), mk_object("b", Some(b))];
        assert_eq!(index.take(&gvk, Seen::All(both)).len(), 2);
        let changes = index.take(&gvk, Seen::All(vec![mk_object("b", Some(b))]));
        let went: Vec<_> = changes.iter().filter(|c| c.object.is_none()).collect();
        assert_eq!(went.len(), 1);
        assert_eq!(went[0].id, a);
        assert!(index.get(&gvk, &went[0].name).is_none());
        assert!(index.take(&gvk, Seen::Is(mk_object("c", None))).is_empty());
    }
}
