//! Nobody gives away rights that they do not hold.
//!
//! Asked for every write of a Role, ClusterRole, RoleBinding or ClusterRoleBinding, after the write
//! itself was allowed and the object was validated. Holders of the verbs `escalate` (roles) and
//! `bind` (bindings) are exempt, and so is `system:masters`.

use serde_json::Value;

use super::{
    Attributes, Authorizer, MASTERS, User,
    rbac::{GROUP, Rbac, RoleRef},
    refuse,
    rules::{Rule, missing, quoted},
};
use crate::error::Status;

/// A write of a role or binding.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a User,
    /// Plural resource: `roles`, `clusterroles`, `rolebindings`, `clusterrolebindings`.
    pub resource: &'a str,
    /// Namespace of the request; empty for kinds of the cluster.
    pub namespace: &'a str,
    /// Name in the request's path; empty for a POST.
    pub name: &'a str,
    /// The object before; none = it is created.
    pub old: Option<&'a Value>,
    /// The object after.
    pub new: &'a Value,
}

/// Refuses a write that gives more than its writer holds. Other resources pass.
pub fn check(rbac: &Rbac, write: &Write<'_>) -> Result<(), Status> {
    let only_collects = |old| only_for_the_collector(old, write.new);
    if write.user.is_in(MASTERS) || write.old.is_some_and(only_collects) {
        return Ok(());
    }
    match write.resource {
        "roles" | "clusterroles" => check_role(rbac, write),
        "rolebindings" | "clusterrolebindings" => check_binding(rbac, write),
        _ => Ok(()),
    }
}

fn check_role(rbac: &Rbac, write: &Write<'_>) -> Result<(), Status> {
    let escalate = Attributes {
        group: GROUP,
        version: "*",
        resource: write.resource,
        namespace: write.namespace,
        name: write.name,
        ..Attributes::new(write.user, "escalate")
    };
    if rbac.allowed(&escalate).allowed {
        return Ok(());
    }
    let aggregates = |role: &Value| role["aggregationRule"].is_object();
    let aggregated = aggregates(write.new) || write.old.is_some_and(aggregates);
    if aggregated && held_less(rbac, write, &Rule::everything()).is_some() {
        let why = "must have cluster-admin privileges to use the aggregationRule";
        return Err(refused(write, why));
    }
    let rules = Rule::list(&write.new["rules"]);
    match held_less(rbac, write, &rules) {
        Some(why) => Err(refused(write, &why)),
        None => Ok(()),
    }
}

fn check_binding(rbac: &Rbac, write: &Write<'_>) -> Result<(), Status> {
    let Some(role) = RoleRef::of(write.new) else {
        return Ok(());
    };
    let bind = Attributes {
        group: GROUP,
        version: "*",
        resource: if role.cluster {
            "clusterroles"
        } else {
            "roles"
        },
        namespace: write.namespace,
        name: &role.name,
        ..Attributes::new(write.user, "bind")
    };
    if rbac.allowed(&bind).allowed {
        return Ok(());
    }
    let rules = rbac.read(|index| index.rules(&role, write.namespace));
    let rules = rules.ok_or_else(|| Status::not_found(GROUP, write.resource, &role.name))?;
    match held_less(rbac, write, &rules) {
        Some(why) => Err(refused(write, &why)),
        None => Ok(()),
    }
}

/// Which of these rights the writer lacks, as a text; none = they hold all.
fn held_less(rbac: &Rbac, write: &Write<'_>, rules: &[Rule]) -> Option<String> {
    let held = rbac.read(|index| index.rules_for(write.user, write.namespace));
    let lacking = missing(&held, rules);
    if lacking.is_empty() {
        return None;
    }
    let User { name, groups, .. } = write.user;
    Some(format!(
        "user {name:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quoted(groups),
        lacking.join("\n")
    ))
}

fn refused(write: &Write<'_>, why: &str) -> Status {
    let name = write.new["metadata"]["name"].as_str().unwrap_or(write.name);
    refuse(GROUP, write.resource, name, why)
}

/// Whether only owners and finalizers change: whoever cleans up need not hold the rights.
fn only_for_the_collector(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(meta) = object["metadata"].as_object_mut() {
            for key in ["ownerReferences", "finalizers", "managedFields"] {
                meta.remove(key);
            }
        }
        object
    };
    rest(old) == rest(new)
}
