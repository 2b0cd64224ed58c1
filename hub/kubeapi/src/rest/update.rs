//! Updates: an object is replaced by the one that was sent.

use serde_json::Value;

use super::options::WriteOptions;
use super::pipeline::{Changed, Origin, answer};
use super::steps::modified;
use super::{Call, Engine, create, meta};
use crate::error::{Cause, Status};
use crate::http::answer::Answer;
use crate::kinds::Kind;

/// Kinds that an update makes when they are missing.
const MADE_BY_UPDATE: &[&str] = &[
    "/endpoints",
    "/events",
    "/limitranges",
    "/services",
    "coordination.k8s.io/leases",
    "events.k8s.io/events",
    "rbac.authorization.k8s.io/clusterrolebindings",
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/rolebindings",
    "rbac.authorization.k8s.io/roles",
];

/// Built-in kinds of which an update must say which version it replaces.
const NEEDS_VERSION: &[&str] = &[
    "apiextensions.k8s.io/customresourcedefinitions",
    "coordination.k8s.io/leases",
    "policy/poddisruptionbudgets",
    "storage.k8s.io/csidrivers",
    "storage.k8s.io/csinodes",
    "storage.k8s.io/volumeattachments",
];

impl Engine {
    pub(super) async fn update(&self, call: &Call) -> Result<Answer, Status> {
        let options = WriteOptions::read(call, "UpdateOptions")?;
        let object = self.decoded(call, &options)?;
        check_name(call, &object)?;
        let altered = self.alter(call, &options, |live| {
            check_version(&call.kind, live, &object)?;
            let mut object = object.clone();
            keep_ownership(live, &mut object);
            Ok(Changed {
                object,
                origin: Origin::Plain,
            })
        });
        let written = match altered.await? {
            Some(written) => written,
            None if call.target.subresource.is_empty() && is_in(MADE_BY_UPDATE, &call.kind) => {
                let mut object = object;
                meta::set(&mut object, "resourceVersion", None);
                self.insert(call, &options, object, Origin::Plain).await?
            }
            None => return Err(create::missing(call)),
        };
        answer(call, &written)
    }
}

/// A replacement without managed fields keeps those that are there.
fn keep_ownership(live: &Value, object: &mut Value) {
    if object["metadata"]["managedFields"].is_null() {
        meta::copy(live, object, "managedFields");
    }
}

/// The name in the body is the name in the path.
pub(super) fn check_name(call: &Call, object: &Value) -> Result<(), Status> {
    let (said, wanted) = (meta::text(object, "name"), &call.target.name);
    if said.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    }
    if said != wanted {
        return Err(Status::bad_request(format!(
            "the name of the object ({said}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}

/// The version and uid that the client saw are those of the live object.
fn check_version(kind: &Kind, live: &Value, object: &Value) -> Result<(), Status> {
    let name = meta::text(live, "name");
    let (said, found) = (meta::text(object, "uid"), meta::text(live, "uid"));
    if !said.is_empty() && said != found {
        let why = format!(
            "Precondition failed: UID in precondition: {said}, UID in object meta: {found}"
        );
        return Err(Status::conflict(&kind.group, &kind.plural, name, &why));
    }
    check_resource_version(kind, live, meta::text(object, "resourceVersion"), true)
}

/// A version that was said must be the live one; some kinds want it said in updates.
pub(super) fn check_resource_version(
    kind: &Kind,
    live: &Value,
    said: &str,
    replaces: bool,
) -> Result<(), Status> {
    let name = meta::text(live, "name");
    if matches!(said, "" | "0") {
        if replaces && (kind.custom || is_in(NEEDS_VERSION, kind)) {
            let text = "Invalid value: 0: must be specified for an update";
            let cause = Cause::new("FieldValueInvalid", "metadata.resourceVersion", text);
            // The store says it, and it knows kinds by their plural only.
            return Err(Status::invalid(
                &kind.group,
                &kind.plural,
                name,
                vec![cause],
            ));
        }
        return Ok(());
    }
    if said.parse::<u64>().is_err() {
        let text = format!(
            "resourceVersion: Invalid value: \"{said}\": strconv.ParseUint: parsing \"{said}\": \
             invalid syntax"
        );
        return Err(Status::new(500, "", text));
    }
    if said == meta::text(live, "resourceVersion") {
        Ok(())
    } else {
        Err(modified(kind, name))
    }
}

fn is_in(list: &[&str], kind: &Kind) -> bool {
    let resource = format!("{}/{}", kind.group, kind.plural);
    list.contains(&resource.as_str())
}
