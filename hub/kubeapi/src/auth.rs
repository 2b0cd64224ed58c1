//! Who asks, and whether they may.
//!
//! This file holds the words that all parts share: users, what they want to do, and how a refusal
//! reads. Who a user is says `authn`; what they may do says `rbac`; acting as somebody else is
//! `impersonate`; giving rights away is `escalation`; questions about rights are `reviews`.

pub mod authn;
pub mod escalation;
pub mod impersonate;
pub mod rbac;
pub mod reviews;
pub mod roles;
pub mod rules;

use std::collections::BTreeMap;

use crate::error::{Details, Status};

/// Group of everybody who said who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everybody who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of somebody who did not say who they are.
pub const ANONYMOUS: &str = "system:anonymous";
/// Members may do everything, whatever roles say.
pub const MASTERS: &str = "system:masters";

/// Somebody who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Groups, in the order in which they were found.
    pub groups: Vec<String>,
    /// Id; empty = none.
    pub uid: String,
    /// What else the credential says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody who did not say who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..Self::default()
        }
    }

    /// Belongs to this group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }
}

/// What somebody wants to do. Either `path` is set, or the rest.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a User,
    /// `get`, `list`, ..., or the HTTP method in small letters for a path.
    pub verb: &'a str,
    /// API group; empty = core.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Plural resource.
    pub resource: &'a str,
    /// Subresource; empty = none.
    pub subresource: &'a str,
    /// Namespace; empty = the cluster.
    pub namespace: &'a str,
    /// Name of the object; empty = none.
    pub name: &'a str,
    /// A path that is no resource; empty = a resource is asked for.
    pub path: &'a str,
}

impl<'a> Attributes<'a> {
    /// A verb of a user, everything else empty.
    #[must_use]
    pub fn new(user: &'a User, verb: &'a str) -> Self {
        Self {
            user,
            verb,
            group: "",
            version: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: "",
        }
    }
}

/// The answer to [`Attributes`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// They may.
    pub allowed: bool,
    /// Which grant allows it, or what went wrong while looking for one; may be empty.
    pub reason: String,
}

/// Says who may do what.
pub trait Authorizer: Send + Sync {
    /// Whether they may.
    fn allowed(&self, attributes: &Attributes<'_>) -> Decision;
}

/// Refuses with a 403 unless they may.
pub fn require(authorizer: &dyn Authorizer, attributes: &Attributes<'_>) -> Result<(), Status> {
    let decision = authorizer.allowed(attributes);
    if decision.allowed {
        Ok(())
    } else {
        Err(forbidden(attributes, &decision.reason))
    }
}

/// 403: they may not.
#[must_use]
pub fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let wish = wish(attributes);
    let why = if reason.is_empty() {
        wish
    } else {
        format!("{wish}: {reason}")
    };
    if attributes.path.is_empty() {
        refuse(attributes.group, attributes.resource, attributes.name, &why)
    } else {
        refuse("", "", "", &why)
    }
}

/// 403 about a resource, in words of the caller's.
#[must_use]
pub fn refuse(group: &str, resource: &str, name: &str, why: &str) -> Status {
    let qualified = if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    };
    let message = match (resource, name) {
        ("", _) => format!("forbidden: {why}"),
        (_, "") => format!("{qualified} is forbidden: {why}"),
        _ => format!("{qualified} \"{name}\" is forbidden: {why}"),
    };
    let mut status = Status::new(403, "Forbidden", message);
    status.details = Some(Box::new(Details {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: resource.to_owned(),
        ..Details::default()
    }));
    status
}

/// 401: the credential is not good.
#[must_use]
pub fn unauthorized() -> Status {
    Status::new(401, "Unauthorized", "Unauthorized")
}

fn wish(attributes: &Attributes<'_>) -> String {
    let Attributes {
        user,
        verb,
        group,
        resource,
        subresource,
        namespace,
        path,
        ..
    } = attributes;
    let name = &user.name;
    if !path.is_empty() {
        return format!("User {name:?} cannot {verb} path {path:?}");
    }
    let slash = if subresource.is_empty() { "" } else { "/" };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    format!(
        "User {name:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group {group:?} {place}"
    )
}

/// The one name that a field selector leaves: a list or watch with it counts as naming the object.
#[must_use]
pub fn selected_name(field_selector: &str) -> Option<&str> {
    let named = field_selector.split(',').find_map(|term| {
        let (key, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (key.trim() == "metadata.name").then(|| value.trim())
    })?;
    let segment = !named.is_empty()
        && named != "."
        && named != ".."
        && !named.contains(['/', '%', '\\', '=']);
    segment.then_some(named)
}
