//! Names of things on the wire: work ids, and generations with their order.
//!
//! A work id depends on the template's identity and the member's UID alone, so it survives a restore
//! of the hub and the re-creation of a template under the same name.

use std::fmt;

use uuid::Uuid;

use crate::v1;

/// Identity of one template in one member: UUIDv5 over (group, kind, namespace, name; cluster UID).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId([u8; 16]);

/// The UUID namespace of work ids; fixed for ever.
const WORK_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_8a52_3c0b_5e5e_9a61_f107_1111_af1e);

impl WorkId {
    /// The id of a template in a member.
    #[must_use]
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str, cluster_uid: &str) -> Self {
        // Kubernetes names cannot hold NUL, so the joined text is unambiguous.
        let text = [group, kind, namespace, name, cluster_uid].join("\0");
        Self(*Uuid::new_v5(&WORK_NAMESPACE, text.as_bytes()).as_bytes())
    }

    /// Reads an id from the wire; anything but 16 bytes is none.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// An id from its bytes.
    #[must_use]
    pub const fn from_array(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(|u| Self(*u.as_bytes()))
    }

    /// The bytes for the wire.
    #[must_use]
    pub fn to_wire(self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for WorkId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for WorkId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a work id"))
    }
}

/// Version of one assignment: (term, n), only growing.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Generation {
    /// Term of the hub's reign that made it.
    pub term: u64,
    /// Count within that reign.
    pub n: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.n)
    }
}

impl From<v1::Generation> for Generation {
    fn from(wire: v1::Generation) -> Self {
        Self {
            term: wire.term,
            n: wire.n,
        }
    }
}

impl From<Generation> for v1::Generation {
    fn from(own: Generation) -> Self {
        Self {
            term: own.term,
            n: own.n,
        }
    }
}
