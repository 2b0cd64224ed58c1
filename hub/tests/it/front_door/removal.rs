//! What is deleted, when, and on whose word.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_hub::controllers::driver::{Controller, Planned};
use flotilla_hub::controllers::placement;
use flotilla_hub::controllers::removals::Removals;
use flotilla_hub::durable::{self, Key};
use flotilla_hub::fleet::reports::{Reports, Settled};
use flotilla_hub::fleet::share::{ClusterName, Said};
use flotilla_hub::front_door::keys::{Source, TemplateKey};
use serde_json::json;

use super::world::{CONFIG_MAP, NAMESPACE, World, work};

const NONE: [&str; 0] = [];

fn thread() -> World {
    let mut world = World::new();
    world.cluster("m1");
    world.policy("app", "pp", &["m1"]);
    world.config_map("app", "conf", "one");
    world.settle();
    world.take_writes();
    world
}

fn acknowledge(world: &World, cluster: &str) {
    let Said::Tombstone(tombstone) = world.said(cluster, CONFIG_MAP, "app", "conf") else {
        panic!("there is nothing to acknowledge");
    };
    world.index.settle(BTreeSet::from([Settled {
        cluster: ClusterName::new(cluster),
        id: tombstone.id,
        made_at: tombstone.made_at,
    }]));
}

#[test]
fn a_deleted_template_leaves_a_removal_before_its_binding_goes() {
    let mut world = thread();
    world.delete(CONFIG_MAP, "app", "conf");
    let uid = world.binding("app", "conf-configmap")["metadata"]["uid"].clone();
    world.settle();
    assert_eq!(
        world.take_writes(),
        [
            format!("create Removal {}", uid.as_str().unwrap()),
            "replace ResourceBinding conf-configmap".to_owned(),
        ]
    );
    assert!(world.list(durable::RESOURCE_BINDING).is_empty());
    let removal = &world.list(durable::REMOVAL)[0];
    let entry = &removal["spec"]["entries"][0];
    assert_eq!(entry["cluster"], "m1");
    assert_eq!(
        entry["workId"],
        work("m1", CONFIG_MAP, "app", "conf").to_string()
    );
    let Said::Tombstone(tombstone) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("m1 must remove it");
    };
    assert!(!tombstone.derived, "a person deleted it");
}

#[test]
fn an_acknowledgement_of_a_dropped_cluster_is_struck_and_renews_no_term() {
    let mut world = thread();
    world.cluster("m2");
    world.policy("app", "pp", &["m2"]);
    world.settle();
    world.take_writes();
    acknowledge(&world, "m1");
    let key = flotilla_hub::front_door::keys::TemplateKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "app".to_owned(),
        name: "conf".to_owned(),
    };
    let view = world.index.placement_view(&key);
    let plan = flotilla_hub::controllers::placement::plan(&view, &super::world::moment(9));
    assert!(!plan.wait.is_zero(), "acknowledgements gather");
    world.execute(&plan.writes);
    assert_eq!(
        world.take_writes(),
        ["replace ResourceBinding conf-configmap"]
    );
    let notes = &world.binding("app", "conf-configmap")["metadata"]["annotations"];
    assert!(notes.get("fleet.flotilla.dev/removed").is_none());
    assert_eq!(notes["fleet.flotilla.dev/term"], "3");
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Nothing
    ));
    world.settle();
    assert_eq!(world.take_writes(), NONE);
}

#[test]
fn delete_and_create_again_runs_it_again() {
    let mut world = thread();
    let old = world.object(CONFIG_MAP, "app", "conf")["metadata"]["uid"].clone();
    world.delete(CONFIG_MAP, "app", "conf");
    world.config_map("app", "conf", "two");
    world.settle();
    let Said::Tombstone(tombstone) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("the old one goes first");
    };
    assert_eq!(tombstone.template_uid, old.as_str().unwrap());
    let new = world.object(CONFIG_MAP, "app", "conf")["metadata"]["uid"].clone();
    assert_eq!(
        world.binding("app", "conf-configmap")["spec"]["resource"]["uid"],
        new
    );
}

#[test]
fn a_template_seen_to_be_deleted_takes_its_binding_with_it() {
    let mut world = thread();
    let uid = world.binding("app", "conf-configmap")["metadata"]["uid"].clone();
    // The garbage collector knows a new kind up to half a minute later: nobody waits for it.
    world.delete_quietly(&Key::namespaced(CONFIG_MAP, "app", "conf"));
    world.sync();
    world.settle();
    assert_eq!(
        world.take_writes(),
        [
            "delete ResourceBinding conf-configmap".to_owned(),
            format!("create Removal {}", uid.as_str().unwrap()),
            "replace ResourceBinding conf-configmap".to_owned(),
        ]
    );
    let Said::Tombstone(tombstone) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("m1 must remove it");
    };
    assert!(!tombstone.derived, "a person deleted it");
}

