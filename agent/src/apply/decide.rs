//! What to do about one object: wanted × seen → one step. Pure.
//!
//! An object that was not seen is only ever created; a foreign one is left alone unless the user said
//! Overwrite; a delete touches only what carries the work's own mark.

use flotilla_policy::model::manifest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1::NackClass;
use serde_json::{Value, json};

use super::compare::Difference;
use super::fields;
use crate::decisions::marks;
use crate::member::{Precondition, version_of};
use crate::observe::index::owner;

/// What was seen of the object.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// Nothing was seen; something may be there.
    None,
    /// The member says that it is not there.
    Absent,
    /// It is there, seen by a watch (without all bookkeeping).
    Watched(&'a Value),
    /// It is there, just read or written.
    Read(&'a Value),
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The work.
    pub id: WorkId,
    /// The manifest with our marks.
    pub manifest: &'a Value,
    /// A foreign object is taken over.
    pub overwrite: bool,
    /// Neither create nor update.
    pub suspend: bool,
    /// Fence of this leader.
    pub fence: u64,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is as wanted.
    Done,
    /// Read the object, then decide again.
    Look,
    /// Create it; fails when it is there.
    Create,
    /// Apply over what has this version.
    Apply {
        /// The version.
        version: String,
    },
    /// Patch the object with this.
    Patch(Value),
    /// Delete it.
    Delete(Precondition),
    /// Look what is inside of it, then decide again.
    LookInside,
    /// It is being deleted: wait.
    Wait,
    /// A leader with this higher fence was here.
    Superseded {
        /// Its fence.
        fence: u64,
    },
    /// It must not be done.
    Refuse {
        /// Class.
        class: NackClass,
        /// Why, and what to do about it.
        detail: String,
    },
}

/// Decides about an object that is wanted. `differences` compares a manifest with an object.
#[must_use]
pub fn upsert(
    wish: &Wish<'_>,
    sight: Sight<'_>,
    differences: &dyn Fn(&Value, &Value) -> Vec<Difference>,
) -> Step {
    if wish.suspend {
        return Step::Done;
    }
    let (object, whole) = match sight {
        Sight::None | Sight::Absent => return Step::Create,
        Sight::Watched(object) => (object, false),
        Sight::Read(object) => (object, true),
    };
    if is_deleting(object) {
        return Step::Wait;
    }
    let fence = fence_of(object);
    if fence > wish.fence && owner(object) == Some(wish.id) {
        return Step::Superseded { fence };
    }
    let version = version_of(object).to_owned();
    if owner(object) != Some(wish.id) {
        return if may_adopt(wish, object) {
            Step::Apply { version }
        } else {
            foreign(object)
        };
    }
    if !differences(wish.manifest, object).is_empty() {
        return Step::Apply { version };
    }
    match fields::taken_over(object) {
        Some(_) if wish.overwrite && !whole => Step::Look,
        Some(entries) if wish.overwrite => Step::Patch(json!({
            "metadata": {"managedFields": entries, "resourceVersion": version},
        })),
        _ => Step::Done,
    }
}

/// A namespace is shared by nature; what Karmada managed is taken over from it; else the user decides.
fn may_adopt(wish: &Wish<'_>, object: &Value) -> bool {
    let marked = owner_text(object);
    let karmada = marked.is_empty()
        && manifest::text(object, &["metadata", "labels", marks::MANAGED]) == "true";
    let namespace = is_kind(object, "v1", "Namespace") && marked.is_empty();
    wish.overwrite || karmada || namespace
}

fn foreign(object: &Value) -> Step {
    let who = match owner_text(object) {
        "" => "was not made by Flotilla".to_owned(),
        other => format!("belongs to the work {other}"),
    };
    let detail = format!(
        "{} {} exists already and {who}; set conflictResolution: Overwrite in the policy to take it \
         over, or delete it in this cluster",
        manifest::kind(object),
        manifest::name(object),
    );
    Step::Refuse {
        class: NackClass::Denied,
        detail,
    }
}

/// What goes.
#[derive(Clone, Copy, Debug)]
pub struct Farewell<'a> {
    /// The work.
    pub id: WorkId,
    /// The object must have been made from this template, unless empty.
    pub uid: &'a str,
    /// Leave the object, take our marks off it.
    pub preserve: bool,
    /// What was found inside of a container; none before it was looked at.
    pub inside: Option<&'a str>,
    /// Fence of this leader.
    pub fence: u64,
}

