//! Which key is due when. A state machine without a clock: it dedupes, delays, backs off, and never
//! gives a key out while it is still being worked on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::controllers::writes::Written;
use crate::front_door::keys::Source;

/// First wait after a failure; a lost race is mostly over by then.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait: a person who fixed the cause should see the effect soon.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Slot {
    /// When it may be planned; none while it is worked on.
    due: Option<Instant>,
    /// Since when it has been waiting.
    since: Instant,
    failures: u32,
    /// Changed while it was worked on.
    again: bool,
    /// What must be read back first, and until when that is waited for.
    unread: Vec<Written>,
    unread_until: Instant,
}

/// Keys and when they are due.
#[derive(Debug)]
pub struct Queue<K> {
    slots: BTreeMap<K, Slot>,
    random: u64,
}

impl<K: Ord + Clone> Queue<K> {
    /// An empty one; the seed makes its jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            slots: BTreeMap::new(),
            random: seed,
        }
    }

    /// Adds a key that changed.
    pub fn add(&mut self, key: K, now: Instant) {
        match self.slots.get_mut(&key) {
            None => {
                self.slots.insert(
                    key,
                    Slot {
                        due: Some(now),
                        since: now,
                        failures: 0,
                        again: false,
                        unread: Vec::new(),
                        unread_until: now,
                    },
                );
            }
            Some(slot) if slot.due.is_none() || !slot.unread.is_empty() => slot.again = true,
            // What failed waits its turn: changes that come in a row must not undo the back-off.
            Some(slot) if slot.failures > 0 => {}
            Some(slot) => slot.due = Some(now),
        }
    }

    /// The next key that is due, and how long it has waited.
    pub fn pop(&mut self, now: Instant) -> Option<(K, Duration)> {
        let ready = |slot: &Slot| slot.unread.is_empty() && slot.due.is_some_and(|due| due <= now);
        let (key, slot) = self.slots.iter_mut().find(|(_, slot)| ready(slot))?;
        slot.due = None;
        slot.again = false;
        Some((key.clone(), now.saturating_duration_since(slot.since)))
    }

    /// Ends the work on a key with nothing to do.
    pub fn settle(&mut self, key: &K) {
        self.slots.remove(key);
    }

    /// Plans a key again after a time.
    pub fn later(&mut self, key: K, wait: Duration, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.due = Some(if slot.again { now } else { now + wait });
            slot.again = false;
        }
    }

    /// Ends the work on a key that was written: it is planned again once that was read back.
    pub fn written(&mut self, key: K, written: Vec<Written>, until: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.failures = 0;
        slot.unread = written;
        slot.unread_until = until;
        if slot.unread.is_empty() {
            if slot.again {
                slot.due = Some(slot.since);
                slot.again = false;
            } else {
                self.slots.remove(&key);
            }
        }
    }

    /// Ends the work on a key that failed.
    pub fn failed(&mut self, key: K, now: Instant) {
        let jitter = self.jitter();
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.failures += 1;
            let doubled = BACKOFF_MIN.saturating_mul(1 << slot.failures.min(10).saturating_sub(1));
            slot.due = Some(now + doubled.min(BACKOFF_MAX).mul_f64(jitter));
            slot.again = false;
        }
    }

    /// Lets keys go on whose writes were read back.
    pub fn read_back(&mut self, now: Instant, seen: impl Fn(&Source) -> u64) {
        let mut settled = Vec::new();
        for (key, slot) in &mut self.slots {
            if slot.unread.is_empty() {
                continue;
            }
            let overdue = slot.unread_until <= now;
            slot.unread
                .retain(|w| !overdue && seen(&w.source) < w.revision);
            if slot.unread.is_empty() {
                if slot.again {
                    slot.due = Some(now);
                    slot.since = now;
                    slot.again = false;
                } else {
                    settled.push(key.clone());
                }
            }
        }
        for key in settled {
            self.slots.remove(&key);
        }
    }

    /// When to look again without a change.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        let times = self.slots.values().filter_map(|slot| {
            if slot.unread.is_empty() {
                slot.due
            } else {
                Some(slot.unread_until)
            }
        });
        times.min()
    }

    /// Between a half and the whole: two hubs that failed together do not try together.
    #[expect(
        clippy::cast_precision_loss,
        reason = "jitter needs no more than 53 bits"
    )]
    fn jitter(&mut self) -> f64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        0.5 + (z >> 11) as f64 / (1_u64 << 54) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn written(revision: u64) -> Vec<Written> {
        vec![Written {
            source: Source::Bindings,
            revision,
        }]
    }

    #[test]
    fn a_key_is_worked_on_once_at_a_time() {
        let now = Instant::now();
        let mut queue = Queue::new(1);
        queue.add("a", now);
        assert_eq!(queue.pop(now + MS), Some(("a", MS)));
        queue.add("a", now);
        assert_eq!(queue.pop(now), None);
        queue.later("a", MS * 50, now);
        assert_eq!(queue.pop(now).map(|p| p.0), Some("a"), "changed meanwhile");
        queue.settle(&"a");
        assert_eq!(queue.wake(), None);
    }

    #[test]
    fn what_was_written_is_read_back_before_the_next_plan() {
        let now = Instant::now();
        let mut queue = Queue::new(1);
        queue.add("a", now);
        queue.pop(now);
        queue.written("a", written(7), now + MS * 9);
        queue.add("a", now);
        queue.read_back(now, |_| 6);
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.wake(), Some(now + MS * 9));
        queue.read_back(now, |_| 7);
        assert_eq!(queue.pop(now).map(|p| p.0), Some("a"));
        queue.written("a", written(9), now + MS * 9);
        queue.read_back(now + MS * 9, |_| 0);
        assert_eq!(queue.pop(now + MS * 9), None, "not waited for, not changed");
        assert_eq!(queue.wake(), None);
    }

    #[test]
    fn failures_back_off_and_changes_do_not_undo_that() {
        let mut now = Instant::now();
        let mut queue = Queue::new(1);
        queue.add("a", now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert!(queue.pop(now).is_some());
            queue.failed("a", now);
            queue.add("a", now);
            assert_eq!(queue.pop(now), None);
            let due = queue.wake().unwrap();
            waits.push(due - now);
            now = due;
        }
        assert!(waits[0] >= BACKOFF_MIN / 2 && waits[0] <= BACKOFF_MIN);
        assert!(waits[11] >= BACKOFF_MAX / 2 && waits[11] <= BACKOFF_MAX);
    }
}
