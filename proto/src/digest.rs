//! Digests both ends must agree on: of bodies, of works, and of a cluster's whole set.
//!
//! A set digest is built from 256 buckets by the first byte of the work id; each bucket is a hash over
//! its sorted (id, content digest) pairs and is computed again only when one of them changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use prost::Message;

use crate::ids::WorkId;
use crate::v1;

/// A BLAKE3 hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Reads a digest from the wire; anything but 32 bytes is none.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes for the wire.
    #[must_use]
    pub fn to_wire(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the text form: 64 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text)
            .ok()
            .map(|h| Self(*h.as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a digest"))
    }
}

/// The content digest of a work: over both body digests and the row, but for the term of the decision,
/// so that a new reign which decides the same changes nothing.
#[must_use]
pub fn content(template: Digest, overrides: Option<Digest>, row: &v1::Row) -> Digest {
    let mut row = row.clone();
    row.term_of_decision = 0;
    let mut hasher = blake3::Hasher::new();
    hasher.update(template.as_bytes());
    hasher.update(overrides.unwrap_or_default().as_bytes());
    hasher.update(&row.encode_to_vec());
    Digest(*hasher.finalize().as_bytes())
}

/// How many buckets a set has.
pub const BUCKETS: usize = 256;

/// The digest of a cluster's set of works, kept incrementally.
#[derive(Clone, Debug, Default)]
pub struct SetDigest {
    items: BTreeMap<WorkId, Digest>,
    cached: RefCell<BTreeMap<u8, Digest>>,
}

impl SetDigest {
    /// Puts a work in, or changes its content.
    pub fn insert(&mut self, id: WorkId, content: Digest) {
        if self.items.insert(id, content) != Some(content) {
            self.cached.get_mut().remove(&bucket_of(id));
        }
    }

    /// Takes a work out.
    pub fn remove(&mut self, id: WorkId) {
        if self.items.remove(&id).is_some() {
            self.cached.get_mut().remove(&bucket_of(id));
        }
    }

    /// The content of a work in the set.
    #[must_use]
    pub fn get(&self, id: WorkId) -> Option<Digest> {
        self.items.get(&id).copied()
    }

    /// How many works are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The works of one bucket, in order.
    pub fn bucket(&self, bucket: u8) -> impl Iterator<Item = (WorkId, Digest)> + '_ {
        let mut low = [0; 16];
        low[0] = bucket;
        let mut high = [0xff; 16];
        high[0] = bucket;
        let range = WorkId::from_array(low)..=WorkId::from_array(high);
        self.items.range(range).map(|(id, digest)| (*id, *digest))
    }

    /// The digest of one bucket; all zero when it is empty.
    #[must_use]
    pub fn bucket_digest(&self, bucket: u8) -> Digest {
        if let Some(known) = self.cached.borrow().get(&bucket) {
            return *known;
        }
        let mut hasher = blake3::Hasher::new();
        let mut empty = true;
        for (id, digest) in self.bucket(bucket) {
            empty = false;
            hasher.update(id.as_bytes());
            hasher.update(digest.as_bytes());
        }
        let digest = if empty {
            Digest::default()
        } else {
            Digest(*hasher.finalize().as_bytes())
        };
        self.cached.borrow_mut().insert(bucket, digest);
        digest
    }

    /// All bucket digests, one after the other, as `Buckets` carries them.
    #[must_use]
    pub fn bucket_digests(&self) -> Bytes {
        let mut all = Vec::with_capacity(BUCKETS * 32);
        for bucket in 0..=u8::MAX {
            all.extend_from_slice(self.bucket_digest(bucket).as_bytes());
        }
        all.into()
    }

    /// The digest of the whole set.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bucket_digests())
    }
}

fn bucket_of(id: WorkId) -> u8 {
    id.as_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_the_set_alone() {
        let ids: Vec<_> = (0..600)
            .map(|i| WorkId::new("", "ConfigMap", "ns", &i.to_string(), "c"))
            .collect();
        let mut forward = SetDigest::default();
        let mut backward = SetDigest::default();
        for id in &ids {
            forward.insert(*id, Digest::of(id.as_bytes()));
            let _ = forward.digest();
        }
        for id in ids.iter().rev() {
            backward.insert(*id, Digest::of(b"old"));
            let _ = backward.digest();
            backward.insert(*id, Digest::of(id.as_bytes()));
        }
        assert_eq!(forward.digest(), backward.digest());
        forward.remove(ids[7]);
        assert_ne!(forward.digest(), backward.digest());
        backward.remove(ids[7]);
        assert_eq!(forward.digest(), backward.digest());
        assert_eq!(forward.len(), 599);
    }

    #[test]
    fn content_ignores_the_term_of_the_decision_and_nothing_else() {
        let template = Digest::of(b"t");
        let row = v1::Row::default();
        let base = content(template, None, &row);
        let again = v1::Row {
            term_of_decision: 9,
            ..row.clone()
        };
        assert_eq!(base, content(template, None, &again));
        let other = v1::Row {
            replicas: Some(0),
            ..row.clone()
        };
        assert_ne!(base, content(template, None, &other));
        assert_ne!(base, content(Digest::of(b"u"), None, &row));
        assert_ne!(base, content(template, Some(Digest::of(b"o")), &row));
    }
}
