//! What holds for any input: order does not matter, a decision confirms itself, replicas are
//! conserved and every rejection has a reason (the last two by `check`, inside `decide_again`).

use std::collections::BTreeMap;

use flotilla_policy::api::{BindingSpec, BindingStatus, Cluster, Placement, PropagationPolicy};
use flotilla_policy::matching::{Claim, ClaimRef, PolicyView, claim};
use flotilla_policy::schedule::divide::{Party, webster};
use flotilla_policy::schedule::{Outcome, Report, ScheduleOptions, ScheduleView};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::{decide_view, mk, mk_cluster, mk_spec};

const NAMES: [&str; 8] = ["a", "ab", "b", "m1", "m10", "m2", "x", "x-0"];

fn a_cluster() -> impl Strategy<Value = Value> {
    let taint = json!({"key": "t", "effect": "NoSchedule"});
    (
        select(vec!["r1", "r2", ""]),
        prop::option::weighted(0.3, Just(taint)),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(region, taint, deleting, bare)| {
            json!({
                "spec": {"region": region, "taints": taint.into_iter().collect::<Vec<_>>()},
                "deleting": deleting, "bare": bare,
            })
        })
}

fn clusters() -> impl Strategy<Value = Vec<Cluster>> {
    let all = prop::collection::vec(a_cluster(), NAMES.len());
    (all, subsequence(NAMES.to_vec(), 0..=NAMES.len())).prop_map(|(made, names)| {
        let of = |name: &&str| NAMES.iter().position(|n| n == name).expect("one of them");
        names
            .iter()
            .map(|name| {
                let made = &made[of(name)];
                let mut cluster = mk_cluster(name, made["spec"].clone());
                if made["deleting"] == json!(true) {
                    cluster.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
                }
                if made["bare"] == json!(true) {
                    cluster.status.api_enablements.clear();
                }
                cluster
            })
            .collect()
    })
}

fn affinity() -> impl Strategy<Value = Value> {
    (
        subsequence(NAMES.to_vec(), 0..=4),
        subsequence(NAMES.to_vec(), 0..=2),
        prop::option::weighted(0.2, select(vec!["r1", "r2"])),
    )
        .prop_map(|(names, exclude, region)| {
            let mut affinity = json!({"clusterNames": names, "exclude": exclude});
            if let Some(region) = region {
                let key = json!({"key": "region", "operator": "In", "values": [region]});
                affinity["fieldSelector"] = json!({"matchExpressions": [key]});
            }
            affinity
        })
}

fn scheduling() -> impl Strategy<Value = Value> {
    let rule = (affinity(), 0..5_i64)
        .prop_map(|(target, weight)| json!({"targetCluster": target, "weight": weight}));
    let weighted = prop::collection::vec(rule, 0..4).prop_map(|rules| {
        json!({
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
            "weightPreference": {"staticWeightList": rules},
        })
    });
    prop_oneof![
        Just(json!({"replicaSchedulingType": "Duplicated"})),
        Just(json!({
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated",
        })),
        Just(json!({
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
            "weightPreference": {"dynamicWeight": "AvailableReplicas"},
        })),
        Just(json!({
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
        })),
        weighted,
    ]
}

fn placement() -> impl Strategy<Value = Value> {
    (
        prop::collection::vec(affinity(), 0..3),
        prop::option::of(scheduling()),
        any::<bool>(),
        spread(),
        prop::collection::vec(affinity(), 0..3),
    )
        .prop_map(|(affinities, scheduling, tolerates, spread, overflows)| {
            let mut placement = json!({"replicaScheduling": scheduling});
            placement["spreadConstraints"] = json!(spread);
            if tolerates {
                placement["clusterTolerations"] = json!([{"key": "t", "operator": "Exists"}]);
            }
            if affinities.len() == 1 {
                placement["clusterAffinity"] = affinities[0].clone();
            } else {
                let terms = affinities.into_iter().enumerate().map(|(n, mut affinity)| {
                    affinity["affinityName"] = json!(format!("t{n}"));
                    affinity["overflowAffinities"] = json!(overflows);
                    affinity
                });
                placement["clusterAffinities"] = terms.collect();
            }
            placement
        })
}

fn spread() -> impl Strategy<Value = Vec<Value>> {
    let groups = || (1..4_i64, 0..3_i64);
    let constraint = |field: &str, (min, more): (i64, i64)| json!({"spreadByField": field, "minGroups": min, "maxGroups": min + more});
    prop_oneof![
        3 => Just(Vec::new()),
        1 => groups().prop_map(move |c| vec![constraint("cluster", c)]),
        1 => (groups(), groups())
            .prop_map(move |(c, r)| vec![constraint("cluster", c), constraint("region", r)]),
    ]
}

