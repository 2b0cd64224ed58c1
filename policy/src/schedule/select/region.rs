//! Choosing by region: regions are scored, sets of regions searched, the best cluster of each region
//! taken and the rest filled up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{at_least, at_most};
use crate::api::{BindingSpec, SpreadConstraint};
use crate::schedule::candidate::{self, Candidate};

/// Sets of regions looked at before the best one found so far is taken: a search over many regions
/// grows without bound. Enough for 20 regions of which 5 are wanted.
const SETS_MAX: usize = 50_000;

/// Weight of one replica, or one cluster, in a region's score; scores of clusters break ties.
const SCORE_UNIT: i64 = 1000;

/// One region and its clusters that fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// Name of the region.
    pub name: String,
    /// Its score; greater is better.
    pub score: i64,
    /// Replicas that would fit there.
    pub available: i64,
    /// Clusters that fit.
    pub clusters: usize,
    /// Whether it is used.
    pub chosen: bool,
}

struct Group<'a> {
    region: Region,
    /// In candidate order.
    clusters: Vec<Candidate<'a>>,
}

pub(super) fn select<'a>(
    spec: &BindingSpec,
    candidates: &[Candidate<'a>],
    region: &SpreadConstraint,
    cluster: Option<&SpreadConstraint>,
    duplicated: bool,
) -> Result<(Vec<Candidate<'a>>, Vec<Region>), String> {
    let (clusters_min, clusters_max) = cluster.map_or((0, 0), |c| (at_least(c), at_most(c)));
    let scoring = Scoring {
        replicas: i64::from(spec.replicas),
        regions_min: at_least(region),
        clusters_min,
        duplicated,
    };
    let groups = groups(candidates, &scoring);
    if groups.len() < at_least(region) {
        return Err(
            "the number of feasible region is less than spreadConstraint.MinGroups".to_owned(),
        );
    }
    let bounds = Bounds {
        groups_min: at_least(region),
        groups_max: at_most(region),
        clusters_min,
    };
    let chosen = best_set(&groups, &bounds).ok_or_else(|| {
        "the number of clusters is less than the cluster spreadConstraint.MinGroups".to_owned()
    })?;
    let (mut selected, mut rest) = (Vec::new(), Vec::new());
    for &index in &chosen {
        selected.push(groups[index].clusters[0]);
        rest.extend_from_slice(&groups[index].clusters[1..]);
    }
    candidate::sort(&mut rest);
    let more = clusters_max.saturating_sub(selected.len());
    selected.extend(rest.into_iter().take(more));
    let mut regions: Vec<Region> = groups.into_iter().map(|g| g.region).collect();
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((selected, regions))
}

struct Scoring {
    replicas: i64,
    regions_min: usize,
    clusters_min: usize,
    duplicated: bool,
}

/// Regions by number of clusters ascending, score descending, name: the order of the search.
fn groups<'a>(candidates: &[Candidate<'a>], scoring: &Scoring) -> Vec<Group<'a>> {
    let mut by_name: BTreeMap<&str, Vec<Candidate<'a>>> = BTreeMap::new();
    for candidate in candidates {
        let region = candidate.cluster.spec.region.as_str();
        if !region.is_empty() {
            by_name.entry(region).or_default().push(*candidate);
        }
    }
    let mut groups: Vec<Group<'a>> = by_name
        .into_iter()
        .map(|(name, clusters)| Group {
            region: Region {
                name: name.to_owned(),
                score: scoring.score(&clusters),
                available: clusters.iter().map(|c| c.available).sum(),
                clusters: clusters.len(),
                chosen: false,
            },
            clusters,
        })
        .collect();
    groups.sort_by_key(|g| (g.clusters.len(), Reverse(g.region.score)));
    groups
}

