//! The texts that say why, and the rule that every filter has one here.

use expect_test::{Expect, expect};
use flotilla_policy::api::BindingSpec;
use flotilla_policy::schedule::{FILTERS, Outcome, SCHEDULED_MESSAGE};
use serde_json::{Value, json};

use super::{decide, decide_again, mk, mk_cluster, mk_spec};

struct Scenario {
    plugin: &'static str,
    /// Fields of the only cluster's spec.
    cluster: Value,
    spec: BindingSpec,
    line: Expect,
}

fn scenarios() -> Vec<Scenario> {
    let evicting = json!([{"fromCluster": "m1", "reason": "R", "producer": "P"}]);
    let mut evicted = mk_spec(1, json!({}));
    evicted.graceful_eviction_tasks = mk(evicting);
    let mut unserved = mk_spec(1, json!({}));
    unserved.resource.kind = "StatefulSet".to_owned();
    let scenario = |plugin, cluster, spec, line| Scenario {
        plugin,
        cluster,
        spec,
        line,
    };
    vec![
        scenario(
            "ClusterAffinity",
            json!({}),
            mk_spec(1, json!({"clusterAffinity": {"exclude": ["m1"]}})),
            expect![
                "  m1: cluster(s) did not match the placement cluster affinity constraint [ClusterAffinity]"
            ],
        ),
        scenario(
            "ClusterEviction",
            json!({}),
            evicted,
            expect!["  m1: cluster(s) is in the process of eviction [ClusterEviction]"],
        ),
        scenario(
            "TaintToleration",
            json!({"taints": [{"key": "gpu", "value": "a", "effect": "NoSchedule"}]}),
            mk_spec(
                1,
                json!({"clusterTolerations": [{"key": "gpu", "value": "b"}]}),
            ),
            expect!["  m1: cluster(s) had untolerated taint {gpu=a:NoSchedule} [TaintToleration]"],
        ),
        scenario(
            "APIEnablement",
            json!({}),
            unserved,
            expect!["  m1: cluster(s) did not have the API resource [APIEnablement]"],
        ),
        scenario(
            "SpreadConstraint",
            json!({"region": "r1"}),
            mk_spec(
                1,
                json!({
                    "spreadConstraints": [
                        {"spreadByField": "region", "minGroups": 1, "maxGroups": 1},
                        {"spreadByField": "zone", "minGroups": 1, "maxGroups": 1},
                        {"spreadByField": "cluster", "minGroups": 1, "maxGroups": 1},
                    ],
                    "replicaScheduling": {
                        "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
                    },
                }),
            ),
            expect!["  m1: cluster(s) did not have zones property [SpreadConstraint]"],
        ),
    ]
}

#[test]
fn every_filter_says_why_not() {
    let mut scenarios = scenarios();
    for plugin in FILTERS {
        let index = scenarios.iter().position(|s| s.plugin == plugin.name);
        let scenario = scenarios.remove(index.expect("every filter has a scenario here"));
        let clusters = [mk_cluster("m1", scenario.cluster)];
        let (outcome, report) = decide(&scenario.spec, &clusters);
        let text = report.to_string();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("  m1"))
            .collect();
        scenario.line.assert_eq(&lines.join("\n"));
        assert!(matches!(outcome, Outcome::NoFit { .. }), "{outcome:?}");
    }
    assert!(scenarios.is_empty(), "a scenario is of no filter");
}

fn check(spec: &BindingSpec, clusters: &[flotilla_policy::api::Cluster], expected: Expect) {
    let (outcome, report) = decide(spec, clusters);
    let condition = outcome.condition().expect("it was decided");
    expected.assert_eq(&format!(
        "{report}{} {} {}\n",
        condition.status, condition.reason, condition.message
    ));
}

