//! Whose turn it is: works by rank, a bounded number at once, one job per work at a time, and a
//! back-off per work, so that one that fails holds up nobody else.
//!
//! A machine without clock: the caller says what time it is and when a job ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flotilla_proto::ids::WorkId;

use crate::retry::{Rng, work_wait};

/// Works in progress: enough to hide the member's latency, few enough to leave it room.
const RUNNING_MAX: usize = 16;

/// Order of works: one of a higher rank waits while one of a lower rank runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Namespaces, before what lives in them.
    Namespace,
    /// Definitions of kinds, before their objects.
    Definition,
    /// Everything else.
    Ordinary,
    /// Removal of a definition, after its objects.
    RemoveDefinition,
    /// Removal of a namespace, after what lived in it.
    RemoveNamespace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready(u64),
    Waiting(Instant),
    Running,
    Idle,
}

#[derive(Debug)]
struct Entry {
    rank: Rank,
    /// Of what came in while a job ran.
    rank_next: Rank,
    place: Place,
    failures: u32,
    again: Again,
}

/// What came in while a job ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    No,
    Changed,
    New,
}

/// How a job ended, for the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is left to do.
    Well,
    /// Try again after a wait that grows.
    Badly,
    /// Try again after this.
    After(Duration),
    /// Something else will wake it.
    Parked,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    entries: BTreeMap<WorkId, Entry>,
    ready: BTreeSet<(Rank, u64, WorkId)>,
    waiting: BTreeSet<(Instant, WorkId)>,
    running: BTreeMap<Rank, usize>,
    next: u64,
    rng: Rng,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            running: BTreeMap::new(),
            next: 0,
            rng: Rng::new(seed),
        }
    }

    /// Something new is wanted: forget former failures and go soon.
    pub fn push_new(&mut self, id: WorkId, rank: Rank) {
        self.push_with(id, rank, true);
    }

    /// Something changed around it: go soon, but not before its back-off ends.
    pub fn push(&mut self, id: WorkId, rank: Rank) {
        self.push_with(id, rank, false);
    }

    fn push_with(&mut self, id: WorkId, rank: Rank, new: bool) {
        let seq = self.next;
        self.next += 1;
        let entry = self.entries.entry(id).or_insert(Entry {
            rank,
            rank_next: rank,
            place: Place::Idle,
            failures: 0,
            again: Again::No,
        });
        if new {
            entry.failures = 0;
        }
        match entry.place {
            Place::Running => {
                let again = if new { Again::New } else { Again::Changed };
                entry.rank_next = rank;
                entry.again = entry.again.max(again);
            }
            Place::Waiting(_) if !new => {}
            Place::Waiting(at) => {
                self.waiting.remove(&(at, id));
                entry.rank = rank;
                entry.place = Place::Ready(seq);
                self.ready.insert((rank, seq, id));
            }
            Place::Ready(old) => {
                self.ready.remove(&(entry.rank, old, id));
                entry.rank = rank;
                entry.place = Place::Ready(old);
                self.ready.insert((rank, old, id));
            }
            Place::Idle => {
                entry.rank = rank;
                entry.place = Place::Ready(seq);
                self.ready.insert((rank, seq, id));
            }
        }
    }

    /// The next work to run, if there is one and room for it.
    pub fn pop(&mut self, now: Instant) -> Option<WorkId> {
        self.wake(now);
        if self.running.values().sum::<usize>() >= RUNNING_MAX {
            return None;
        }
        let first @ (rank, _, id) = *self.ready.first()?;
        if self.running.range(..rank).any(|(_, count)| *count > 0) {
            return None;
        }
        self.ready.remove(&first);
        *self.running.entry(rank).or_default() += 1;
        let entry = self.entries.get_mut(&id)?;
        entry.rank_next = entry.rank;
        entry.place = Place::Running;
        entry.again = Again::No;
        Some(id)
    }

    fn wake(&mut self, now: Instant) {
        while let Some(first @ (at, id)) = self.waiting.first().copied() {
            if at > now {
                return;
            }
            self.waiting.remove(&first);
            let seq = self.next;
            self.next += 1;
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.place = Place::Ready(seq);
                self.ready.insert((entry.rank, seq, id));
            }
        }
    }

    /// A job ended.
    pub fn finish(&mut self, id: WorkId, ended: Ended, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.place != Place::Running {
            return;
        }
        if let Some(count) = self.running.get_mut(&entry.rank) {
            *count = count.saturating_sub(1);
        }
        entry.place = Place::Idle;
        let again = std::mem::replace(&mut entry.again, Again::No);
        let rank = entry.rank_next;
        let wait = match ended {
            Ended::Well | Ended::Parked => {
                entry.failures = 0;
                None
            }
            Ended::Badly => {
                let wait = work_wait(entry.failures, &mut self.rng);
                entry.failures += 1;
                Some(wait)
            }
            Ended::After(wait) => {
                entry.failures += 1;
                Some(wait)
            }
        };
        if again == Again::New {
            return self.push_new(id, rank);
        }
        match wait {
            Some(wait) => {
                let at = now + wait;
                entry.place = Place::Waiting(at);
                self.waiting.insert((at, id));
            }
            None if again == Again::Changed => self.push(id, rank),
            None => {
                self.entries.remove(&id);
            }
        }
    }

    /// How often a work failed in a row.
    #[must_use]
    pub fn failures(&self, id: WorkId) -> u32 {
        self.entries.get(&id).map_or(0, |entry| entry.failures)
    }

    /// Whether nothing is to be done and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.running.values().all(|count| *count == 0)
    }

    /// How many jobs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.values().sum()
    }

    /// When the next back-off ends.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> WorkId {
        WorkId::from_array([n; 16])
    }

    #[test]
    fn containers_come_first_and_others_wait_for_them() {
        let now = Instant::now();
        let mut queue = Queue::new(1);
        queue.push_new(id(1), Rank::Ordinary);
        queue.push_new(id(2), Rank::Namespace);
        assert_eq!(queue.pop(now), Some(id(2)));
        assert_eq!(queue.pop(now), None);
        queue.finish(id(2), Ended::Well, now);
        assert_eq!(queue.pop(now), Some(id(1)));
        assert!(!queue.is_idle());
    }

    #[test]
    fn a_work_runs_once_at_a_time_and_again_when_pushed_meanwhile() {
        let now = Instant::now();
        let mut queue = Queue::new(1);
        queue.push_new(id(1), Rank::Ordinary);
        assert_eq!(queue.pop(now), Some(id(1)));
        queue.push(id(1), Rank::Ordinary);
        assert_eq!(queue.pop(now), None);
        queue.finish(id(1), Ended::Well, now);
        assert_eq!(queue.pop(now), Some(id(1)));
        queue.finish(id(1), Ended::Well, now);
        assert!(queue.is_idle());
    }

    #[test]
    fn a_failing_work_backs_off_and_blocks_nobody() {
        let mut now = Instant::now();
        let mut queue = Queue::new(1);
        queue.push_new(id(1), Rank::Namespace);
        queue.push_new(id(2), Rank::Ordinary);
        assert_eq!(queue.pop(now), Some(id(1)));
        queue.finish(id(1), Ended::Badly, now);
        assert_eq!(queue.pop(now), Some(id(2)));
        let mut longest = Duration::ZERO;
        for _ in 0..30 {
            queue.push(id(1), Rank::Namespace);
            assert_eq!(queue.pop(now), None, "waits although pushed");
            let at = queue.poll_timeout().expect("it waits");
            longest = longest.max(at - now);
            now = at;
            assert_eq!(queue.pop(now), Some(id(1)));
            queue.finish(id(1), Ended::Badly, now);
        }
        assert!(longest > Duration::from_secs(120) && longest <= Duration::from_secs(300));
        queue.push_new(id(1), Rank::Namespace);
        assert_eq!(queue.pop(now), Some(id(1)));
    }

    #[test]
    fn a_bounded_number_runs() {
        let now = Instant::now();
        let mut queue = Queue::new(1);
        for n in 0..40 {
            queue.push_new(id(n), Rank::Ordinary);
        }
        let mut popped = 0;
        while queue.pop(now).is_some() {
            popped += 1;
        }
        assert_eq!(popped, RUNNING_MAX);
    }
}
