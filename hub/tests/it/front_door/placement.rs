//! From a template and a policy to one binding and the clusters' shares.

use std::sync::Arc;
use std::time::Duration;

use flotilla_hub::controllers::driver::{Controller, Moment, Planned};
use flotilla_hub::controllers::placement::Placement;
use flotilla_hub::durable;
use flotilla_hub::fleet::share::Said;
use flotilla_hub::front_door::keys::TemplateKey;
use flotilla_proto::convert::body::decompress;
use serde_json::{Value, json};

use super::world::{CONFIG_MAP, DEPLOYMENT, JOB, NAMESPACE, PP, World, moment};

fn thread() -> World {
    let mut world = World::new();
    world.cluster("m1");
    world.cluster("m2");
    world.policy("app", "pp", &["m1"]);
    world.config_map("app", "conf", "one");
    world.settle();
    world
}

fn body(said: &Said) -> Value {
    let Said::Upsert(assignment) = said else {
        panic!("{said:?}");
    };
    let body = &assignment.template;
    serde_json::from_slice(&decompress(&body.compressed, body.digest).unwrap()).unwrap()
}

/// Switched off by taking `MARKS_WAIT` for zero in placement.rs, or by writing marks with the binding.
#[test]
fn marks_on_a_template_wait_until_the_members_have_their_share() {
    let mut world = World::new();
    world.cluster("m1");
    world.policy("app", "pp", &["m1"]);
    world.config_map("app", "conf", "one");
    let fresh = Moment {
        waited: Duration::ZERO,
        ..moment(3)
    };
    let planned = |world: &World| {
        let placement = Placement::new(Arc::clone(&world.index));
        placement.plan(&conf(), &fresh)
    };
    let Planned::Write(writes) = planned(&world) else {
        panic!("a new template is placed at once");
    };
    world.execute(&writes);
    assert_eq!(
        world.take_writes(),
        ["create ResourceBinding conf-configmap"]
    );
    assert!(matches!(planned(&world), Planned::Later(_)));
    world.settle();
    assert_eq!(world.take_writes(), ["patch ConfigMap conf"]);
}

fn conf() -> TemplateKey {
    TemplateKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "app".to_owned(),
        name: "conf".to_owned(),
    }
}

#[test]
fn a_template_becomes_one_binding_and_a_share() {
    let mut world = thread();
    assert_eq!(
        world.take_writes(),
        [
            "create ResourceBinding conf-configmap",
            "patch ConfigMap conf"
        ]
    );
    let binding = world.binding("app", "conf-configmap");
    assert_eq!(binding["spec"]["clusters"], json!([{ "name": "m1" }]));
    let metadata = &binding["metadata"];
    assert_eq!(metadata["annotations"]["fleet.flotilla.dev/term"], "3");
    assert_eq!(
        metadata["finalizers"],
        json!(["fleet.flotilla.dev/removal"])
    );
    assert_eq!(metadata["ownerReferences"][0]["controller"], true);
    assert_eq!(
        metadata["labels"]["propagationpolicy.karmada.io/permanent-id"],
        "id-pp"
    );
    let template = world.object(CONFIG_MAP, "app", "conf");
    assert_eq!(
        metadata["ownerReferences"][0]["uid"],
        template["metadata"]["uid"]
    );
    assert_eq!(
        template["metadata"]["annotations"]["propagationpolicy.karmada.io/name"],
        "pp"
    );
    let said = world.said("m1", CONFIG_MAP, "app", "conf");
    assert_eq!(body(&said)["data"], json!({ "key": "one" }));
    assert!(matches!(
        world.said("m2", CONFIG_MAP, "app", "conf"),
        Said::Nothing
    ));
}

#[test]
fn planning_again_writes_nothing() {
    let mut world = thread();
    world.take_writes();
    let mut again = World::over(world.door.clone());
    again.settle();
    assert_eq!(again.take_writes(), Vec::<String>::new());
    let (Said::Upsert(a), Said::Upsert(b)) = (
        world.said("m1", CONFIG_MAP, "app", "conf"),
        again.said("m1", CONFIG_MAP, "app", "conf"),
    ) else {
        panic!("both are told the same");
    };
    assert_eq!(a.content, b.content);
}

#[test]
fn an_edit_costs_no_write_of_the_hub() {
    let mut world = thread();
    world.take_writes();
    world.config_map("app", "conf", "two");
    world.settle();
    // The marks were lost by the test's plain replace; nothing else is written.
    assert_eq!(world.take_writes(), ["patch ConfigMap conf"]);
    let said = world.said("m1", CONFIG_MAP, "app", "conf");
    assert_eq!(body(&said)["data"], json!({ "key": "two" }));
}