#[test]
fn a_division_shows_its_arithmetic() {
    let rule =
        |name: &str, weight| json!({"targetCluster": {"clusterNames": [name]}, "weight": weight});
    let placement = json!({"replicaScheduling": {
        "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
        "weightPreference": {"staticWeightList": [rule("m1", 1), rule("m2", 2), rule("m4", 2)]},
    }});
    let clusters: Vec<_> = ["m4", "m2", "m3", "m1"]
        .iter()
        .map(|name| mk_cluster(name, json!({})))
        .collect();
    check(
        &mk_spec(8, placement),
        &clusters,
        expect![[r#"
            decided: for the first time
              m1: fits
              m2: fits
              m3: fits
              m4: fits
            8 replicas by static weight
              m1: weight 1 -> 2
              m2: weight 2 -> 3
              m3: weight 0 -> 0
              m4: weight 2 -> 3
            True Success Binding has been scheduled successfully.
        "#]],
    );
}

#[test]
fn all_reasons_are_shown_and_the_first_one_counts() {
    let taint = json!({"taints": [{"key": "a", "effect": "NoExecute"}]});
    let mut going = mk_cluster("m0", json!({}));
    going.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
    let mut clusters = vec![going];
    clusters.extend((1..=11).map(|n| mk_cluster(&format!("m{n}"), taint.clone())));
    let placement = json!({"clusterAffinity": {"exclude": ["m1"]}});
    check(
        &mk_spec(8, placement),
        &clusters,
        expect![[r#"
            decided: for the first time
              m0: cluster is being deleted
              m1: cluster(s) did not match the placement cluster affinity constraint [ClusterAffinity]
              m1: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m10: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m11: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m2: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m3: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m4: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m5: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m6: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m7: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m8: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
              m9: cluster(s) had untolerated taint {a:NoExecute} [TaintToleration]
            0/12 clusters are available: 1 cluster(s) did not match the placement cluster affinity constraint, 10 cluster(s) had untolerated taint {a:NoExecute}.
            False NoClusterFit 0/12 clusters are available: 1 cluster(s) did not match the placement cluster affinity constraint, 10 cluster(s) had untolerated taint {a:NoExecute}.
        "#]],
    );
}

#[test]
fn terms_are_tried_in_order_and_never_backwards() {
    let term = |name: &str, cluster: &str| json!({"affinityName": name, "clusterNames": [cluster]});
    let placement = json!({"clusterAffinities": [term("near", "m1"), term("far", "m2")]});
    let tainted = json!({"taints": [{"key": "a", "effect": "NoSchedule"}]});
    let mut clusters = vec![mk_cluster("m1", tainted), mk_cluster("m2", json!({}))];
    let mut spec = mk_spec(3, placement);
    check(
        &spec,
        &clusters,
        expect![[r#"
            decided: for the first time
            affinity term near
              m1: cluster(s) had untolerated taint {a:NoSchedule} [TaintToleration]
              m2: cluster(s) did not match the placement cluster affinity constraint [ClusterAffinity]
            0/2 clusters are available: 1 cluster(s) did not match the placement cluster affinity constraint, 1 cluster(s) had untolerated taint {a:NoSchedule}.
            affinity term far
              m1: cluster(s) did not match the placement cluster affinity constraint [ClusterAffinity]
              m1: cluster(s) had untolerated taint {a:NoSchedule} [TaintToleration]
              m2: fits
            3 replicas in every cluster
            True Success Binding has been scheduled successfully.
        "#]],
    );

    let (outcome, _) = decide(&spec, &clusters);
    let Outcome::Decided {
        clusters: targets,
        affinity_name,
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    spec.clusters = targets;
    clusters[0].spec.taints.clear();
    let mut status = mk(json!({"schedulerObservingAffinityName": affinity_name}));
    let applied = spec.placement.clone();
    let (stays, _) = decide_again(&spec, &status, applied.as_ref(), &clusters);
    assert_eq!(
        stays,
        Outcome::Decided {
            clusters: spec.clusters.clone(),
            affinity_name: "far".to_owned()
        }
    );

    spec.reschedule_triggered_at = Some("2026-01-01T01:00:00+01:00".to_owned());
    status.last_scheduled_time = Some("2025-12-31T23:59:59Z".to_owned());
    let (afresh, _) = decide_again(&spec, &status, applied.as_ref(), &clusters);
    assert!(
        matches!(&afresh, Outcome::Decided { affinity_name, .. } if affinity_name == "near"),
        "{afresh:?}"
    );
}

#[test]
fn a_target_that_is_gone_is_replaced() {
    let clusters = [mk_cluster("m1", json!({})), mk_cluster("m2", json!({}))];
    let placement = json!({"replicaScheduling": {
        "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
    }});
    let mut spec = mk_spec(4, placement);
    spec.clusters = mk(json!([{"name": "m1", "replicas": 2}, {"name": "m9", "replicas": 2}]));
    let applied = spec.placement.clone();
    let (outcome, report) = decide_again(&spec, &mk(json!({})), applied.as_ref(), &clusters);
    expect!["decided: gone or going: m9"].assert_eq(&report.trigger.to_string());
    let condition = outcome.condition().expect("it was decided");
    assert_eq!(condition.message, SCHEDULED_MESSAGE);

    spec.clusters = mk(json!([{"name": "m1", "replicas": 2}, {"name": "m2", "replicas": 2}]));
    let (outcome, _) = decide_again(&spec, &mk(json!({})), applied.as_ref(), &clusters);
    assert_eq!(outcome, Outcome::Unchanged);
}
