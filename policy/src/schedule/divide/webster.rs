//! Webster's method (Sainte-Laguë): seats go one by one to the highest `votes / (2 * seats + 1)`,
//! in 64-bit floats. A draw goes to the party with fewer seats, then by name.
//!
//! The same method divides a Job's completions when it is rendered.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Seats above which the first ones are counted instead of given one by one.
const SEATS_ONE_BY_ONE_MAX: i64 = 256;

/// One party of a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party<'a> {
    /// Name, unique among the parties.
    pub name: &'a str,
    /// Votes; a party without any gets no seat.
    pub votes: i64,
}

/// Whether a draw goes to the later name: so it is for an odd FNV-1a hash of the template's UID, to
/// keep draws from always favouring the same clusters.
#[must_use]
pub fn later_name_wins(uid: &str) -> bool {
    let hash = uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    !uid.is_empty() && hash % 2 == 1
}

/// Seats of each party, in the order of `parties`. All zero when nobody has votes.
#[must_use]
pub fn webster(seats: i32, parties: &[Party<'_>], later_name_wins: bool) -> Vec<i32> {
    let mut won: Vec<i64> = head_start(i64::from(seats), parties);
    let left = i64::from(seats.max(0)) - won.iter().sum::<i64>();
    let mut queue: BinaryHeap<Claimant<'_>> = parties
        .iter()
        .enumerate()
        .filter(|(_, party)| party.votes > 0)
        .map(|(index, party)| Claimant {
            index,
            party: *party,
            seats: won[index],
            later_name_wins,
        })
        .collect();
    for _ in 0..left {
        let Some(mut top) = queue.peek_mut() else {
            break;
        };
        top.seats += 1;
        won[top.index] = top.seats;
    }
    won.into_iter()
        .map(|seats| i32::try_from(seats).unwrap_or(i32::MAX))
        .collect()
}

/// A party waiting for its next seat; the greatest gets it.
struct Claimant<'a> {
    index: usize,
    party: Party<'a>,
    seats: i64,
    later_name_wins: bool,
}

impl Ord for Claimant<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let names = || match self.later_name_wins {
            true => self.party.name.cmp(other.party.name),
            false => other.party.name.cmp(self.party.name),
        };
        quotient(self.party.votes, self.seats)
            .total_cmp(&quotient(other.party.votes, other.seats))
            .then_with(|| Reverse(self.seats).cmp(&Reverse(other.seats)))
            .then_with(names)
    }
}

impl PartialOrd for Claimant<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claimant<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Claimant<'_> {}

/// Floats on purpose: fractions that are equal in them are draws.
fn quotient(votes: i64, seats: i64) -> f64 {
    votes as f64 / (2 * seats + 1) as f64
}

/// Seats that are won for sure when there are many: all whose quotient lies above a bound that
/// fewer than `seats` quotients exceed. Giving seats one by one would pass through that state.
fn head_start(seats: i64, parties: &[Party<'_>]) -> Vec<i64> {
    let none = vec![0; parties.len()];
    let entitled = parties.iter().filter(|p| p.votes > 0);
    let spare = seats - entitled.clone().count() as i64;
    if spare <= SEATS_ONE_BY_ONE_MAX {
        return none;
    }
    let votes: f64 = entitled.map(|p| p.votes as f64).sum();
    let bound = votes / (2 * spare) as f64;
    let counted: Vec<i64> = parties
        .iter()
        .map(|party| seats_above(bound, party.votes, seats))
        .collect();
    match counted.iter().sum::<i64>() {
        sum if sum <= seats => counted,
        _ => none,
    }
}

/// How many of the party's quotients are greater than the bound, at most `max`.
fn seats_above(bound: f64, votes: i64, max: i64) -> i64 {
    let (mut low, mut high) = (0, if votes > 0 { max } else { 0 });
    while low < high {
        let middle = low + (high - low) / 2;
        if quotient(votes, middle) > bound {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