impl Scoring {
    fn score(&self, clusters: &[Candidate<'_>]) -> i64 {
        if self.duplicated {
            self.score_duplicated(clusters)
        } else {
            self.score_divided(clusters)
        }
    }

    /// How many clusters can hold all replicas.
    fn score_duplicated(&self, clusters: &[Candidate<'_>]) -> i64 {
        let able: Vec<i64> = clusters
            .iter()
            .filter(|c| c.available >= self.replicas)
            .map(|c| c.score)
            .collect();
        SCORE_UNIT * able.len() as i64 + mean(&able)
    }

    /// How much of an equal share the region can hold.
    fn score_divided(&self, clusters: &[Candidate<'_>]) -> i64 {
        let share = div_ceil(self.replicas, self.regions_min.max(1) as i64);
        let clusters_min = self.clusters_min.max(self.regions_min);
        let (mut room, mut counted) = (0, 0);
        for candidate in clusters {
            room += candidate.available;
            counted += 1;
            if room >= share && counted >= clusters_min {
                break;
            }
        }
        let scores: Vec<i64> = clusters[..counted].iter().map(|c| c.score).collect();
        SCORE_UNIT * room.min(share) + mean(&scores)
    }
}

fn div_ceil(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}

fn mean(scores: &[i64]) -> i64 {
    match scores.len() {
        0 => 0,
        n => scores.iter().sum::<i64>() / n as i64,
    }
}

struct Bounds {
    groups_min: usize,
    groups_max: usize,
    clusters_min: usize,
}

/// A set of regions that satisfies the constraints; greater is better.
struct Found {
    /// Sum of scores, then number of clusters.
    rank: (i64, usize),
    /// Regions, best first.
    set: Vec<usize>,
}

struct Search<'a, 'b> {
    groups: &'a [Group<'b>],
    bounds: &'a Bounds,
    left: usize,
    path: Vec<usize>,
    found: Vec<Found>,
}

/// The best of the smallest sets: a set is not grown once it satisfies the constraints. Among equals
/// the first one found stays. Where the best regions of that set are a set that was found as well,
/// the shorter one is enough.
fn best_set(groups: &[Group<'_>], bounds: &Bounds) -> Option<Vec<usize>> {
    let mut search = Search {
        groups,
        bounds,
        left: SETS_MAX,
        path: Vec::new(),
        found: Vec::new(),
    };
    search.from(0);
    let found = search.found;
    let Some(best) = found.iter().rev().max_by_key(|f| f.rank) else {
        return largest_set(groups, bounds);
    };
    let enough = found
        .iter()
        .filter(|f| best.set.starts_with(&f.set))
        .min_by_key(|f| f.set.len())?;
    Some(enough.set.clone())
}

/// The fewest regions that satisfy the constraints, the largest first: finds a set wherever there is
/// one, also where the search gave up.
fn largest_set(groups: &[Group<'_>], bounds: &Bounds) -> Option<Vec<usize>> {
    let mut set: Vec<usize> = (0..groups.len()).rev().collect();
    set.sort_by_key(|&index| Reverse(groups[index].clusters.len()));
    let clusters = |set: &[usize]| -> usize { set.iter().map(|&i| groups[i].clusters.len()).sum() };
    let sizes = bounds.groups_min..=bounds.groups_max.min(groups.len());
    let size = sizes
        .into_iter()
        .find(|&size| clusters(&set[..size]) >= bounds.clusters_min)?;
    set.truncate(size);
    Some(set)
}

impl Search<'_, '_> {
    fn from(&mut self, begin: usize) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let members = || self.path.iter().map(|&index| &self.groups[index]);
        let clusters: usize = members().map(|g| g.clusters.len()).sum();
        let size = self.path.len();
        let Bounds {
            groups_min,
            groups_max,
            clusters_min,
        } = *self.bounds;
        if clusters >= clusters_min && (groups_min..=groups_max).contains(&size) {
            let score = members().map(|g| g.region.score).sum();
            let mut set = self.path.clone();
            set.sort_by_key(|&index| {
                let region = &self.groups[index].region;
                (Reverse(region.score), &region.name)
            });
            self.found.push(Found {
                rank: (score, clusters),
                set,
            });
        } else if size < groups_max {
            for index in begin..self.groups.len() {
                self.path.push(index);
                self.from(index + 1);
                self.path.pop();
            }
        }
    }
}