/// Decides about an object that goes.
#[must_use]
pub fn removal(farewell: &Farewell<'_>, sight: Sight<'_>) -> Step {
    let object = match sight {
        Sight::None => return Step::Look,
        Sight::Absent => return Step::Done,
        Sight::Watched(object) | Sight::Read(object) => object,
    };
    let path = ["metadata", "annotations", marks::TEMPLATE_UID];
    let other = !farewell.uid.is_empty() && manifest::text(object, &path) != farewell.uid;
    if owner(object) != Some(farewell.id) || other {
        return Step::Done;
    }
    let fence = fence_of(object);
    if fence > farewell.fence {
        return Step::Superseded { fence };
    }
    if farewell.preserve {
        return Step::Patch(without_marks(object));
    }
    if is_deleting(object) {
        return Step::Wait;
    }
    match farewell.inside {
        None if is_container(object) => return Step::LookInside,
        Some(inside) if !inside.is_empty() => {
            return Step::Refuse {
                class: NackClass::Held,
                detail: inside.to_owned(),
            };
        }
        _ => {}
    }
    Step::Delete(Precondition {
        uid: manifest::uid(object).to_owned(),
        resource_version: version_of(object).to_owned(),
    })
}

/// A patch that takes our marks off and leaves everything else.
fn without_marks(object: &Value) -> Value {
    let mut patch = json!({"metadata": {"resourceVersion": version_of(object)}});
    let labels = [marks::OWNER, marks::MANAGED];
    let annotations = [
        marks::GENERATION,
        marks::FENCE,
        marks::TEMPLATE_UID,
        marks::KARMADA_TEMPLATE_UID,
        marks::KARMADA_TEMPLATE_GENERATION,
        marks::CONFLICT_RESOLUTION,
    ];
    for (map, keys) in [("labels", &labels[..]), ("annotations", &annotations[..])] {
        for key in keys {
            if object["metadata"][map].get(key).is_some() {
                patch["metadata"][map][*key] = Value::Null;
            }
        }
    }
    patch
}

/// Whether other objects live in it.
#[must_use]
pub fn is_container(object: &Value) -> bool {
    is_kind(object, "v1", "Namespace")
        || is_kind(
            object,
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
        )
}

fn is_kind(object: &Value, api_version: &str, kind: &str) -> bool {
    manifest::kind(object) == kind && manifest::api_version(object) == api_version
}

fn is_deleting(object: &Value) -> bool {
    !manifest::text(object, &["metadata", "deletionTimestamp"]).is_empty()
}

fn owner_text(object: &Value) -> &str {
    manifest::text(object, &["metadata", "labels", marks::OWNER])
}

