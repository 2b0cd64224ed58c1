//! Statuses: what agents report, as the front door shows it, and that nothing is written twice.

use std::sync::Arc;
use std::time::Duration;

use flotilla_hub::controllers::aggregation::Aggregation;
use flotilla_hub::controllers::clusters::Clusters;
use flotilla_hub::controllers::driver::{Controller, Moment, Planned};
use flotilla_hub::durable::{self, Key, Kind};
use flotilla_hub::fleet::reports::{Liveness, Reports, WorkReport};
use flotilla_hub::fleet::share::ClusterName;
use flotilla_policy::api::ClusterStatus;
use flotilla_proto::ids::Generation;
use flotilla_proto::v1::HealthState;
use serde_json::{Value, json};

use super::world::{CONFIG_MAP, DEPLOYMENT, World, work};

struct Fleet {
    world: World,
    reports: Arc<Reports>,
    aggregation: Aggregation,
    clusters: Clusters,
}

impl Fleet {
    fn new(names: &[&str]) -> Self {
        let mut world = World::new();
        for name in names {
            world.cluster(name);
        }
        let reports = Arc::new(Reports::default());
        let aggregation = Aggregation::new(Arc::clone(&world.index), Arc::clone(&reports));
        let clusters = Clusters::new(Arc::clone(&world.index), Arc::clone(&reports));
        Self {
            world,
            reports,
            aggregation,
            clusters,
        }
    }

    fn report(&self, cluster: &str, kind: Kind, name: &str, k: u64, status: Option<Value>) {
        let report = WorkReport {
            generation: Generation { term: 1, n: 1 },
            order: (1, k),
            applied: true,
            message: String::new(),
            health: HealthState::Healthy,
            health_reason: String::new(),
            status,
            changed: Vec::new(),
        };
        self.reports.work(
            &ClusterName::new(cluster),
            work(cluster, kind, "app", name),
            report,
        );
    }

    /// Runs both controllers until nothing is due.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.world.settle();
            let bindings = self.aggregation.take();
            let clusters = self.clusters.take();
            if bindings.is_empty() && clusters.is_empty() {
                return;
            }
            for key in bindings {
                let planned = self
                    .aggregation
                    .plan(&key, &moment(Duration::from_secs(60)));
                self.make(planned);
            }
            for key in clusters {
                let planned = self.clusters.plan(&key, &moment(Duration::from_secs(60)));
                self.make(planned);
            }
        }
        panic!("the controllers do not come to rest");
    }

    fn make(&mut self, planned: Planned) {
        if let Planned::Write(writes) = planned {
            self.world.execute(&writes);
        }
    }

    fn cluster(&self, name: &str) -> Value {
        let key = Key::global(durable::CLUSTER, name);
        self.world.get(&key).expect("the cluster is there")
    }
}

fn moment(waited: Duration) -> Moment {
    Moment {
        now: "2026-01-02T03:04:05Z".to_owned(),
        waited,
        running: Duration::from_secs(10),
        term: 3,
    }
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|c| c.iter().find(|c| c["type"] == type_));
    found.unwrap_or(&Value::Null)
}

fn deployment(replicas: i64) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "app"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": []}}},
    })
}

