//! Bodies: compressed bytes by digest, in memory while a record refers to them, and in packs (Secrets
//! of the member) so that any node can render again while the hub is away.
//!
//! Packs are written off the path, soon after, many bodies at once; a pack that nobody refers to goes.
//! Decides nothing about what is wanted: the records do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flotilla_proto::convert::body;
use flotilla_proto::digest::Digest;

use super::{LedgerError, Secrets, Stored};
use crate::member::Class;

/// Names of packs begin so, followed by a number.
const PREFIX: &str = "flotilla-bodies-";
/// A pack takes bodies up to this: small, because it is written whole for each that is added.
const PACK_BYTES: usize = 128 << 10;
/// A larger body is cut into parts of this size, each in a Secret of its own (which may hold 1 MiB).
const PART_BYTES: usize = 700 << 10;

/// Bodies in memory.
#[derive(Debug, Default)]
pub struct Bodies {
    held: Mutex<BTreeMap<Digest, Bytes>>,
}

impl Bodies {
    /// Keeps a body.
    pub fn put(&self, digest: Digest, compressed: Bytes) {
        self.with(|held| held.insert(digest, compressed));
    }

    /// A body as it is sent and stored.
    #[must_use]
    pub fn get(&self, digest: Digest) -> Option<Bytes> {
        self.with(|held| held.get(&digest).cloned())
    }

    /// The raw bytes of a body.
    #[must_use]
    pub fn raw(&self, digest: Digest) -> Option<Vec<u8>> {
        body::decompress(&self.get(digest)?, digest).ok()
    }

