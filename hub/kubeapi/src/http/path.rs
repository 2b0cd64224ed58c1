//! What a request is about, read from its path alone.
//!
//! It knows the shapes of Kubernetes paths, and no kind: whether a resource exists is decided by
//! whoever has the table.

use std::borrow::Cow;

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// `/api`.
    Legacy,
    /// `/apis`.
    Groups,
    /// `/apis/<group>`.
    Group(String),
    /// `/api/v1` or `/apis/<group>/<version>`: group and version.
    Version(String, String),
    /// A resource.
    Resource(Target),
    /// Anything else, such as `/version`.
    Other(String),
}

/// A resource, a collection, an object, or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// API group; empty = core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace; empty = none in the path.
    pub namespace: String,
    /// Plural resource.
    pub resource: String,
    /// Name; empty = the collection.
    pub name: String,
    /// Subresource; empty = the object.
    pub subresource: String,
    /// What follows the subresource (proxy paths).
    pub rest: String,
    /// The old form of a watch: `/api/v1/watch/...`.
    pub watch: bool,
}

impl Path {
    /// Reads the path of a request target.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let segments: Vec<_> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect();
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        match segments.as_slice() {
            ["api"] => Self::Legacy,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["api", version] => Self::Version(String::new(), (*version).to_owned()),
            ["apis", group, version] => Self::Version((*group).to_owned(), (*version).to_owned()),
            ["api", version, rest @ ..] => Self::Resource(target("", version, rest)),
            ["apis", group, version, rest @ ..] => Self::Resource(target(group, version, rest)),
            _ => Self::Other(path.to_owned()),
        }
    }
}

fn target(group: &str, version: &str, segments: &[&str]) -> Target {
    let (watch, segments) = match segments {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        all => (false, all),
    };
    let (namespace, segments) = match segments {
        // Parts of the namespace itself, not resources in it.
        ["namespaces", _, "status" | "finalize"] => ("", segments),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        all => ("", all),
    };
    let part = |index: usize| segments.get(index).copied().unwrap_or_default().to_owned();
    Target {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: part(0),
        name: part(1),
        subresource: part(2),
        rest: segments.get(3..).unwrap_or_default().join("/"),
        watch,
    }
}

/// Undoes percent encoding; what is no UTF-8 then stays as it was.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        match (bytes[at], pair) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}
