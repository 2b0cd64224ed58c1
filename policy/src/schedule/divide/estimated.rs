//! Division by how many replicas would fit. Normally only the difference to the previous result is
//! divided, so that what runs stays where it is; after a request for a fresh placement everything.

use std::collections::{BTreeMap, BTreeSet};

use super::webster::{Party, later_name_wins, webster};
use super::{Divided, settle};
use crate::api::BindingSpec;
use crate::schedule::candidate::Candidate;
use crate::schedule::report::{DivisionKind, Mode, Seat};

/// How to divide by room.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByRoom<'a> {
    pub(super) spec: &'a BindingSpec,
    /// Into as few clusters as can hold them, instead of into all.
    pub(super) aggregated: bool,
    /// As if nothing were placed yet.
    pub(super) fresh: bool,
    /// Tiers are filled one after the other.
    pub(super) tiered: bool,
}

/// A cluster with its votes.
#[derive(Clone, Copy, Debug)]
struct Voter<'a> {
    name: &'a str,
    votes: i64,
}

impl ByRoom<'_> {
    /// Divides among the candidates. With overflow tiers each gets what it has room for, in order;
    /// a tier that is not reached keeps nothing.
    pub(super) fn divide(&self, candidates: &[Candidate<'_>]) -> Result<Divided, String> {
        let wanted = i64::from(self.spec.replicas);
        if !self.tiered {
            return self.divide_part(candidates, wanted);
        }
        let (mut left, mut all) = (wanted, Divided::default());
        for tier in candidates.chunk_by(|a, b| a.tier == b.tier) {
            let part = tier.iter().map(|c| c.available).sum::<i64>().min(left);
            left -= part;
            all.append(match part {
                0 => self.nothing(tier),
                part => self.divide_part(tier, part)?,
            });
        }
        if left > 0 {
            return Err("Clusters available replicas are not enough to schedule.".to_owned());
        }
        Ok(all)
    }

    fn divide_part(&self, candidates: &[Candidate<'_>], wanted: i64) -> Result<Divided, String> {
        let held = self.held(candidates);
        let assigned: i64 = held.iter().map(|(_, replicas)| replicas).sum();
        let kept: BTreeMap<&str, i64> = held.iter().copied().collect();
        let by_room = |extra: &BTreeMap<&str, i64>| {
            candidates
                .iter()
                .map(|c| Voter {
                    name: c.name(),
                    votes: c.allocatable + extra.get(c.name()).unwrap_or(&0),
                })
                .collect()
        };
        let nothing = BTreeMap::new();
        if self.fresh {
            return self.vote(Mode::Fresh, wanted, by_room(&kept), &nothing, candidates);
        }
        if assigned > wanted {
            let by_held = held.iter().map(|&(name, votes)| Voter { name, votes });
            return self.vote(
                Mode::ScaleDown,
                wanted,
                by_held.collect(),
                &nothing,
                candidates,
            );
        }
        let more = wanted - assigned;
        if more > 0 {
            return self.vote(Mode::ScaleUp, more, by_room(&nothing), &kept, candidates);
        }
        self.vote(Mode::Unchanged, 0, Vec::new(), &kept, candidates)
    }

    /// The previous result as far as it is still a candidate, in its order.
    fn held<'c>(&self, candidates: &[Candidate<'c>]) -> Vec<(&'c str, i64)> {
        let names: BTreeSet<&'c str> = candidates.iter().map(Candidate::name).collect();
        let targets = self.spec.clusters.iter();
        targets
            .filter_map(|target| {
                let name = names.get(target.name.as_str())?;
                Some((*name, i64::from(target.replicas)))
            })
            .collect()
    }

    fn vote(
        &self,
        mode: Mode,
        amount: i64,
        mut voters: Vec<Voter<'_>>,
        kept: &BTreeMap<&str, i64>,
        candidates: &[Candidate<'_>],
    ) -> Result<Divided, String> {
        let room: i64 = voters.iter().map(|v| v.votes).sum();
        if room < amount {
            let verb = match mode {
                Mode::Fresh => "do fresh scale",
                _ => "scale up",
            };
            return Err(format!(
                "failed to {verb}: Clusters available replicas {room} are not enough to schedule."
            ));
        }
        if self.aggregated {
            cut(&mut voters, amount, kept);
        }
        let later_name_wins = later_name_wins(&self.spec.resource.uid);
        let parties: Vec<Party<'_>> = voters
            .iter()
            .map(|v| Party {
                name: v.name,
                votes: v.votes,
            })
            .collect();
        let won = webster(to_i32(amount), &parties, later_name_wins);
        let won: BTreeMap<&str, (i64, i32)> = voters
            .iter()
            .zip(won)
            .map(|(voter, won)| (voter.name, (voter.votes, won)))
            .collect();
        let seats = candidates.iter().map(|candidate| {
            let name = candidate.name();
            let (votes, won) = won.get(name).copied().unwrap_or((0, 0));
            let mut seat = seat(name, votes, kept.get(name).copied().unwrap_or(0));
            seat.replicas += won;
            seat
        });
        let replicas = amount + kept.values().sum::<i64>();
        Ok(settle(
            self.kind(),
            Some(mode),
            to_i32(replicas),
            later_name_wins,
            seats.collect(),
        ))
    }

    fn nothing(&self, tier: &[Candidate<'_>]) -> Divided {
        let seats = tier.iter().map(|c| seat(c.name(), 0, 0)).collect();
        settle(self.kind(), Some(Mode::NotReached), 0, false, seats)
    }

    fn kind(&self) -> DivisionKind {
        if self.aggregated {
            DivisionKind::Aggregated
        } else {
            DivisionKind::DynamicWeight
        }
    }
}

/// Leaves as few voters as have room for the amount: those that keep replicas first, the roomiest
/// first among both. The replicas are then divided among all that are left, not filled in order.
fn cut(voters: &mut Vec<Voter<'_>>, amount: i64, kept: &BTreeMap<&str, i64>) {
    let keeps = |v: &Voter<'_>| kept.get(v.name).is_some_and(|&replicas| replicas > 0);
    voters.sort_by_key(|v| (!keeps(v), std::cmp::Reverse(v.votes)));
    let mut room = 0;
    let enough = voters.iter().position(|v| {
        room += v.votes;
        room >= amount
    });
    voters.truncate(enough.map_or(voters.len(), |index| index + 1));
}

fn seat(name: &str, weight: i64, kept: i64) -> Seat {
    Seat {
        cluster: name.to_owned(),
        weight,
        kept: to_i32(kept),
        replicas: to_i32(kept),
    }
}

/// No amount exceeds the replicas wanted, which are an `i32`.
fn to_i32(amount: i64) -> i32 {
    i32::try_from(amount).unwrap_or(i32::MAX)
}
