//! The node's cache of bodies, in sled: it saves asking hub and member again after a restart.
//!
//! It may vanish or be wrong at any time: what does not match its digest is dropped, and a store that
//! does not open is deleted. Chunks are small, because larger values go to files that are never
//! synced. One thread writes; nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use flotilla_proto::convert::body;
use flotilla_proto::digest::Digest;

/// Values of this size stay inside the log.
const CHUNK_BYTES: usize = 64 << 10;
/// sled's own cache: the bodies are in memory already.
const SLED_CACHE_BYTES: u64 = 1 << 20;
/// Bodies waiting for the writer; further ones are not cached, which costs a fetch after a restart.
const QUEUE: usize = 256;

enum Order {
    Put(Digest, Bytes),
    Retain(BTreeSet<Digest>),
}

/// The cache, or nothing where there is no usable folder.
pub struct Cache {
    orders: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
    _lock: Option<File>,
}

impl Cache {
    /// Opens the cache in a folder and reads what is in it. Never fails: a cache that cannot be used
    /// is an empty one.
    #[must_use]
    pub fn open(folder: &Path, bytes_max: usize) -> (Self, BTreeMap<Digest, Bytes>) {
        let Some(lock) = lock(folder) else {
            return (Self::none(), BTreeMap::new());
        };
        let path = folder.join("bodies.sled");
        let opened = read(&path).or_else(|| {
            tracing::warn!(path = %path.display(), "body cache is damaged and starts empty");
            fs::remove_dir_all(&path).ok();
            read(&path)
        });
        let Some((db, bodies)) = opened else {
            return (Self::none(), BTreeMap::new());
        };
        let (orders, inbox) = sync_channel(QUEUE);
        let used = bodies.values().map(Bytes::len).sum();
        let writer = std::thread::Builder::new()
            .name("body-cache".to_owned())
            .spawn(move || write(&db, &inbox, used, bytes_max));
        let cache = Self {
            orders: Some(orders),
            writer: writer.ok(),
            _lock: Some(lock),
        };
        (cache, bodies)
    }

    /// A cache that keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            orders: None,
            writer: None,
            _lock: None,
        }
    }

    /// Whether this process alone uses the folder: proof that a former one with it is gone.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self._lock.is_some()
    }

    /// Keeps a body, unless the writer is far behind.
    pub fn put(&self, digest: Digest, compressed: Bytes) {
        self.order(Order::Put(digest, compressed));
    }

    /// Lets go of what nobody refers to.
    pub fn retain(&self, wanted: BTreeSet<Digest>) {
        self.order(Order::Retain(wanted));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders
            && let Err(TrySendError::Full(_)) = orders.try_send(order)
        {
            tracing::debug!("body cache is behind; a body is not cached");
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take() {
            writer.join().ok();
        }
    }
}

fn lock(folder: &Path) -> Option<File> {
    if let Err(error) = fs::create_dir_all(folder) {
        tracing::warn!(path = %folder.display(), %error, "no body cache: the folder cannot be made");
        return None;
    }
    let file = File::create(folder.join("lock")).ok()?;
    if file.try_lock().is_err() {
        tracing::warn!(path = %folder.display(), "no body cache: another process uses the folder");
        return None;
    }
    Some(file)
}

/// Opens and reads on a thread of its own: a damaged store may panic.
fn read(path: &Path) -> Option<(sled::Db, BTreeMap<Digest, Bytes>)> {
    let path: PathBuf = path.to_owned();
    let reader = std::thread::Builder::new()
        .name("body-cache-open".to_owned())
        .spawn(move || {
            let db = sled::Config::new()
                .path(path)
                .cache_capacity(SLED_CACHE_BYTES)
                .flush_every_ms(None)
                .open()
                .ok()?;
            let bodies = read_all(&db)?;
            Some((db, bodies))
        });
    reader.ok()?.join().ok()?
}

fn read_all(db: &sled::Db) -> Option<BTreeMap<Digest, Bytes>> {
    let mut joined: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    for entry in db.iter() {
        let (key, value) = entry.ok()?;
        let digest = key.get(..32).and_then(Digest::from_wire)?;
        joined.entry(digest).or_default().extend_from_slice(&value);
    }
    let mut bodies = BTreeMap::new();
    for (digest, bytes) in joined {
        if body::decompress(&bytes, digest).is_ok() {
            bodies.insert(digest, bytes.into());
        } else {
            remove(db, digest)?;
        }
    }
    Some(bodies)
}

