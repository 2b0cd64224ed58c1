//! What reports show of choices and divisions, and the few rules that differ from the incumbent's.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use flotilla_policy::api::{BindingSpec, BindingStatus, Cluster};
use flotilla_policy::schedule::{Outcome, ScheduleOptions, ScheduleView};
use serde_json::{Value, json};

use super::{decide, decide_view, mk, mk_cluster, mk_spec};

const BY_ROOM: &str = "AvailableReplicas";

fn clusters(regions: &[(&str, &str)]) -> Vec<Cluster> {
    let cluster = |(name, region): &(&str, &str)| mk_cluster(name, json!({"region": region}));
    regions.iter().map(cluster).collect()
}

fn check(spec: &BindingSpec, clusters: &[Cluster], rooms: &[(&str, i32)], expected: Expect) {
    let clusters: Vec<&Cluster> = clusters.iter().collect();
    let rooms: BTreeMap<String, i32> = rooms.iter().map(|(n, r)| ((*n).to_owned(), *r)).collect();
    let (outcome, report) = decide_view(&ScheduleView {
        spec,
        status: &BindingStatus::default(),
        applied_placement: None,
        clusters: &clusters,
        estimates: Some(&rooms),
        options: ScheduleOptions::default(),
    });
    let fits = |line: &&str| !line.ends_with(": fits");
    let shown: Vec<String> = report
        .to_string()
        .lines()
        .filter(fits)
        .map(str::to_owned)
        .collect();
    let condition = outcome.condition().expect("it was decided");
    expected.assert_eq(&format!(
        "{}\n{} {}\n",
        shown.join("\n"),
        condition.reason,
        condition.message
    ));
}

fn divided(preference: &str, weights: Value) -> Value {
    json!({"replicaScheduling": {
        "replicaSchedulingType": "Divided", "replicaDivisionPreference": preference,
        "weightPreference": weights,
    }})
}