#[test]
fn an_orphaned_binding_stays() {
    let mut world = thread();
    world.edit(durable::RESOURCE_BINDING, "app", "conf-configmap", |b| {
        b["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("ownerReferences");
    });
    world.settle();
    world.take_writes();
    world.delete_quietly(&Key::namespaced(CONFIG_MAP, "app", "conf"));
    world.sync();
    world.settle();
    assert_eq!(world.take_writes(), NONE);
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Upsert(_)
    ));
}

#[test]
fn a_missing_template_takes_nothing_away() {
    let mut world = thread();
    world.delete_quietly(&Key::namespaced(CONFIG_MAP, "app", "conf"));
    let mut again = World::over(world.door.clone());
    again.settle();
    assert_eq!(again.take_writes(), NONE);
    assert_eq!(
        again.binding("app", "conf-configmap")["spec"]["clusters"][0]["name"],
        "m1"
    );

    // Nor does a list without it in a running hub.
    let source = flotilla_hub::front_door::keys::Source::Templates(
        flotilla_hub::front_door::keys::Gvk::new("v1", "ConfigMap"),
    );
    world.index.reset(&source, Vec::new());
    world.settle();
    assert_eq!(world.take_writes(), NONE);
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Upsert(_)
    ));
}

#[test]
fn a_restored_template_removes_nothing() {
    let mut world = thread();
    // The store went back: the same template with another UID, its deletion never seen.
    let mut restored = world.object(CONFIG_MAP, "app", "conf");
    world.delete_quietly(&Key::namespaced(CONFIG_MAP, "app", "conf"));
    restored["metadata"].as_object_mut().unwrap().remove("uid");
    let door = world.door.clone();
    let key = Key::namespaced(CONFIG_MAP, "app", "conf");
    super::world::now(flotilla_hub::durable::Durable::create(
        &*door, &key, restored,
    ))
    .unwrap();
    let mut again = World::over(door);
    again.collect_garbage();
    again.settle();
    assert!(again.list(durable::REMOVAL).is_empty());
    assert_eq!(
        again.take_writes(),
        [
            "replace ResourceBinding conf-configmap",
            "create ResourceBinding conf-configmap"
        ]
    );
    assert!(matches!(
        again.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Upsert(_)
    ));
}

/// A name used again while no hub ran, and deleted before the member heard of the second template: the
/// member held the object for a person, since the tombstone named the second UID alone.
#[test]
fn a_removal_names_the_predecessors_whose_deletion_no_hub_saw() {
    let mut world = thread();
    let uid = |world: &World| {
        let uid = world.object(CONFIG_MAP, "app", "conf")["metadata"]["uid"].clone();
        uid.as_str().unwrap().to_owned()
    };
    let door = world.door.clone();
    let mut uids = vec![uid(&world)];
    for _ in 0..2 {
        // Deleted and made again while no hub looks.
        let key = Key::namespaced(CONFIG_MAP, "app", "conf");
        let mut object = world.object(CONFIG_MAP, "app", "conf");
        world.delete_quietly(&key);
        object["metadata"].as_object_mut().unwrap().remove("uid");
        super::world::now(durable::Durable::create(&*door, &key, object)).unwrap();
        let mut again = World::over(door.clone());
        again.collect_garbage();
        again.settle();
        assert!(again.list(durable::REMOVAL).is_empty());
        uids.push(uid(&again));
    }
    let mut last = World::over(door);
    last.delete(CONFIG_MAP, "app", "conf");
    last.settle();
    let Said::Tombstone(tombstone) = last.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("m1 must remove it");
    };
    assert_eq!(tombstone.template_uid, uids[2]);
    assert_eq!(tombstone.predecessors, uids[..2]);
}

#[test]
fn a_detached_cluster_is_left_alone() {
    let mut world = thread();
    world.cluster("m2");
    world.policy("app", "pp", &["m1", "m2"]);
    world.settle();
    world.edit(durable::CLUSTER, "", "m1", |o| {
        o["metadata"]["finalizers"] = json!(["fleet.flotilla.dev/cluster"]);
    });
    world.take_writes();
    world.delete(durable::CLUSTER, "", "m1");
    world.settle();
    assert_eq!(
        world.take_writes(),
        ["replace ResourceBinding conf-configmap"]
    );
    let binding = world.binding("app", "conf-configmap");
    assert_eq!(binding["spec"]["clusters"], json!([{ "name": "m2" }]));
    assert!(
        binding["metadata"]["annotations"]
            .get("fleet.flotilla.dev/removed")
            .is_none()
    );
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Nothing
    ));
}