fn remove(db: &sled::Db, digest: Digest) -> Option<usize> {
    let mut bytes = 0;
    for entry in db.scan_prefix(digest.as_bytes()) {
        let (key, value) = entry.ok()?;
        bytes += value.len();
        db.remove(key).ok()?;
    }
    Some(bytes)
}

fn write(db: &sled::Db, inbox: &Receiver<Order>, mut used: usize, bytes_max: usize) {
    while let Ok(order) = inbox.recv() {
        let mut next = Some(order);
        while let Some(order) = next {
            if carry_out(db, order, &mut used, bytes_max).is_none() {
                tracing::warn!("body cache cannot be written and is given up");
                return;
            }
            next = inbox.try_recv().ok();
        }
        if db.flush().is_err() {
            return;
        }
    }
}

fn carry_out(db: &sled::Db, order: Order, used: &mut usize, bytes_max: usize) -> Option<()> {
    match order {
        Order::Put(digest, bytes) => {
            if *used + bytes.len() > bytes_max {
                return Some(());
            }
            let mut batch = sled::Batch::default();
            for (index, chunk) in (0_u32..).zip(bytes.chunks(CHUNK_BYTES)) {
                let mut key = digest.as_bytes().to_vec();
                key.extend_from_slice(&index.to_be_bytes());
                batch.insert(key, chunk);
            }
            db.apply_batch(batch).ok()?;
            *used += bytes.len();
        }
        Order::Retain(wanted) => {
            let mut digests = BTreeSet::new();
            for key in db.iter().keys() {
                digests.insert(key.ok()?.get(..32).and_then(Digest::from_wire)?);
            }
            for digest in digests.difference(&wanted) {
                *used = used.saturating_sub(remove(db, *digest)?);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("flotilla-{name}-{}", std::process::id()));
            fs::remove_dir_all(&folder).ok();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn mk_body(seed: u8, bytes: usize) -> (Digest, Bytes) {
        let mut rng = crate::retry::Rng::new(seed.into());
        let raw: Vec<u8> = (0..bytes).map(|_| rng.next_u64() as u8).collect();
        let compressed = body::compress(&raw).expect("small enough");
        (Digest::of(&raw), compressed)
    }

    #[test]
    fn bodies_survive_and_unwanted_ones_go() {
        let folder = Folder::new("cache-keeps");
        let (large, small) = (mk_body(1, 300 << 10), mk_body(2, 100));
        {
            let (cache, bodies) = Cache::open(&folder.0, 1 << 20);
            assert!(bodies.is_empty() && cache.is_exclusive());
            cache.put(large.0, large.1.clone());
            cache.put(small.0, small.1.clone());
            let (second, none) = Cache::open(&folder.0, 1 << 20);
            assert!(!second.is_exclusive() && none.is_empty());
        }
        {
            let (cache, bodies) = Cache::open(&folder.0, 1 << 20);
            assert_eq!(bodies, BTreeMap::from([large.clone(), small.clone()]));
            cache.retain(BTreeSet::from([small.0]));
        }
        let (_, bodies) = Cache::open(&folder.0, 1 << 20);
        assert_eq!(bodies, BTreeMap::from([small]));
    }

    #[test]
    fn the_cap_holds() {
        let folder = Folder::new("cache-cap");
        let (one, two) = (mk_body(1, 40 << 10), mk_body(2, 40 << 10));
        {
            let (cache, _) = Cache::open(&folder.0, 64 << 10);
            cache.put(one.0, one.1.clone());
            cache.put(two.0, two.1);
        }
        let (_, bodies) = Cache::open(&folder.0, 64 << 10);
        assert_eq!(bodies, BTreeMap::from([one]));
    }

    #[test]
    fn a_damaged_cache_never_gives_a_wrong_body() {
        let bodies: BTreeMap<Digest, Bytes> = (0..20).map(|seed| mk_body(seed, 5000)).collect();
        for round in 0..6_u64 {
            let folder = Folder::new(&format!("cache-damaged-{round}"));
            {
                let (cache, _) = Cache::open(&folder.0, 1 << 20);
                for (digest, bytes) in &bodies {
                    cache.put(*digest, bytes.clone());
                }
            }
            let path = folder.0.join("bodies.sled/db");
            let mut bytes = fs::read(&path).expect("sled's log");
            let mut rng = crate::retry::Rng::new(round);
            for _ in 0..=round * 10 {
                let at = rng.next_u64() as usize % bytes.len();
                bytes[at] ^= 1 << (rng.next_u64() % 8);
            }
            fs::write(&path, bytes).expect("writable");
            let (_, found) = Cache::open(&folder.0, 1 << 20);
            for (digest, bytes) in found {
                assert_eq!(bodies.get(&digest), Some(&bytes));
            }
        }
    }
}