#[test]
fn what_is_added_goes_where_there_is_room() {
    let mut spec = mk_spec(9, divided("Weighted", json!({"dynamicWeight": BY_ROOM})));
    spec.clusters = mk(json!([{"name": "m1", "replicas": 4}, {"name": "m9", "replicas": 1}]));
    let clusters = clusters(&[("m1", ""), ("m2", ""), ("m3", "")]);
    let rooms = [("m1", 0), ("m2", 10), ("m3", 20)];
    check(
        &spec,
        &clusters,
        &rooms,
        expect![[r#"
            decided: for the first time
            9 replicas by room: what is added
              m1: weight 0 -> 4 + 0 = 4
              m2: weight 10 -> 2
              m3: weight 20 -> 3
            Success Binding has been scheduled successfully.
        "#]],
    );
    check(
        &spec,
        &clusters,
        &[("m1", 1), ("m2", 1), ("m3", 2)],
        expect![[r#"
            decided: for the first time
            failed to assign replicas: failed to scale up: Clusters available replicas 4 are not enough to schedule.
            Unschedulable failed to assign replicas: failed to scale up: Clusters available replicas 4 are not enough to schedule.
        "#]],
    );
    spec.replicas = 2;
    check(
        &spec,
        &clusters,
        &rooms,
        expect![[r#"
            decided: for the first time
            2 replicas by room: all, in proportion to before
              m1: weight 4 -> 2
              m2: weight 0 -> 0
              m3: weight 0 -> 0
            Success Binding has been scheduled successfully.
        "#]],
    );
}

#[test]
fn few_clusters_hold_all() {
    let spec = mk_spec(12, divided("Aggregated", Value::Null));
    let clusters = clusters(&[("m1", ""), ("m2", ""), ("m3", "")]);
    check(
        &spec,
        &clusters,
        &[("m1", 5), ("m2", 10), ("m3", 8)],
        expect![[r#"
            decided: for the first time
            12 replicas by room in few clusters: what is added
              m1: weight 0 -> 0
              m2: weight 10 -> 7
              m3: weight 8 -> 5
            Success Binding has been scheduled successfully.
        "#]],
    );
}

#[test]
fn tiers_are_filled_in_order() {
    let mut placement = divided("Aggregated", Value::Null);
    placement["clusterAffinities"] = json!([{
        "affinityName": "own", "clusterNames": ["m1", "m2"],
        "overflowAffinities": [
            {"affinityName": "rented", "clusterNames": ["m3"]},
            {"affinityName": "last", "clusterNames": ["m4"]},
        ],
    }]);
    let clusters = clusters(&[("m1", ""), ("m2", ""), ("m3", ""), ("m4", "")]);
    let rooms = [("m1", 5), ("m2", 3), ("m3", 9), ("m4", 9)];
    check(
        &mk_spec(10, placement),
        &clusters,
        &rooms,
        expect![[r#"
            decided: for the first time
            affinity term own
            8 replicas by room in few clusters: what is added
              m1: weight 5 -> 5
              m2: weight 3 -> 3
            2 replicas by room in few clusters: what is added
              m3: weight 9 -> 2
            0 replicas by room in few clusters: earlier tiers hold all
              m4: weight 0 -> 0
            Success Binding has been scheduled successfully.
        "#]],
    );
}

fn two_regions() -> Value {
    json!({"spreadConstraints": [
        {"spreadByField": "region", "minGroups": 1, "maxGroups": 2},
        {"spreadByField": "cluster", "minGroups": 2, "maxGroups": 3},
    ]})
}

#[test]
fn regions_show_their_scores() {
    let clusters = clusters(&[("m1", "r1"), ("m2", "r1"), ("m3", "r2"), ("m4", "r3")]);
    let rooms = [("m1", 9), ("m2", 9), ("m3", 9), ("m4", 0)];
    check(
        &mk_spec(5, two_regions()),
        &clusters,
        &rooms,
        expect![[r#"
            decided: for the first time
              region r1: score 2000, used
              region r2: score 1000, not used
              region r3: score 0, not used
              m3: not chosen, its region is not used
              m4: not chosen, its region is not used
            5 replicas in every cluster
            Success Binding has been scheduled successfully.
        "#]],
    );
}

/// Without the rule a workload in two regions was in one after the second look, although nothing
/// had changed: clusters in use score higher, so fewer regions were enough.
#[test]
fn a_second_look_takes_no_region_away() {
    let clusters = clusters(&[("m1", "r2"), ("m2", "r1"), ("x", "r2")]);
    let refs: Vec<&Cluster> = clusters.iter().collect();
    let rooms: BTreeMap<String, i32> = ["m1", "m2", "x"]
        .iter()
        .map(|n| ((*n).to_owned(), 0))
        .collect();
    let spec = mk_spec(16, two_regions());
    let applied = spec.placement.clone();
    let view = ScheduleView {
        spec: &spec,
        status: &BindingStatus::default(),
        applied_placement: None,
        clusters: &refs,
        estimates: Some(&rooms),
        options: ScheduleOptions::default(),
    };
    let (first, _) = decide_view(&view);
    let Outcome::Decided {
        clusters: targets, ..
    } = &first
    else {
        panic!("{first:?}");
    };
    assert_eq!(targets.len(), 3);
    let mut again = spec.clone();
    again.clusters.clone_from(targets);
    let view = ScheduleView {
        spec: &again,
        applied_placement: applied.as_ref(),
        ..view
    };
    assert_eq!(decide_view(&view).0, first);
}

#[test]
fn what_is_missing_is_named() {
    let clusters = clusters(&[("m1", ""), ("m2", "")]);
    let spec = mk_spec(3, divided("Aggregated", Value::Null));
    let (outcome, _) = decide(&spec, &clusters);
    let condition = outcome.condition().expect("it says what it waits for");
    expect!["waiting for estimates of m1, m2"].assert_eq(&condition.message);

    let affinity = json!({"workloadAffinity": {"affinity": {"groupByLabelKey": "team"}}});
    let (outcome, _) = decide(&mk_spec(3, affinity), &clusters);
    let condition = outcome.condition().expect("it is refused");
    expect!["not supported yet: workloadAffinity"].assert_eq(&condition.message);
}