#[test]
fn a_drained_cluster_removes_by_a_persons_word() {
    let mut world = thread();
    world.put(NAMESPACE, json!({ "metadata": { "name": "app" } }));
    world.settle();
    world.edit(durable::CLUSTER, "", "m1", |o| {
        o["metadata"]["annotations"] = json!({ "fleet.flotilla.dev/drain": "true" });
    });
    world.settle();
    let Said::Tombstone(tombstone) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("m1 must remove it");
    };
    assert!(!tombstone.derived);
    let Said::Tombstone(tombstone) = world.said("m1", NAMESPACE, "", "app") else {
        panic!("m1 lets go of the namespace");
    };
    assert!(tombstone.preserve);
}

#[test]
fn a_removal_stays_until_its_binding_went_and_every_cluster_acknowledged() {
    let mut world = thread();
    let reports = Arc::new(Reports::default());
    let removals = Removals::new(Arc::clone(&world.index), Arc::clone(&reports));
    world.delete(CONFIG_MAP, "app", "conf");
    let key = TemplateKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "app".to_owned(),
        name: "conf".to_owned(),
    };
    let view = world.index.placement_view(&key);
    let plan = placement::plan(&view, &super::world::moment(3));
    world.execute(&plan.writes);
    let Said::Tombstone(tombstone) = world.said("m1", CONFIG_MAP, "app", "conf") else {
        panic!("m1 must remove it");
    };
    let name = world.list(durable::REMOVAL)[0]["metadata"]["name"].clone();
    let name = name.as_str().unwrap().to_owned();
    reports.settle(Settled {
        cluster: ClusterName::new("m1"),
        id: tombstone.id,
        made_at: tombstone.made_at,
    });
    assert!(removals.take().contains(&name));
    let planned = removals.plan(&name, &super::world::moment(3));
    assert_eq!(planned, Planned::Nothing, "the binding has not gone yet");
    world.settle();
    assert!(world.list(durable::RESOURCE_BINDING).is_empty());
    assert!(removals.take().contains(&name));
    let Planned::Write(writes) = removals.plan(&name, &super::world::moment(3)) else {
        panic!("nobody waits for it any more");
    };
    world.execute(&writes);
    assert!(world.list(durable::REMOVAL).is_empty());
    assert!(matches!(
        world.said("m1", CONFIG_MAP, "app", "conf"),
        Said::Nothing
    ));
}

#[test]
fn an_acknowledged_removal_is_not_undone_while_its_binding_goes() {
    let mut world = thread();
    world.cluster("m2");
    world.policy("app", "pp", &["m1", "m2"]);
    world.settle();
    let reports = Arc::new(Reports::default());
    let removals = Removals::new(Arc::clone(&world.index), Arc::clone(&reports));
    world.delete(CONFIG_MAP, "app", "conf");
    let key = TemplateKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "app".to_owned(),
        name: "conf".to_owned(),
    };
    let view = world.index.placement_view(&key);
    let plan = placement::plan(&view, &super::world::moment(3));
    world.execute(&plan.writes);
    // One cluster is faster than our finalizer.
    acknowledge(&world, "m1");
    for name in removals.take() {
        if let Planned::Write(writes) = removals.plan(&name, &super::world::moment(3)) {
            world.execute(&writes);
        }
    }
    assert_eq!(world.list(durable::RESOURCE_BINDING).len(), 1);
    let said = |cluster: &str| world.said(cluster, CONFIG_MAP, "app", "conf");
    assert!(matches!(said("m1"), Said::Nothing), "{:?}", said("m1"));
    assert!(matches!(said("m2"), Said::Tombstone(_)), "{:?}", said("m2"));
}

#[test]
fn what_an_annotation_cannot_hold_goes_into_a_removal_first() {
    let mut world = World::new();
    let names: Vec<String> = (0..760).map(|i| format!("m{i:04}")).collect();
    for name in &names {
        world.index.apply(&Source::Clusters, json!({
            "metadata": { "name": name },
            "spec": { "id": format!("uid-of-{name}"), "syncMode": "Pull" },
            "status": { "apiEnablements": [
                { "groupVersion": "v1", "resources": [{ "name": "configmaps", "kind": "ConfigMap" }] }] },
        }));
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    world.policy("app", "pp", &all);
    world.config_map("app", "conf", "one");
    world.settle();
    world.policy("app", "pp", &["m0000"]);
    world.take_writes();
    world.settle();
    let writes = world.take_writes();
    assert!(writes[0].starts_with("create Removal"), "{writes:?}");
    assert_eq!(writes[1], "replace ResourceBinding conf-configmap");
    let spilled = &world.list(durable::REMOVAL)[0]["spec"]["entries"];
    assert_eq!(spilled.as_array().unwrap().len(), 59);
    let binding = world.binding("app", "conf-configmap");
    let notes = binding["metadata"]["annotations"].as_object().unwrap();
    let bytes: usize = notes.values().map(|v| v.as_str().unwrap().len()).sum();
    assert!(bytes < 256 << 10, "{bytes}");
    for name in &names[1..] {
        assert!(
            matches!(
                world.said(name, CONFIG_MAP, "app", "conf"),
                Said::Tombstone(_)
            ),
            "{name}"
        );
    }
}
