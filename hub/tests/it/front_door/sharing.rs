//! What is shared is held once, and what did not change is not computed again.

use flotilla_hub::fleet::share::{ClusterName, Said};
use serde_json::json;

use super::world::{CONFIG_MAP, OP, World};

/// 100 clusters in two groups, with one override set each.
fn fleet() -> World {
    let mut world = World::new();
    let names: Vec<String> = (0..100).map(|i| format!("m{i:02}")).collect();
    for (i, name) in names.iter().enumerate() {
        let group = if i % 2 == 0 { "even" } else { "odd" };
        world.cluster_with(name, |o| {
            o["metadata"]["labels"] = json!({ "group": group })
        });
    }
    for group in ["even", "odd"] {
        world.put(
            OP,
            json!({
            "metadata": { "name": group, "namespace": "app" },
            "spec": {
                "resourceSelectors": [{ "apiVersion": "v1", "kind": "ConfigMap" }],
                "overrideRules": [{
                    "targetCluster": { "labelSelector": { "matchLabels": { "group": group } } },
                    "overriders": { "labelsOverrider": [
                        { "operator": "add", "value": { "canary": format!("only-{group}") } }] },
                }],
            } }),
        );
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.policy("app", "pp", &names);
    world.config_map("app", "conf", "one");
    world.settle();
    world
}

#[test]
fn a_hundred_clusters_and_two_override_sets_are_three_bodies() {
    let world = fleet();
    assert_eq!(world.bodies.len(), 3);
    for i in 0..100 {
        let name = format!("m{i:02}");
        let Said::Upsert(said) = world.said(&name, CONFIG_MAP, "app", "conf") else {
            panic!("{name} gets it");
        };
        let overrides = said.overrides.as_ref().unwrap();
        let raw =
            flotilla_proto::convert::body::decompress(&overrides.compressed, overrides.digest);
        let text = String::from_utf8(raw.unwrap()).unwrap();
        let (own, other) = if i % 2 == 0 {
            ("even", "odd")
        } else {
            ("odd", "even")
        };
        assert!(text.contains(&format!("only-{own}")), "{text}");
        assert!(!text.contains(&format!("only-{other}")), "{text}");
        let foreign = world.said(&format!("m{:02}", (i + 1) % 100), CONFIG_MAP, "app", "conf");
        let Said::Upsert(foreign) = foreign else {
            panic!("the neighbour gets it");
        };
        let body = foreign.overrides.as_ref().unwrap().digest;
        assert!(world.shares.body(&ClusterName::new(&name), body).is_none());
    }
}

#[test]
fn an_override_edit_is_resolved_for_the_clusters_it_targets_alone() {
    let mut world = fleet();
    world.take_writes();
    for i in 0..100 {
        let _ = world
            .shares
            .take_dirty(&ClusterName::new(&format!("m{i:02}")));
    }
    let before = world.index.resolutions();
    world.edit(OP, "app", "odd", |o| {
        o["spec"]["overrideRules"][0]["overriders"]["labelsOverrider"][0]["value"] =
            json!({ "canary": "changed" });
    });
    world.settle();
    assert_eq!(world.index.resolutions() - before, 50);
    assert_eq!(world.take_writes(), Vec::<String>::new());
    for i in 0..100 {
        let dirty = world
            .shares
            .take_dirty(&ClusterName::new(&format!("m{i:02}")));
        assert_eq!(dirty.len(), i % 2, "m{i:02}");
    }
    assert_eq!(world.bodies.len(), 3);
}

#[test]
fn a_cluster_that_changes_sides_gets_the_other_body() {
    let mut world = fleet();
    let before = world.index.resolutions();
    world.edit(flotilla_hub::durable::CLUSTER, "", "m00", |o| {
        o["metadata"]["labels"] = json!({ "group": "odd" });
    });
    assert_eq!(world.index.resolutions() - before, 1);
    let digest = |name: &str| match world.said(name, CONFIG_MAP, "app", "conf") {
        Said::Upsert(said) => said.overrides.as_ref().map(|b| b.digest),
        other => panic!("{other:?}"),
    };
    assert_eq!(digest("m00"), digest("m01"));
}