#[test]
fn a_status_or_a_claim_mark_does_not_deliver_again() {
    let mut world = thread();
    let before = world.said("m1", CONFIG_MAP, "app", "conf");
    world.edit(CONFIG_MAP, "app", "conf", |o| {
        o["status"] = json!({ "phase": "x" })
    });
    world.settle();
    let after = world.said("m1", CONFIG_MAP, "app", "conf");
    let (Said::Upsert(before), Said::Upsert(after)) = (before, after) else {
        panic!("it is there");
    };
    assert_eq!(before.content, after.content);
    assert_eq!(before.made_at, after.made_at);
}

#[test]
fn dropping_a_cluster_remembers_the_deletion_in_the_same_write() {
    let mut world = thread();
    world.take_writes();
    world.policy("app", "pp", &["m2"]);
    world.settle();
    assert_eq!(
        world.take_writes(),
        ["replace ResourceBinding conf-configmap"]
    );
    let binding = world.binding("app", "conf-configmap");
    assert_eq!(binding["spec"]["clusters"], json!([{ "name": "m2" }]));
    let removed = &binding["metadata"]["annotations"]["fleet.flotilla.dev/removed"];
    let removed: Value = serde_json::from_str(removed.as_str().unwrap()).unwrap();
    assert_eq!(removed[0]["cluster"], "m1");
    let Said::Tombstone(tombstone) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("m1 must remove it");
    };
    assert!(tombstone.derived);
    assert_eq!(tombstone.template_uid, binding["spec"]["resource"]["uid"]);
    assert!(matches!(
        world.said("m2", CONFIG_MAP, "app", "conf"),
        Said::Upsert(_)
    ));

    // A cluster that comes back leaves the list in the same write.
    world.policy("app", "pp", &["m1", "m2"]);
    world.settle();
    assert_eq!(
        world.take_writes(),
        ["replace ResourceBinding conf-configmap"]
    );
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Upsert(_)
    ));
}

#[test]
fn what_is_not_built_is_refused_by_name_and_the_result_stays() {
    let mut world = thread();
    world.take_writes();
    world.edit(PP, "app", "pp", |o| {
        o["spec"]["preemption"] = json!("Always")
    });
    world.settle();
    let binding = world.binding("app", "conf-configmap");
    assert_eq!(binding["spec"]["clusters"], json!([{ "name": "m1" }]));
    let key = flotilla_hub::front_door::keys::BindingKey {
        namespace: "app".to_owned(),
        name: "conf-configmap".to_owned(),
    };
    let condition = world.index.decision(&key).unwrap().condition.unwrap();
    assert_eq!(
        (condition.status, condition.reason),
        ("False", "Unsupported")
    );
    assert!(
        condition.message.contains("spec.preemption"),
        "{}",
        condition.message
    );
}

#[test]
fn losing_the_policy_keeps_binding_and_workloads() {
    let mut world = thread();
    world.take_writes();
    world.delete(PP, "app", "pp");
    world.settle();
    assert_eq!(
        world.take_writes(),
        [
            "replace ResourceBinding conf-configmap",
            "patch ConfigMap conf"
        ]
    );
    let binding = world.binding("app", "conf-configmap");
    assert_eq!(binding["spec"]["clusters"], json!([{ "name": "m1" }]));
    assert!(
        binding["metadata"]["annotations"]
            .get("propagationpolicy.karmada.io/name")
            .is_none()
    );
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Upsert(_)
    ));
}

