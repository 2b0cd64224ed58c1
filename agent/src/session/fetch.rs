//! Bodies on their way: which are here, which are wanted by whom, and the chunks of those that come.
//!
//! A body counts only when it is whole and is what its digest says. A few are asked for at a time, so
//! that nothing else waits behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flotilla_proto::convert::body;
use flotilla_proto::digest::Digest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::{BODY_BYTES_MAX, BODY_WANTS_MAX};
use flotilla_proto::v1;

/// A body that the hub did not have is asked for again after this.
const MISSING_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Want {
    works: BTreeSet<WorkId>,
    bytes: Vec<u8>,
    asked: bool,
}

/// The fetcher.
#[derive(Debug)]
pub(super) struct Fetch {
    here: BTreeSet<Digest>,
    wants: BTreeMap<Digest, Want>,
    queue: VecDeque<Digest>,
    later: BTreeSet<(Instant, Digest)>,
    asked: usize,
}

/// What a chunk led to.
#[derive(Debug, PartialEq)]
pub(super) enum Chunk {
    /// More must come.
    More,
    /// The body is whole; these works waited for it.
    Whole(Digest, Bytes, BTreeSet<WorkId>),
    /// It is not what was asked for.
    Broken(&'static str),
}

impl Fetch {
    pub(super) fn new(here: BTreeSet<Digest>) -> Self {
        Self {
            here,
            wants: BTreeMap::new(),
            queue: VecDeque::new(),
            later: BTreeSet::new(),
            asked: 0,
        }
    }

    /// A work needs a body.
    pub(super) fn want(&mut self, digest: Digest, id: WorkId) {
        if self.here.contains(&digest) {
            return;
        }
        let want = self.wants.entry(digest).or_insert_with(|| {
            self.queue.push_back(digest);
            Want::default()
        });
        want.works.insert(id);
    }

    /// Whether a body is here.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.here.contains(&digest)
    }

    /// A body turned out not to be here.
    pub(super) fn lost(&mut self, digest: Digest, id: WorkId) {
        self.here.remove(&digest);
        self.want(digest, id);
    }

    /// The next request, while few are under way.
    pub(super) fn poll(&mut self, _now: Instant) -> Option<v1::BodyWant> {
        if self.asked >= BODY_WANTS_MAX {
            return None;
        }
        let digest = self.queue.pop_front()?;
        let want = self.wants.get_mut(&digest)?;
        want.asked = true;
        self.asked += 1;
        Some(v1::BodyWant {
            digest: digest.to_wire(),
            offset: 0,
        })
    }

    /// A chunk came.
    pub(super) fn chunk(&mut self, chunk: v1::BodyChunk, now: Instant) -> Chunk {
        let Some(digest) = Digest::from_wire(&chunk.digest) else {
            return Chunk::Broken("a chunk without digest");
        };
        let Some(want) = self.wants.get_mut(&digest).filter(|want| want.asked) else {
            return Chunk::More;
        };
        if chunk.missing {
            self.asked -= 1;
            (want.asked, want.bytes) = (false, Vec::new());
            self.later.insert((now + MISSING_WAIT, digest));
            return Chunk::More;
        }
        // A compressed body may be a little longer than its raw form.
        if chunk.offset != want.bytes.len() as u64
            || want.bytes.len() + chunk.bytes.len() > BODY_BYTES_MAX + (64 << 10)
        {
            return Chunk::Broken("a chunk that does not follow");
        }
        want.bytes.extend_from_slice(&chunk.bytes);
        if !chunk.last {
            return Chunk::More;
        }
        if body::decompress(&want.bytes, digest).is_err() {
            return Chunk::Broken("a body that is not what its digest says");
        }
        let want = self.wants.remove(&digest).unwrap_or_default();
        self.asked -= 1;
        self.here.insert(digest);
        Chunk::Whole(digest, want.bytes.into(), want.works)
    }

    /// What was asked for will not come.
    pub(super) fn link_down(&mut self) {
        self.asked = 0;
        self.later.clear();
        self.queue = self.wants.keys().copied().collect();
        for want in self.wants.values_mut() {
            (want.asked, want.bytes) = (false, Vec::new());
        }
    }

    /// Asks again for what the hub did not have.
    pub(super) fn retry(&mut self, now: Instant) {
        while let Some(first @ (at, digest)) = self.later.first().copied() {
            if at > now {
                return;
            }
            self.later.remove(&first);
            self.queue.push_back(digest);
        }
    }

    /// When something is asked for again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Forgets what no record refers to any more.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<Digest>) {
        self.here.retain(|digest| wanted.contains(digest));
        let wants = &mut self.wants;
        wants.retain(|digest, want| want.asked || wanted.contains(digest));
        self.queue.retain(|digest| wants.contains_key(digest));
        self.later.retain(|(_, digest)| wants.contains_key(digest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_chunk(digest: Digest, offset: usize, bytes: &[u8], last: bool) -> v1::BodyChunk {
        v1::BodyChunk {
            digest: digest.to_wire(),
            offset: offset as u64,
            bytes: Bytes::copy_from_slice(bytes),
            last,
            ..v1::BodyChunk::default()
        }
    }

    #[test]
    fn a_body_is_whole_only_when_it_is_what_its_digest_says() {
        let now = Instant::now();
        let (raw, id) = (b"{\"kind\":\"ConfigMap\"}", WorkId::from_array([1; 16]));
        let (digest, packed) = (Digest::of(raw), body::compress(raw).expect("small"));
        let mut fetch = Fetch::new(BTreeSet::new());
        let ask = |fetch: &mut Fetch| {
            fetch.want(digest, id);
            fetch.poll(now).expect("asks").digest
        };
        assert_eq!(ask(&mut fetch), digest.to_wire());
        assert_eq!(fetch.poll(now), None);
        assert_eq!(
            fetch.chunk(mk_chunk(digest, 0, &packed[..5], false), now),
            Chunk::More
        );
        let gap = fetch.chunk(mk_chunk(digest, 6, &packed[6..], true), now);
        assert!(matches!(gap, Chunk::Broken(_)));
        fetch.link_down();
        assert_eq!(ask(&mut fetch), digest.to_wire());
        let mut wrong = packed.to_vec();
        wrong[6] ^= 1;
        let broken = fetch.chunk(mk_chunk(digest, 0, &wrong, true), now);
        assert!(matches!(broken, Chunk::Broken(_)) && !fetch.has(digest));
        fetch.link_down();
        assert_eq!(ask(&mut fetch), digest.to_wire());
        let whole = fetch.chunk(mk_chunk(digest, 0, &packed, true), now);
        assert_eq!(whole, Chunk::Whole(digest, packed, BTreeSet::from([id])));
        assert!(fetch.has(digest));
    }

    #[test]
    fn a_missing_body_is_asked_for_again() {
        let now = Instant::now();
        let digest = Digest::of(b"x");
        let mut fetch = Fetch::new(BTreeSet::new());
        fetch.want(digest, WorkId::from_array([1; 16]));
        assert!(fetch.poll(now).is_some());
        let missing = v1::BodyChunk {
            missing: true,
            ..mk_chunk(digest, 0, b"", true)
        };
        assert_eq!(fetch.chunk(missing, now), Chunk::More);
        let at = fetch.poll_timeout().expect("later");
        fetch.retry(at);
        assert!(fetch.poll(at).is_some());
    }
}
