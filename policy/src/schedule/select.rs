//! Which of the clusters that fit are used: all of them, or as many as spread constraints ask for.
//!
//! Only `cluster` and `region` constraints choose; `zone` and `provider` just have the property
//! asked for by the filter. Rules and their odd corners are Karmada's, so that users get the same
//! clusters.

mod region;

pub use region::Region;

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::divide::Strategy;
use super::report::{Code, LeftOut, Selection};
use crate::api::{BindingSpec, Placement, SpreadConstraint};

/// Chooses among the candidates, which come in their order.
///
/// # Errors
/// Text of the Scheduled condition.
pub fn select<'a>(
    spec: &BindingSpec,
    placement: &Placement,
    candidates: &[Candidate<'a>],
) -> Result<(Vec<Candidate<'a>>, Selection), String> {
    if !is_spread(placement) {
        return Ok((candidates.to_vec(), Selection::default()));
    }
    let wanted = match Strategy::of(placement) {
        Strategy::Duplicated => None,
        _ => Some(i64::from(spec.replicas)),
    };
    let (chosen, regions) = match (
        constraint(placement, "region"),
        constraint(placement, "cluster"),
    ) {
        (Some(region), cluster) => {
            region::select(spec, candidates, region, cluster, wanted.is_none())?
        }
        (None, Some(cluster)) => (by_cluster(candidates, cluster, wanted)?, Vec::new()),
        (None, None) => return Err("just support cluster and region spread constraint".to_owned()),
    };
    let selection = account(candidates, &chosen, regions);
    Ok((chosen, selection))
}

/// The previous result instead of a new choice, where that would take away a cluster that still fits
/// and the previous result still satisfies the constraints.
///
/// What holds for every cluster is chosen again each time, and a cluster scores higher once it is
/// used: without this, an undisturbed workload would lose clusters on the second look.
pub(super) fn steady<'a>(
    spec: &BindingSpec,
    placement: &Placement,
    candidates: &[Candidate<'a>],
    (chosen, selection): (Vec<Candidate<'a>>, Selection),
) -> (Vec<Candidate<'a>>, Selection) {
    let was_target = |c: &Candidate<'_>| spec.clusters.iter().any(|t| t.name == c.name());
    let held: Vec<Candidate<'a>> = candidates.iter().copied().filter(was_target).collect();
    let takes_away = held.iter().any(|h| !has(&chosen, h.name()));
    let all_fit = held.len() == spec.clusters.len();
    if !(takes_away && all_fit && satisfies(placement, &held)) {
        return (chosen, selection);
    }
    let selection = account(candidates, &held, selection.regions);
    (held, selection)
}

/// Whether a choice is within the constraints that choose. At least one cluster per region is used,
/// whatever the constraint on clusters says.
fn satisfies(placement: &Placement, chosen: &[Candidate<'_>]) -> bool {
    let regions: BTreeSet<&str> = chosen
        .iter()
        .map(|c| c.cluster.spec.region.as_str())
        .collect();
    let by_region = constraint(placement, "region");
    let clusters_max = match by_region {
        Some(_) => regions.len(),
        None => 0,
    };
    let within = |constraint: Option<&SpreadConstraint>, count: usize, max: usize| {
        constraint.is_none_or(|c| (at_least(c)..=at_most(c).max(max)).contains(&count))
    };
    within(by_region, regions.len(), 0)
        && within(constraint(placement, "cluster"), chosen.len(), clusters_max)
}

/// The last constraint on the field.
fn constraint<'a>(placement: &'a Placement, field: &str) -> Option<&'a SpreadConstraint> {
    placement
        .spread_constraints
        .iter()
        .rfind(|c| c.spread_by_field == field)
}

fn has(candidates: &[Candidate<'_>], name: &str) -> bool {
    candidates.iter().any(|c| c.name() == name)
}

/// Whether spread constraints are in force. Stated weights name the clusters already: constraints
/// are left aside then. A weight preference that is present but empty states none.
#[must_use]
pub fn is_spread(placement: &Placement) -> bool {
    let states_weights = Strategy::of(placement) == Strategy::StaticWeight
        && placement
            .replica_scheduling
            .as_ref()
            .and_then(|s| s.weight_preference.as_ref())
            .is_none_or(|p| !p.static_weight_list.is_empty());
    !placement.spread_constraints.is_empty() && !states_weights
}

fn by_cluster<'a>(
    candidates: &[Candidate<'a>],
    constraint: &SpreadConstraint,
    wanted: Option<i64>,
) -> Result<Vec<Candidate<'a>>, String> {
    if at_least(constraint) > candidates.len() {
        return Err(
            "the number of feasible clusters is less than spreadConstraint.MinGroups".to_owned(),
        );
    }
    let count = at_most(constraint).min(candidates.len());
    let (mut chosen, mut rest) = (candidates[..count].to_vec(), candidates[count..].to_vec());
    let Some(wanted) = wanted else {
        return Ok(chosen);
    };
    for place in (0..chosen.len()).rev() {
        if room(&chosen) >= wanted {
            break;
        }
        if let Some(roomiest) = roomiest(&rest, chosen[place].available) {
            std::mem::swap(&mut chosen[place], &mut rest[roomiest]);
        }
    }
    if room(&chosen) < wanted || chosen.is_empty() {
        return Err(format!(
            "no enough resource when selecting {count} clusters"
        ));
    }
    Ok(chosen)
}

fn room(candidates: &[Candidate<'_>]) -> i64 {
    candidates.iter().map(|c| c.available).sum()
}

/// The first of those with the most room, if that is more than `than`.
fn roomiest(rest: &[Candidate<'_>], than: i64) -> Option<usize> {
    let (index, found) = rest
        .iter()
        .enumerate()
        .rev()
        .max_by_key(|(_, c)| c.available)?;
    (found.available > than).then_some(index)
}

fn at_least(constraint: &SpreadConstraint) -> usize {
    usize::try_from(constraint.min_groups).unwrap_or(0)
}

fn at_most(constraint: &SpreadConstraint) -> usize {
    usize::try_from(constraint.max_groups).unwrap_or(0)
}

/// What is said about a choice: regions used, and why a cluster is not.
fn account(
    candidates: &[Candidate<'_>],
    chosen: &[Candidate<'_>],
    mut regions: Vec<Region>,
) -> Selection {
    for region in &mut regions {
        region.chosen = chosen.iter().any(|c| c.cluster.spec.region == region.name);
    }
    let mut left_out: Vec<LeftOut> = candidates
        .iter()
        .filter(|c| !has(chosen, c.name()))
        .map(|c| {
            let region = regions.iter().find(|r| r.name == c.cluster.spec.region);
            LeftOut {
                cluster: c.name().to_owned(),
                code: match region {
                    Some(region) if !region.chosen => Code::RegionLeftOut,
                    _ => Code::EnoughClusters,
                },
            }
        })
        .collect();
    left_out.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    Selection { left_out, regions }
}
