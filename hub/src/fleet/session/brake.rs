//! The brake on derived removals: those that follow from a re-placement or an edit, not from a delete.
//!
//! Too many in a minute are held, all of them, until a person releases them or their cause goes away. A
//! hub that has just begun to lead makes none at all.

use std::collections::VecDeque;
use std::time::Instant;

use flotilla_proto::limits::{BRAKE_REMOVALS, BRAKE_SHARE_PERCENT, BRAKE_WINDOW};

/// Derived removals of one cluster in the last minute.
#[derive(Debug, Default)]
pub(super) struct Brake {
    said: VecDeque<Instant>,
    engaged: bool,
}

impl Brake {
    /// Whether one more derived removal may wait to be said, with so many waiting already and so many
    /// works in the cluster. Once it says no, it says no until it is released.
    pub(super) fn admits(&mut self, waiting: usize, works: usize, now: Instant) -> bool {
        while self
            .said
            .front()
            .is_some_and(|at| *at + BRAKE_WINDOW <= now)
        {
            self.said.pop_front();
        }
        let limit = BRAKE_REMOVALS.max(works * BRAKE_SHARE_PERCENT / 100);
        if self.said.len() + waiting >= limit {
            self.engaged = true;
        }
        !self.engaged
    }

    /// A derived removal was said.
    pub(super) fn count(&mut self, now: Instant) {
        self.said.push_back(now);
    }

    /// A person released what was held, or nothing is held any more.
    pub(super) fn release(&mut self) {
        self.engaged = false;
        self.said.clear();
    }

    /// Nothing is held any more: its cause went away.
    pub(super) fn release_if_idle(&mut self) {
        self.engaged = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_quarter_or_25_a_minute_pass_and_no_more() {
        let check = |works: usize, want: usize| {
            let start = Instant::now();
            let mut brake = Brake::default();
            let mut passed = 0;
            while brake.admits(0, works, start) {
                brake.count(start);
                passed += 1;
            }
            assert_eq!(passed, want, "of {works}");
            let later = start + BRAKE_WINDOW * 2;
            assert!(!brake.admits(0, works, later), "held until released");
            brake.release();
            assert!(brake.admits(0, works, later));
        };
        check(10, 25);
        check(100, 25);
        check(400, 100);
    }

    #[test]
    fn a_slow_trickle_passes() {
        let mut now = Instant::now();
        let mut brake = Brake::default();
        for _ in 0..200 {
            assert!(brake.admits(0, 10, now));
            brake.count(now);
            now += Duration::from_secs(3);
        }
    }
}