fn fence_of(object: &Value) -> u64 {
    let path = ["metadata", "annotations", marks::FENCE];
    manifest::text(object, &path).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::compare::differences;

    fn id() -> WorkId {
        WorkId::from_array([1; 16])
    }

    fn mk_manifest(value: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "n",
                "labels": {marks::OWNER: id().to_string(), marks::MANAGED: "true"},
                "annotations": {marks::FENCE: "5", marks::TEMPLATE_UID: "t"},
            },
            "data": {"k": value},
        })
    }

    fn mk_stored(f: impl FnOnce(&mut Value)) -> Value {
        let mut object = mk_manifest("1");
        object["metadata"]["uid"] = "u".into();
        object["metadata"]["resourceVersion"] = "7".into();
        f(&mut object);
        object
    }

    fn apply() -> Step {
        Step::Apply {
            version: "7".into(),
        }
    }

    fn decide(f: impl FnOnce(&mut Wish<'_>), sight: Sight<'_>) -> Step {
        let manifest = mk_manifest("1");
        let mut wish = Wish {
            id: id(),
            manifest: &manifest,
            overwrite: false,
            suspend: false,
            fence: 5,
        };
        f(&mut wish);
        upsert(&wish, sight, &differences)
    }

    fn class(step: &Step) -> Option<NackClass> {
        match step {
            Step::Refuse { class, .. } => Some(*class),
            _ => None,
        }
    }

    #[test]
    fn a_wanted_object() {
        let same = mk_stored(|_| {});
        let drifted = mk_stored(|o| o["data"]["k"] = "2".into());
        let added = mk_stored(|o| o["data"]["hand"] = "made".into());
        let deleting = mk_stored(|o| o["metadata"]["deletionTimestamp"] = "now".into());
        let newer = mk_stored(|o| o["metadata"]["annotations"][marks::FENCE] = "6".into());
        for (sight, want) in [
            (Sight::None, Step::Create),
            (Sight::Absent, Step::Create),
            (Sight::Watched(&same), Step::Done),
            (Sight::Read(&added), Step::Done),
            (Sight::Watched(&drifted), apply()),
            (Sight::Read(&deleting), Step::Wait),
            (Sight::Read(&newer), Step::Superseded { fence: 6 }),
        ] {
            assert_eq!(decide(|_| {}, sight), want, "{sight:?}");
            assert_eq!(decide(|w| w.suspend = true, sight), Step::Done);
        }
    }

    #[test]
    fn a_foreign_object_is_left_unless_the_user_says_overwrite() {
        let foreign = mk_stored(|o| o["metadata"]["labels"] = json!({}));
        let other = mk_stored(|o| {
            let id = WorkId::from_array([2; 16]).to_string();
            o["metadata"]["labels"][marks::OWNER] = id.into();
        });
        for object in [&foreign, &other] {
            let step = decide(|_| {}, Sight::Read(object));
            assert_eq!(class(&step), Some(NackClass::Denied), "{step:?}");
            assert_eq!(decide(|w| w.overwrite = true, Sight::Read(object)), apply());
        }
        let karmada = mk_stored(|o| o["metadata"]["labels"] = json!({marks::MANAGED: "true"}));
        assert_eq!(decide(|_| {}, Sight::Read(&karmada)), apply());
        let namespace = mk_stored(|o| {
            o["kind"] = "Namespace".into();
            o["metadata"]["labels"] = json!({});
        });
        assert_eq!(decide(|_| {}, Sight::Read(&namespace)), apply());
    }

    #[test]
    fn overwrite_takes_fields_over_once() {
        let fields = |manager: &str, operation: &str| {
            json!({
                "manager": manager, "operation": operation, "fieldsV1": {"f:data": {"f:k": {}}},
            })
        };
        let shared = mk_stored(|o| {
            o["metadata"]["managedFields"] =
                json!([fields("flotilla", "Apply"), fields("kubectl", "Update")]);
        });
        assert_eq!(decide(|_| {}, Sight::Read(&shared)), Step::Done);
        let overwrite = |w: &mut Wish<'_>| w.overwrite = true;
        assert_eq!(decide(overwrite, Sight::Watched(&shared)), Step::Look);
        let Step::Patch(patch) = decide(overwrite, Sight::Read(&shared)) else {
            panic!("fields are taken over");
        };
        assert_eq!(
            patch["metadata"]["managedFields"],
            json!([fields("flotilla", "Apply")])
        );
        let ours = mk_stored(|o| {
            o["metadata"]["managedFields"] = json!([fields("flotilla", "Apply")]);
        });
        assert_eq!(decide(overwrite, Sight::Read(&ours)), Step::Done);
    }

    #[test]
    fn an_object_that_goes() {
        let ours = mk_stored(|_| {});
        let foreign = mk_stored(|o| o["metadata"]["labels"] = json!({}));
        let deleting = mk_stored(|o| o["metadata"]["deletionTimestamp"] = "now".into());
        let namespace = mk_stored(|o| o["kind"] = "Namespace".into());
        let base = Farewell {
            id: id(),
            uid: "t",
            preserve: false,
            inside: None,
            fence: 5,
        };
        let delete = Step::Delete(Precondition {
            uid: "u".into(),
            resource_version: "7".into(),
        });
        for (sight, want) in [
            (Sight::None, Step::Look),
            (Sight::Absent, Step::Done),
            (Sight::Watched(&ours), delete.clone()),
            (Sight::Read(&foreign), Step::Done),
            (Sight::Read(&deleting), Step::Wait),
            (Sight::Read(&namespace), Step::LookInside),
        ] {
            assert_eq!(removal(&base, sight), want, "{sight:?}");
        }
        let other_template = Farewell { uid: "x", ..base };
        assert_eq!(removal(&other_template, Sight::Read(&ours)), Step::Done);
        let empty = Farewell {
            inside: Some(""),
            ..base
        };
        assert_eq!(removal(&empty, Sight::Read(&namespace)), delete);
        let full = Farewell {
            inside: Some("3 objects"),
            ..base
        };
        let step = removal(&full, Sight::Read(&namespace));
        assert_eq!(class(&step), Some(NackClass::Held));
        let kept = Farewell {
            preserve: true,
            ..base
        };
        let Step::Patch(patch) = removal(&kept, Sight::Read(&ours)) else {
            panic!("marks come off");
        };
        assert_eq!(patch["metadata"]["labels"][marks::OWNER], Value::Null);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert!(patch.get("data").is_none());
    }
}