#[test]
fn a_binding_says_applied_when_every_cluster_does() {
    let mut fleet = Fleet::new(&["a", "b"]);
    fleet.world.policy("app", "pp", &["a", "b"]);
    fleet.world.config_map("app", "conf", "one");
    fleet.settle();
    fleet.report("a", CONFIG_MAP, "conf", 1, None);
    fleet.settle();
    let half = fleet.world.binding("app", "conf-configmap");
    assert_eq!(
        condition(&half, "FullyApplied")["reason"],
        "FullyAppliedFailed"
    );
    assert_eq!(condition(&half, "Scheduled")["status"], "True");
    fleet.report("b", CONFIG_MAP, "conf", 1, None);
    fleet.settle();
    let full = fleet.world.binding("app", "conf-configmap");
    assert_eq!(
        condition(&full, "FullyApplied")["reason"],
        "FullyAppliedSuccess"
    );
    let names: Vec<_> = full["status"]["aggregatedStatus"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!((names.len(), &names[0]["health"]), (2, &json!("Healthy")));

    fleet.world.take_writes();
    fleet.report("a", CONFIG_MAP, "conf", 2, None);
    fleet.settle();
    assert_eq!(
        fleet.world.take_writes(),
        Vec::<String>::new(),
        "the same said again"
    );
}

#[test]
fn the_template_shows_the_sum_of_its_members() {
    let mut fleet = Fleet::new(&["a", "b"]);
    fleet.world.policy("app", "pp", &["a", "b"]);
    fleet.world.put(DEPLOYMENT, deployment(2));
    fleet.settle();
    let status =
        json!({"replicas": 2, "readyReplicas": 2, "availableReplicas": 1, "updatedReplicas": 2});
    fleet.report("a", DEPLOYMENT, "web", 1, Some(status.clone()));
    fleet.report("b", DEPLOYMENT, "web", 1, Some(status));
    fleet.settle();
    let template = fleet.world.object(DEPLOYMENT, "app", "web");
    assert_eq!(template["status"]["replicas"], 4);
    assert_eq!(template["status"]["availableReplicas"], 2);
}

#[test]
fn a_hub_that_just_started_erases_nothing() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.world.policy("app", "pp", &["a"]);
    fleet.world.config_map("app", "conf", "one");
    fleet.settle();
    fleet.report("a", CONFIG_MAP, "conf", 1, Some(json!({"seen": true})));
    fleet.settle();
    let before = fleet.world.binding("app", "conf-configmap")["status"].clone();
    assert_eq!(before["aggregatedStatus"][0]["status"]["seen"], true);

    let world = World::over(Arc::clone(&fleet.world.door));
    let reports = Arc::new(Reports::default());
    let aggregation = Aggregation::new(Arc::clone(&world.index), Arc::clone(&reports));
    let clusters = Clusters::new(Arc::clone(&world.index), Arc::clone(&reports));
    let mut restarted = Fleet {
        world,
        reports,
        aggregation,
        clusters,
    };
    restarted.settle();
    let after = restarted.world.binding("app", "conf-configmap")["status"].clone();
    assert_eq!(before, after);
}

#[test]
fn readiness_follows_the_session_and_taints_follow_readiness() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.settle();
    assert!(
        condition(&fleet.cluster("a"), "Ready").is_null(),
        "too early to say"
    );
    let name = ClusterName::new("a");
    fleet.reports.liveness(&name, Liveness::Connected);
    let measured = ClusterStatus {
        kubernetes_version: "v1.34.4".to_owned(),
        ..Default::default()
    };
    fleet.reports.capacity(&name, measured);
    fleet.settle();
    let ready = fleet.cluster("a");
    assert_eq!(condition(&ready, "Ready")["status"], "True");
    assert_eq!(ready["status"]["kubernetesVersion"], "v1.34.4");
    assert!(ready["spec"]["taints"].is_null());

    fleet.reports.liveness(
        &name,
        Liveness::Lost {
            reason: "ClusterNotReachable",
        },
    );
    fleet.settle();
    let lost = fleet.cluster("a");
    assert_eq!(condition(&lost, "Ready")["status"], "Unknown");
    assert_eq!(
        lost["spec"]["taints"][0]["key"],
        "cluster.karmada.io/unreachable"
    );
    assert_eq!(lost["spec"]["taints"][0]["effect"], "NoSchedule");

    fleet.reports.liveness(&name, Liveness::Connected);
    fleet.settle();
    assert!(fleet.cluster("a")["spec"]["taints"].is_null());
    fleet.world.take_writes();
    fleet.world.index.touch_clusters(["a".to_owned()]);
    fleet.settle();
    assert_eq!(fleet.world.take_writes(), Vec::<String>::new(), "quiet");
}

#[test]
fn a_deleted_cluster_leaves_without_a_tombstone() {
    let mut fleet = Fleet::new(&["a", "b"]);
    fleet.world.policy("app", "pp", &["a", "b"]);
    fleet.world.config_map("app", "conf", "one");
    fleet.settle();
    let key = Key::global(durable::CLUSTER, "b");
    fleet.world.delete_quietly(&key);
    fleet.world.sync();
    fleet.settle();
    assert!(fleet.world.get(&key).is_none(), "the finalizer let it go");
    let binding = fleet.world.binding("app", "conf-configmap");
    let targets = binding["spec"]["clusters"].as_array().unwrap();
    assert_eq!(targets.len(), 1, "{binding}");
    let removed = &binding["metadata"]["annotations"]["fleet.flotilla.dev/removed"];
    assert!(
        removed.is_null(),
        "nothing is to be deleted in a detached member: {removed}"
    );
}

#[test]
fn a_report_before_the_watch_brings_the_cluster_is_kept() {
    let mut fleet = Fleet::new(&[]);
    let early = ClusterName::new("early");
    fleet.reports.liveness(&early, Liveness::Connected);
    fleet.settle();
    assert_eq!(fleet.reports.cluster(&early).1, Some(Liveness::Connected));
    fleet.world.cluster("early");
    fleet.settle();
    assert_eq!(
        condition(&fleet.cluster("early"), "Ready")["status"],
        "True"
    );
}
