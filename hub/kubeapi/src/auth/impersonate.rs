//! Acting as somebody else: the `Impersonate-*` headers and the rights they need.
//!
//! Every part that is asked for (user, each group, uid, each extra value) needs the verb
//! `impersonate` of its own. Whoever passes the request on strips these headers.

use std::collections::BTreeMap;

use super::{
    ANONYMOUS, AUTHENTICATED, Attributes, Authorizer, UNAUTHENTICATED, User, rbac::service_account,
    require,
};
use crate::error::Status;

/// Group and version of the parts of a user that are no core objects.
const AUTHENTICATION: &str = "authentication.k8s.io";
/// The start of a header that carries an extra, in small letters.
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// Why somebody may not act as somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The headers make no sense: 500 with this reason in plain text, as a real server answers.
    Headers(String),
    /// They may not.
    Forbidden(Status),
}

/// What the headers ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: BTreeMap<String, Vec<String>>,
}

/// Whether a header belongs to impersonation; `name` in any case.
#[must_use]
pub fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "impersonate-user" | "impersonate-group" | "impersonate-uid"
    ) || name.starts_with(EXTRA_PREFIX)
}

impl Wish {
    /// Reads all headers of a request; none = nobody is impersonated.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, Refusal> {
        let mut wish = Self::default();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                "impersonate-user" if wish.user.is_empty() => value.clone_into(&mut wish.user),
                "impersonate-uid" if wish.uid.is_empty() => value.clone_into(&mut wish.uid),
                "impersonate-group" => wish.groups.push(value.to_owned()),
                _ => {
                    if let Some(key) = name.strip_prefix(EXTRA_PREFIX) {
                        let values = wish.extra.entry(unescape(key)).or_default();
                        values.push(value.to_owned());
                    }
                }
            }
        }
        if !wish.user.is_empty() {
            return Ok(Some(wish));
        }
        if wish == Self::default() {
            return Ok(None);
        }
        let parts = wish.describe().join(" ");
        Err(Refusal::Headers(format!(
            "requested [{parts}] without impersonating a user"
        )))
    }

    /// Each part as a real server prints an object reference.
    fn describe(&self) -> Vec<String> {
        let groups = self
            .groups
            .iter()
            .map(|name| format!("{{Group  {name}    }}"));
        let extra = self.extra.iter().flat_map(|(key, values)| {
            let one = move |value| format!("{{UserExtra  {value}  {AUTHENTICATION}/v1  {key}}}");
            values.iter().map(one)
        });
        let uid =
            (!self.uid.is_empty()).then(|| format!("{{UID  {}  {AUTHENTICATION}/v1  }}", self.uid));
        groups.chain(extra).chain(uid).collect()
    }

    /// The user that the request then has, if `user` may be all of it.
    pub fn grant(&self, user: &User, authorizer: &dyn Authorizer) -> Result<User, Refusal> {
        let base = Attributes::new(user, "impersonate");
        let ask = |wish: Attributes<'_>| require(authorizer, &wish).map_err(Refusal::Forbidden);
        let account = service_account(&self.user);
        match account {
            Some((namespace, name)) => ask(Attributes {
                version: "v1",
                resource: "serviceaccounts",
                namespace,
                name,
                ..base
            })?,
            None => ask(Attributes {
                version: "v1",
                resource: "users",
                name: &self.user,
                ..base
            })?,
        }
        for group in &self.groups {
            ask(Attributes {
                version: "v1",
                resource: "groups",
                name: group,
                ..base
            })?;
        }
        let of_user = Attributes {
            group: AUTHENTICATION,
            version: "v1",
            ..base
        };
        for (key, values) in &self.extra {
            for value in values {
                ask(Attributes {
                    resource: "userextras",
                    subresource: key,
                    name: value,
                    ..of_user
                })?;
            }
        }
        if !self.uid.is_empty() {
            ask(Attributes {
                resource: "uids",
                name: &self.uid,
                ..of_user
            })?;
        }
        Ok(User {
            name: self.user.clone(),
            groups: self.groups_of(account),
            uid: self.uid.clone(),
            extra: self.extra.clone(),
        })
    }

    fn groups_of(&self, account: Option<(&str, &str)>) -> Vec<String> {
        let mut groups = self.groups.clone();
        if let (true, Some((namespace, _))) = (groups.is_empty(), account) {
            groups.push("system:serviceaccounts".into());
            groups.push(format!("system:serviceaccounts:{namespace}"));
        }
        let has = |wanted: &str| groups.iter().any(|group| group == wanted);
        if self.user == ANONYMOUS {
            if !has(UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.into());
            }
        } else if !has(UNAUTHENTICATED) && !has(AUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        groups
    }
}

/// Undoes percent-encoding; what is not well encoded stays as it is.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let code = text
            .get(at + 1..at + 3)
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        let Some(byte) = code else {
            return text.to_owned();
        };
        out.push(byte);
        at += 3;
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}