fn estimates() -> impl Strategy<Value = BTreeMap<String, i32>> {
    prop::collection::vec(prop_oneof![0..5_i32, 0..60_i32, Just(-1)], NAMES.len()).prop_map(
        |rooms| {
            NAMES
                .iter()
                .map(|name| (*name).to_owned())
                .zip(rooms)
                .collect()
        },
    )
}

fn binding() -> impl Strategy<Value = BindingSpec> {
    let previous = prop::collection::vec(0..9_i32, NAMES.len());
    (
        0..40_i32,
        placement(),
        any::<bool>(),
        subsequence((0..NAMES.len()).collect::<Vec<_>>(), 0..=4),
        previous,
        prop::option::weighted(0.2, select(NAMES.to_vec())),
        "[a-f0-9]{0,4}",
        any::<bool>(),
    )
        .prop_map(
            |(replicas, placement, requirements, had, counts, evicting, uid, fresh)| {
                let mut spec = mk_spec(replicas, placement);
                spec.resource.uid = uid;
                spec.reschedule_triggered_at = fresh.then(|| AFTER.to_owned());
                if requirements {
                    spec.replica_requirements = mk(json!({"resourceRequest": {"cpu": "1"}}));
                }
                let target = |&n: &usize| json!({"name": NAMES[n], "replicas": counts[n]});
                spec.clusters = mk(had.iter().map(target).collect());
                let task = |name| json!({"fromCluster": name, "reason": "R", "producer": "P"});
                spec.graceful_eviction_tasks = mk(evicting.map(task).into_iter().collect());
                spec
            },
        )
}

const LAST: &str = "2026-01-01T00:00:00Z";
const AFTER: &str = "2026-01-01T00:00:01Z";

fn decided(
    spec: &BindingSpec,
    status: &BindingStatus,
    applied_placement: Option<&Placement>,
    clusters: &[Cluster],
    estimates: Option<&BTreeMap<String, i32>>,
) -> (Outcome, Report) {
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    decide_view(&ScheduleView {
        spec,
        status,
        applied_placement,
        clusters: &clusters,
        estimates,
        options: ScheduleOptions::default(),
    })
}

fn last_scheduled(time: &str) -> BindingStatus {
    BindingStatus {
        last_scheduled_time: Some(time.to_owned()),
        ..BindingStatus::default()
    }
}

/// The binding after the outcome was written.
fn written(spec: &BindingSpec, outcome: &Outcome) -> (BindingSpec, BindingStatus) {
    let (mut spec, mut status) = (spec.clone(), last_scheduled(AFTER));
    match outcome {
        Outcome::Decided {
            clusters,
            affinity_name,
        } => {
            spec.clusters.clone_from(clusters);
            status
                .scheduler_observed_affinity_name
                .clone_from(affinity_name);
        }
        Outcome::NoFit { .. } => spec.clusters.clear(),
        _ => {}
    }
    (spec, status)
}

/// Webster's method as it is told: one seat after the other.
fn webster_told(seats: i32, votes: &[i64], later_name_wins: bool) -> Vec<i32> {
    let mut won = vec![0; votes.len()];
    for _ in 0..seats {
        let next = (0..votes.len()).filter(|&i| votes[i] > 0).max_by(|&a, &b| {
            let quotient = |i: usize| votes[i] as f64 / f64::from(2 * won[i] + 1);
            let names = if later_name_wins {
                a.cmp(&b)
            } else {
                b.cmp(&a)
            };
            quotient(a)
                .total_cmp(&quotient(b))
                .then(won[b].cmp(&won[a]))
                .then(names)
        });
        if let Some(next) = next {
            won[next] += 1;
        }
    }
    won
}

fn webster_ours(seats: i32, votes: &[i64], later_name_wins: bool) -> Vec<i32> {
    let names: Vec<String> = (0..votes.len()).map(|n| format!("p{n:03}")).collect();
    let parties: Vec<Party<'_>> = names
        .iter()
        .zip(votes)
        .map(|(name, &votes)| Party { name, votes })
        .collect();
    webster(seats, &parties, later_name_wins)
}