#[test]
fn replicas_and_completions_are_split_in_the_rows() {
    let mut world = World::new();
    world.cluster("m1");
    world.cluster("m2");
    world.policy("app", "pp", &["m1", "m2"]);
    world.edit(PP, "app", "pp", |o| {
        let weight = |name: &str, weight: i64| {
            json!({ "targetCluster": { "clusterNames": [name] }, "weight": weight })
        };
        o["spec"]["placement"]["replicaScheduling"] = json!({
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
            "weightPreference": { "staticWeightList": [weight("m1", 2), weight("m2", 1)] } });
    });
    let pod = json!({ "metadata": {}, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    world.put(
        DEPLOYMENT,
        json!({
        "metadata": { "name": "web", "namespace": "app" },
        "spec": { "replicas": 9, "template": pod } }),
    );
    world.put(
        JOB,
        json!({
        "metadata": { "name": "sum", "namespace": "app" },
        "spec": { "parallelism": 3, "completions": 6, "template": pod } }),
    );
    world.settle();
    let row = |cluster: &str, kind, name: &str| match world.said(cluster, kind, "app", name) {
        Said::Upsert(a) => (a.row.replicas, a.row.completions),
        other => panic!("{other:?}"),
    };
    assert_eq!(row("m1", DEPLOYMENT, "web"), (Some(6), None));
    assert_eq!(row("m2", DEPLOYMENT, "web"), (Some(3), None));
    assert_eq!(row("m1", JOB, "sum"), (Some(2), Some(4)));
    assert_eq!(row("m2", JOB, "sum"), (Some(1), Some(2)));
}

#[test]
fn marks_that_move_the_generation_do_not_deliver_again() {
    let mut world = thread();
    let pod = json!({ "metadata": {}, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    world.put(
        DEPLOYMENT,
        json!({
            "metadata": { "name": "web", "namespace": "app" },
            "spec": { "replicas": 1, "template": pod } }),
    );
    let told = |world: &World| match world.said("m1", DEPLOYMENT, "app", "web") {
        Said::Upsert(a) => (a.row.template_generation, a.content),
        other => panic!("{other:?}"),
    };
    world.settle();
    let object = world.object(DEPLOYMENT, "app", "web");
    assert_eq!(object["metadata"]["generation"], 2, "the marks moved it");
    let before = told(&world);
    assert_eq!(before.0, 1);
    let again = World::over(world.door.clone());
    assert_eq!(told(&again), before, "nor does a hub that starts later");
    world.edit(DEPLOYMENT, "app", "web", |o| {
        o["spec"]["paused"] = json!(true)
    });
    world.settle();
    assert_eq!(told(&world).0, 3);
}

#[test]
fn suspension_conflicts_and_preservation_reach_the_row() {
    let mut world = thread();
    world.edit(PP, "app", "pp", |o| {
        o["spec"]["suspension"] = json!({ "dispatchingOnClusters": { "clusterNames": ["m1"] } });
        o["spec"]["preserveResourcesOnDeletion"] = json!(true);
    });
    world.edit(CONFIG_MAP, "app", "conf", |o| {
        o["metadata"]["annotations"]["work.karmada.io/conflict-resolution"] = json!("overwrite");
    });
    world.settle();
    let Said::Upsert(said) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("it is there");
    };
    assert!(said.row.suspend && said.row.preserve);
    assert_eq!(said.row.conflict(), flotilla_proto::v1::Conflict::Overwrite);
}

#[test]
fn a_name_that_another_group_holds_is_told_apart() {
    let mut world = thread();
    let other = |o: &mut Value| o["spec"]["resource"]["apiVersion"] = json!("other.example/v1");
    let mut taken = world.binding("app", "conf-configmap");
    taken["metadata"] = json!({ "name": "late-configmap", "namespace": "app" });
    taken["spec"]["resource"]["name"] = json!("late");
    other(&mut taken);
    world.put(durable::RESOURCE_BINDING, taken);
    world.config_map("app", "late", "x");
    world.settle();
    let names: Vec<_> = world
        .list(durable::RESOURCE_BINDING)
        .iter()
        .map(|b| b["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let told_apart = names
        .iter()
        .find(|n| n.starts_with("late-configmap-"))
        .unwrap();
    assert!(
        matches!(world.said("m1", CONFIG_MAP, "app", "late"), Said::Upsert(_)),
        "{told_apart}"
    );
}

#[test]
fn a_namespace_follows_its_objects() {
    let mut world = thread();
    world.take_writes();
    world.put(NAMESPACE, json!({ "metadata": { "name": "app" } }));
    world.settle();
    assert_eq!(
        world.take_writes(),
        ["create ClusterResourceBinding app-namespace"]
    );
    let Said::Upsert(said) = world.said("m1", NAMESPACE, "", "app") else {
        panic!("the namespace goes along");
    };
    assert!(said.row.preserve);
    world.policy("app", "pp", &["m2"]);
    world.settle();
    let binding = world.object(durable::CLUSTER_RESOURCE_BINDING, "", "app-namespace");
    let names: Vec<_> = binding["spec"]["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["m1", "m2"]);
    world.take_writes();
    world.edit(NAMESPACE, "", "app", |o| {
        o["metadata"]["labels"] = json!({ "a": "b" })
    });
    world.settle();
    assert_eq!(world.take_writes(), Vec::<String>::new());
}

#[test]
fn a_stale_decision_is_planned_again_and_not_delivered() {
    let mut world = thread();
    let epochs = json!({ "apiVersion": "fleet.flotilla.dev/v1alpha1", "kind": "EpochList",
        "metadata": { "name": "fleet", "resourceVersion": "3" },
        "spec": { "epochs": [
            { "incarnation": 1, "term": 3, "nonce": "0000000000000001", "revision": 1 },
            { "incarnation": 1, "term": 4, "nonce": "0000000000000002", "revision": 2 } ] } });
    world.take_writes();
    let source = flotilla_hub::front_door::keys::Source::Epochs;
    world.index.apply(&source, epochs);
    let key = flotilla_hub::front_door::keys::TemplateKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "app".to_owned(),
        name: "conf".to_owned(),
    };
    assert!(world.index.placement_view(&key).is_stale);
    let plan = flotilla_hub::controllers::placement::plan(
        &world.index.placement_view(&key),
        &super::world::moment(4),
    );
    world.execute(&plan.writes);
    assert_eq!(
        world.take_writes(),
        ["replace ResourceBinding conf-configmap"]
    );
    let binding = world.binding("app", "conf-configmap");
    assert_eq!(
        binding["metadata"]["annotations"]["fleet.flotilla.dev/term"],
        "4"
    );
    assert!(!world.index.placement_view(&key).is_stale);
}
