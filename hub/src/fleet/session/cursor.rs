//! Cursors: what an agent brings back to say where it was, opaque to it and sealed by us.
//!
//! A cursor of another cluster, of another CA or changed on the way does not open.

use bytes::Bytes;
use flotilla_proto::digest::Digest;
use ring::hmac;

use crate::pki::CursorKey;

const NONCE_BYTES: usize = 8;
const PLAIN_BYTES: usize = NONCE_BYTES + 8 + 8 + 32;
const DOMAIN: &[u8] = b"flotilla cursor v1";

/// Where an agent was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) term: u64,
    pub(super) revision: u64,
    pub(super) set_digest: Digest,
}

impl Cursor {
    pub(super) fn seal(&self, key: &CursorKey, cluster_uid: &str) -> Bytes {
        let mut bytes = Vec::with_capacity(PLAIN_BYTES + 32);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.term.to_be_bytes());
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(self.set_digest.as_bytes());
        let tag = hmac::sign(&mac(key), &covered(cluster_uid, &bytes));
        bytes.extend_from_slice(tag.as_ref());
        bytes.into()
    }

    pub(super) fn open(sealed: &[u8], key: &CursorKey, cluster_uid: &str) -> Option<Self> {
        let (plain, tag) = sealed.split_at_checked(PLAIN_BYTES)?;
        hmac::verify(&mac(key), &covered(cluster_uid, plain), tag).ok()?;
        let (nonce, rest) = plain.split_first_chunk()?;
        let (term, rest) = rest.split_first_chunk()?;
        let (revision, digest) = rest.split_first_chunk()?;
        Some(Self {
            nonce: *nonce,
            term: u64::from_be_bytes(*term),
            revision: u64::from_be_bytes(*revision),
            set_digest: Digest::from_wire(digest)?,
        })
    }
}

fn mac(key: &CursorKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())
}

fn covered(cluster_uid: &str, plain: &[u8]) -> Vec<u8> {
    // The UID has no fixed length, so its length goes before it.
    let length = (cluster_uid.len() as u64).to_be_bytes();
    [DOMAIN, &length, cluster_uid.as_bytes(), plain].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_cluster_and_unchanged_only() {
        let key = CursorKey::from_array([1; 32]);
        let cursor = Cursor {
            nonce: [2; 8],
            term: 3,
            revision: 4,
            set_digest: Digest::of(b"set"),
        };
        let sealed = cursor.seal(&key, "uid-a");
        assert_eq!(Cursor::open(&sealed, &key, "uid-a"), Some(cursor));
        assert_eq!(Cursor::open(&sealed, &key, "uid-b"), None);
        let other = CursorKey::from_array([9; 32]);
        assert_eq!(Cursor::open(&sealed, &other, "uid-a"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert_eq!(Cursor::open(&changed, &key, "uid-a"), None, "byte {at}");
            assert_eq!(Cursor::open(&sealed[..at], &key, "uid-a"), None);
        }
    }
}