    /// Digests of all bodies.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.with(|held| held.keys().copied().collect())
    }

    /// Lets go of what nobody refers to.
    pub fn retain(&self, wanted: &BTreeSet<Digest>) {
        self.with(|held| held.retain(|digest, _| wanted.contains(digest)));
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<Digest, Bytes>) -> T) -> T {
        f(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Pack {
    stored: Stored,
    /// Length of each part, by (digest, part).
    parts: BTreeMap<(Digest, usize), usize>,
}

impl Pack {
    fn bytes(&self) -> usize {
        self.parts.values().sum()
    }
}

/// The packs in the member.
#[derive(Default)]
pub struct Packs {
    packs: BTreeMap<u64, Pack>,
}

/// `<digest>.<part>.<parts>`: what an entry of a pack is called.
fn entry_name(digest: Digest, part: usize, parts: usize) -> String {
    format!("{digest}.{part}.{parts}")
}

fn part_count(bytes: &Bytes) -> usize {
    bytes.len().div_ceil(PART_BYTES).max(1)
}

fn part_of(bytes: &Bytes, part: usize) -> Bytes {
    let start = bytes.len().min(part * PART_BYTES);
    bytes.slice(start..bytes.len().min(start + PART_BYTES))
}

fn parse_entry(name: &str) -> Option<(Digest, usize, usize)> {
    let mut words = name.split('.');
    let digest = Digest::parse(words.next()?)?;
    let part = words.next()?.parse().ok()?;
    let parts = words.next()?.parse().ok()?;
    Some((digest, part, parts))
}

impl Packs {
    /// From all Secrets of the ledger; whole bodies that are what their digest says go to `bodies`.
    #[must_use]
    pub fn load(all: &mut BTreeMap<String, Stored>, bodies: &Bodies) -> Self {
        let mut packs = Self::default();
        let mut found: BTreeMap<Digest, (usize, BTreeMap<usize, Vec<u8>>)> = BTreeMap::new();
        for (name, stored) in all {
            let Some(number) = name.strip_prefix(PREFIX).and_then(|n| n.parse().ok()) else {
                continue;
            };
            let mut parts = BTreeMap::new();
            for (name, bytes) in std::mem::take(&mut stored.data) {
                if let Some((digest, part, count)) = parse_entry(&name) {
                    parts.insert((digest, part), bytes.len());
                    let entry = found.entry(digest).or_default();
                    entry.0 = count;
                    entry.1.insert(part, bytes);
                }
            }
            let stored = stored.clone();
            packs.packs.insert(number, Pack { stored, parts });
        }
        for (digest, (count, parts)) in found {
            if parts.len() == count && bodies.get(digest).is_none() {
                let whole: Vec<u8> = parts.into_values().flatten().collect();
                if body::decompress(&whole, digest).is_ok() {
                    bodies.put(digest, whole.into());
                }
            }
        }
        packs
    }

    /// Brings the packs in line with what is wanted: adds what lacks, drops what nobody refers to.
    ///
    /// # Errors
    /// When the member does not answer; calling it again goes on.
    pub async fn sync(
        &mut self,
        secrets: &Secrets,
        wanted: &BTreeSet<Digest>,
        bodies: &Bodies,
    ) -> Result<(), LedgerError> {
        let thin = self.thin(wanted);
        let kept: BTreeSet<(Digest, usize)> = self
            .packs
            .iter()
            .filter(|(number, _)| !thin.contains(number))
            .flat_map(|(_, pack)| pack.parts.keys().copied())
            .collect();
        let mut batch: Vec<(Digest, usize, usize, Bytes)> = Vec::new();
        for digest in wanted {
            let Some(bytes) = bodies.get(*digest) else {
                continue;
            };
            for part in 0..part_count(&bytes) {
                if !kept.contains(&(*digest, part)) {
                    let slice = part_of(&bytes, part);
                    batch.push((*digest, part, part_count(&bytes), slice));
                }
            }
        }
        while !batch.is_empty() {
            self.write_one(secrets, wanted, bodies, &mut batch, &thin)
                .await?;
        }
        for number in thin {
            if let Some(pack) = self.packs.get(&number) {
                let name = format!("{PREFIX}{number}");
                secrets.delete(&name, &pack.stored).await?;
                self.packs.remove(&number);
            }
        }
        Ok(())
    }

    /// Packs of which nothing, or less than half, is wanted.
    fn thin(&self, wanted: &BTreeSet<Digest>) -> BTreeSet<u64> {
        let thin = self.packs.iter().filter(|(_, pack)| {
            let used = pack.parts.iter().filter(|((d, _), _)| wanted.contains(d));
            let used: usize = used.map(|(_, bytes)| bytes).sum();
            used == 0 || pack.bytes() > PACK_BYTES / 2 && used * 2 < pack.bytes()
        });
        thin.map(|(number, _)| *number).collect()
    }

    /// Writes one pack with as much of the batch as it takes.
    async fn write_one(
        &mut self,
        secrets: &Secrets,
        wanted: &BTreeSet<Digest>,
        bodies: &Bodies,
        batch: &mut Vec<(Digest, usize, usize, Bytes)>,
        thin: &BTreeSet<u64>,
    ) -> Result<(), LedgerError> {
        let first = batch.first().map_or(0, |(.., bytes)| bytes.len());
        let open = self
            .packs
            .iter()
            .find(|(number, pack)| !thin.contains(number) && pack.bytes() + first <= PACK_BYTES);
        let next = self.packs.last_key_value().map_or(0, |(n, _)| n + 1);
        let number = open.map_or(next, |(number, _)| *number);
        let mut data = BTreeMap::new();
        let mut parts = BTreeMap::new();
        if let Some(pack) = self.packs.get(&number) {
            for (digest, part) in pack.parts.keys().filter(|(d, _)| wanted.contains(d)) {
                if let Some(bytes) = bodies.get(*digest) {
                    let slice = part_of(&bytes, *part);
                    parts.insert((*digest, *part), slice.len());
                    let name = entry_name(*digest, *part, part_count(&bytes));
                    data.insert(name, slice.to_vec());
                }
            }
        }
        let mut total: usize = parts.values().sum();
        let mut taken = 0;
        for (digest, part, count, bytes) in batch.iter() {
            if taken > 0 && total + bytes.len() > PACK_BYTES {
                break;
            }
            total += bytes.len();
            taken += 1;
            parts.insert((*digest, *part), bytes.len());
            data.insert(entry_name(*digest, *part, *count), bytes.to_vec());
        }
        let name = format!("{PREFIX}{number}");
        let mut stored = self
            .packs
            .get(&number)
            .map(|pack| pack.stored.clone())
            .unwrap_or_default();
        match secrets.swap(&name, "bodies", &mut stored, data).await {
            Ok(()) => {}
            Err(e) if matches!(e.class, Class::Conflict | Class::Exists | Class::NotFound) => {
                // Somebody else's or an unanswered write: never mix; the next one is new.
                let stored = secrets.read(&name).await?;
                let parts = BTreeMap::new();
                self.packs.insert(number, Pack { stored, parts });
                return Err(e.into());
            }
            Err(e) => return Err(e.into()),
        }
        stored.data.clear();
        self.packs.insert(number, Pack { stored, parts });
        batch.drain(..taken);
        Ok(())
    }

    /// Digests of what is in packs.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<Digest> {
        let packs = self.packs.values();
        packs
            .flat_map(|p| p.parts.keys().map(|(d, _)| *d))
            .collect()
    }
}