#[test]
fn many_seats_are_counted_not_given_one_by_one() {
    let won = webster_ours(i32::MAX, &[1, 2, 0, 1 << 60], false);
    assert_eq!(
        won.iter().map(|&n| i64::from(n)).sum::<i64>(),
        i64::from(i32::MAX)
    );
    assert_eq!(won, [0, 0, 0, i32::MAX]);
}

proptest! {
    #[test]
    fn webster_is_as_told(
        seats in 0..3000_i32,
        votes in prop::collection::vec(prop_oneof![0..6_i64, 0..5000_i64], 0..12),
        later_name_wins: bool,
    ) {
        let ours = webster_ours(seats, &votes, later_name_wins);
        prop_assert_eq!(ours, webster_told(seats, &votes, later_name_wins));
    }

    #[test]
    fn order_does_not_matter(
        spec in binding(),
        (clusters, shuffled) in clusters().prop_flat_map(|c| (Just(c.clone()), Just(c).prop_shuffle())),
        estimates in estimates(),
    ) {
        let status = last_scheduled(LAST);
        let ours = decided(&spec, &status, None, &clusters, Some(&estimates));
        prop_assert_eq!(ours, decided(&spec, &status, None, &shuffled, Some(&estimates)));
    }

    #[test]
    fn a_decision_confirms_itself(
        spec in binding(),
        clusters in clusters(),
        estimates in estimates(),
    ) {
        let (first, report) = decided(&spec, &last_scheduled(LAST), None, &clusters, Some(&estimates));
        let (spec, status) = written(&spec, &first);
        let applied = spec.placement.clone();
        let (second, again) = decided(&spec, &status, applied.as_ref(), &clusters, Some(&estimates));
        let (spec_again, status_again) = written(&spec, &second);
        prop_assert_eq!(&spec_again.clusters, &spec.clusters, "{}\nthen\n{}", report, again);
        // An empty result (0 replicas) holds no place: a term that only a target may use is lost.
        if matches!(second, Outcome::Decided { .. }) && !spec.clusters.is_empty() {
            prop_assert_eq!(status_again, status);
        }
    }

    #[test]
    fn estimates_are_asked_for_exactly_where_they_matter(
        spec in binding(),
        clusters in clusters(),
        estimates in estimates(),
    ) {
        let status = last_scheduled(LAST);
        let (without, report) = decided(&spec, &status, None, &clusters, None);
        let (with, _) = decided(&spec, &status, None, &clusters, Some(&estimates));
        match without {
            Outcome::Needs { clusters } => {
                let last = report.attempts.last().expect("a run asked");
                let fit = last.verdicts.iter().filter(|v| v.fits());
                let fit: Vec<String> = fit.map(|v| v.cluster.clone()).collect();
                prop_assert_eq!(clusters, fit);
            }
            without => prop_assert_eq!(without, with),
        }
    }

    #[test]
    fn claims_do_not_depend_on_order_and_stay(
        (policies, shuffled) in policies().prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle())),
    ) {
        let first = claim_among(&policies, None);
        prop_assert_eq!(&first, &claim_among(&shuffled, None));
        if let Claim::Policy(policy) = &first {
            let current = ClaimRef {
                scope: policy.scope,
                namespace: policy.namespace.clone(),
                name: policy.name.clone(),
                permanent_id: policy.permanent_id.clone(),
            };
            prop_assert_eq!(&first, &claim_among(&policies, Some(&current)));
        }
    }
}

fn policies() -> impl Strategy<Value = Vec<PropagationPolicy>> {
    let selector = select(vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "web"}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap"}),
        json!({"apiVersion": "v1", "kind": "Secret"}),
    ]);
    let one = (
        -1..2,
        prop::collection::vec(selector, 1..3),
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(one, 0..6).prop_map(|made| {
        made.into_iter()
            .zip(NAMES)
            .map(|((priority, selectors, deleting), name)| {
                let mut policy = json!({
                    "metadata": {"namespace": "default", "name": name},
                    "spec": {
                        "placement": {}, "priority": priority, "resourceSelectors": selectors,
                    },
                });
                if deleting {
                    policy["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                }
                mk(policy)
            })
            .collect()
    })
}

fn claim_among(policies: &[PropagationPolicy], current: Option<&ClaimRef>) -> Claim {
    let template = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "default", "name": "web"},
    });
    let propagation: Vec<_> = policies.iter().collect();
    let view = PolicyView {
        propagation: &propagation,
        cluster: &[],
    };
    let (claim, report) = claim(&template, current, &view);
    assert_eq!(flotilla_policy::check::matching(&claim, &report), []);
    claim
}
