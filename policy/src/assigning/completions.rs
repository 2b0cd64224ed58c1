//! How the completions of a Job are split over its clusters: by Webster's method, weighed by the
//! clusters' replicas.
//!
//! Decides numbers only; whether a Job is split at all is the caller's question. The split is made
//! on the hub, because it needs every cluster's share.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// Splits `total` by the clusters' replicas. A cluster without replicas gets none, unless no
/// cluster has any: then all weigh the same. Equal claims go to the cluster that has less, then by
/// name, up or down by the parity of the template's UID, so that it is not always the same cluster
/// that gets more.
#[must_use]
pub fn job_completions(total: i64, clusters: &[(String, i64)], uid: &str) -> BTreeMap<String, i64> {
    let unweighted = clusters.iter().all(|(_, replicas)| *replicas <= 0);
    let weights: BTreeMap<&str, i64> = clusters
        .iter()
        .map(|(name, replicas)| (name.as_str(), if unweighted { 1 } else { *replicas }))
        .collect();
    let mut shares: BTreeMap<String, i64> =
        weights.keys().map(|name| ((*name).to_owned(), 0)).collect();
    for (name, share) in webster(total, &weights, fnv1a(uid) % 2 == 1 && !uid.is_empty()) {
        shares.insert(name, share);
    }
    shares
}

fn webster(total: i64, weights: &BTreeMap<&str, i64>, descending: bool) -> Vec<(String, i64)> {
    let parties: Vec<_> = weights.iter().filter(|(_, weight)| **weight > 0).collect();
    let sum: i128 = parties.iter().map(|(_, weight)| i128::from(**weight)).sum();
    let slack = i128::try_from(parties.len()).unwrap_or(i128::MAX);
    let mut claims: BinaryHeap<Claim<'_>> = parties
        .into_iter()
        .map(|(name, weight)| Claim {
            name,
            weight: *weight,
            // No party ends below its share of what is left when each of the others is rounded
            // up: start there, so that the work does not grow with the total.
            seats: floor_share(i128::from(total) - slack, i128::from(*weight), sum),
            descending,
        })
        .collect();
    let mut left = total - claims.iter().map(|c| c.seats).sum::<i64>();
    while left > 0 {
        let Some(mut claim) = claims.pop() else { break };
        claim.seats += 1;
        left -= 1;
        claims.push(claim);
    }
    claims
        .into_iter()
        .map(|c| (c.name.to_owned(), c.seats))
        .collect()
}

fn floor_share(total: i128, weight: i128, sum: i128) -> i64 {
    // Two below the bound: quotients are compared as floats, which round.
    i64::try_from(total.saturating_mul(weight) / sum.max(1) - 2)
        .unwrap_or(0)
        .max(0)
}

struct Claim<'a> {
    name: &'a str,
    weight: i64,
    seats: i64,
    descending: bool,
}

impl Claim<'_> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "Karmada compares these quotients as floats"
    )]
    fn quotient(&self) -> f64 {
        self.weight as f64 / (2.0 * self.seats as f64 + 1.0)
    }
}

impl Ord for Claim<'_> {
    /// The greatest claim is served next.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_name = if self.descending {
            self.name.cmp(other.name)
        } else {
            other.name.cmp(self.name)
        };
        self.quotient()
            .total_cmp(&other.quotient())
            .then(other.seats.cmp(&self.seats))
            .then(by_name)
    }
}

impl PartialOrd for Claim<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claim<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Claim<'_> {}

/// 32-bit FNV-1a.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
