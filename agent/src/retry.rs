//! How long to wait before trying again: growing intervals with full jitter from a seed.
//!
//! The `backoff` crate gives the sequence of intervals and nothing else; it is named in this file
//! only. Never sleeps and reads no clock.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// No wait is shorter, so that a peer that fails at once is not asked in a tight loop.
const FLOOR: Duration = Duration::from_millis(50);

/// A small seeded generator: good enough to spread waits, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Anything from nothing up to the whole.
    pub fn up_to(&mut self, whole: Duration) -> Duration {
        let part = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        whole.mul_f64(part)
    }
}

/// Waits of one thing that is tried until it works.
#[derive(Debug)]
pub struct Retry {
    intervals: ExponentialBackoff,
    rng: Rng,
}

impl Retry {
    /// Intervals double from `min` to `max` and never end.
    #[must_use]
    pub fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self {
            intervals: ExponentialBackoff {
                initial_interval: min,
                current_interval: min,
                max_interval: max,
                multiplier: 2.0,
                // Its own jitter is not seeded, and its own end would stop an agent after a quarter
                // of an hour.
                randomization_factor: 0.0,
                max_elapsed_time: None,
                ..ExponentialBackoff::default()
            },
            rng: Rng::new(seed),
        }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let interval = self.intervals.next_backoff();
        let interval = interval.unwrap_or(self.intervals.max_interval);
        self.rng.up_to(interval).max(FLOOR)
    }

    /// Begins again, after it worked.
    pub fn reset(&mut self) {
        self.intervals.reset();
    }
}

/// The wait after the nth failure of one work, up to five minutes, for queues with many works.
#[must_use]
pub fn work_wait(failures: u32, rng: &mut Rng) -> Duration {
    let whole = Duration::from_millis(500 << failures.min(10)).min(Duration::from_secs(300));
    whole / 2 + rng.up_to(whole / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_again() {
        let (min, max) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut retry = Retry::new(min, max, 7);
        let waits: Vec<_> = (0..200).map(|_| retry.next_wait()).collect();
        assert!(waits[0] <= min);
        assert!(waits.iter().all(|w| *w >= FLOOR && *w <= max));
        assert!(waits[20..].iter().any(|w| *w > max / 2));
        retry.reset();
        assert!(retry.next_wait() <= min);
        let mut again = Retry::new(min, max, 7);
        assert_eq!(again.next_wait(), waits[0]);
    }

    #[test]
    fn a_work_waits_five_minutes_at_most() {
        let mut rng = Rng::new(1);
        for failures in 0..100 {
            let wait = work_wait(failures, &mut rng);
            assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(300));
        }
    }
}
