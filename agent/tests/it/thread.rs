//! From a delta to an object and back: the ways of a work that everybody takes.

use std::time::Duration;

use flotilla_agent::member::{At, Class, Gvk, Kind};
use flotilla_agent::session::Input;
use flotilla_proto::v1;
use serde_json::{Value, json};

use crate::objects::{config_map, deployment, namespace, widget};
use crate::rig::{Rig, block_on};

fn config_map_at(name: &str) -> At {
    let kind = Kind {
        gvk: Gvk::new("v1", "ConfigMap"),
        plural: "configmaps".into(),
        namespaced: true,
        listable: true,
    };
    At::new(kind, "shop", name)
}

#[test]
fn one_config_map_arrives_is_edited_and_goes() {
    block_on(async {
        let mut rig = Rig::new().await;
        let template = config_map("a", "1");
        let id = rig.hub.want(&template);
        rig.converge().await;
        let object = rig.object(&template).expect("it is there");
        assert_eq!(object["data"]["key"], "1");
        assert_eq!(
            object["metadata"]["labels"]["fleet.flotilla.dev/owner"],
            id.to_string()
        );
        assert!(rig.hub.is_settled() && rig.hub.nacks.is_empty());
        let status = &rig.hub.statuses[&id];
        assert!(status.applied);
        assert_eq!(status.health(), v1::HealthState::Healthy);

        let edited = config_map("a", "2");
        rig.hub.want(&edited);
        rig.settle().await;
        assert_eq!(
            rig.object(&template).expect("still there")["data"]["key"],
            "2"
        );
        assert!(rig.hub.is_settled());

        rig.hub.remove(id);
        rig.settle().await;
        assert!(rig.object(&template).is_none());
        assert!(rig.hub.is_settled());
        assert_eq!(rig.hub.settled.len(), 1);
        let namespace = rig.object(&namespace("shop"));
        assert!(namespace.is_some(), "the namespace stays");
    });
}

#[test]
fn a_new_work_costs_one_ledger_write_and_one_object() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.hub.want(&config_map("first", "1"));
        rig.converge().await;
        let before = rig.member.writes().len();
        rig.hub.want(&config_map("second", "1"));
        rig.link_up_if_needed();
        rig.run_for(Duration::from_secs(1)).await.expect("lives");
        let writes = rig.member.writes()[before..].to_vec();
        let want = [
            "write Secret flotilla-system/flotilla-agent-state",
            "write ConfigMap shop/second",
            "write Secret flotilla-system/flotilla-bodies-0",
        ];
        assert_eq!(writes, want);
    });
}

#[test]
fn a_restart_with_everything_in_place_writes_nothing_but_its_fence() {
    block_on(async {
        let mut rig = Rig::new().await;
        for n in 0..40 {
            rig.hub.want(&config_map(&format!("c{n}"), "1"));
        }
        rig.hub.want(&deployment("web", 2));
        rig.converge().await;
        assert!(rig.hub.is_settled());
        let before = rig.member.writes().len();
        let mut rig = rig.restart().await;
        rig.converge().await;
        rig.run_for(Duration::from_secs(700)).await.expect("lives");
        let writes = rig.member.writes()[before..].to_vec();
        assert_eq!(
            writes,
            ["write Secret flotilla-system/flotilla-agent-state"]
        );
        assert_eq!(rig.hub.statuses.len(), 41, "statuses are said again");
    });
}

#[test]
fn drift_is_repaired_and_what_people_add_stays() {
    block_on(async {
        let mut rig = Rig::new().await;
        let template = config_map("a", "1");
        rig.hub.want(&template);
        rig.converge().await;
        let mut object = rig.object(&template).expect("there");
        object["data"]["key"] = "changed".into();
        object["data"]["hand"] = "made".into();
        rig.member.put(&config_map_at("a"), object);
        rig.settle().await;
        let object = rig.object(&template).expect("there");
        assert_eq!(object["data"], json!({"key": "1", "hand": "made"}));
        rig.member.take(&config_map_at("a"));
        rig.settle().await;
        assert_eq!(
            rig.object(&template).expect("again")["data"],
            json!({"key": "1"})
        );
    });
}

#[test]
fn repair_goes_on_without_a_hub_and_after_a_restart() {
    block_on(async {
        let mut rig = Rig::new().await;
        let template = config_map("a", "1");
        rig.hub.want(&template);
        rig.converge().await;
        let mut rig = rig.restart().await;
        rig.settle().await;
        rig.member.take(&config_map_at("a"));
        rig.settle().await;
        assert!(!rig.linked);
        assert_eq!(
            rig.object(&template)
                .expect("made from the member's own body")["data"]["key"],
            "1"
        );
    });
}

#[test]
fn a_foreign_object_is_left_until_overwrite_takes_it_over() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.member
            .put(&At::new(Kind::namespace(), "", "shop"), namespace("shop"));
        let mut foreign = config_map("a", "theirs");
        foreign["data"]["old"] = "x".into();
        foreign["metadata"]["managedFields"] = json!([{
            "manager": "kubectl", "operation": "Update",
            "fieldsV1": {"f:data": {"f:key": {}, "f:old": {}, "f:same": {}}},
        }]);
        foreign["data"]["same"] = "1".into();
        rig.member.put(&config_map_at("a"), foreign);
        let mut template = config_map("a", "ours");
        template["data"]["same"] = "1".into();
        let id = rig.hub.want(&template);
        rig.converge().await;
        let object = rig.object(&template).expect("there");
        assert_eq!(object["data"]["key"], "theirs");
        let (nacked, class, detail) = rig.hub.nacks.last().expect("refused").clone();
        assert!(nacked == id && class == v1::NackClass::Denied);
        assert!(detail.contains("conflictResolution: Overwrite"), "{detail}");
        assert!(rig.hub.is_settled(), "a refusal settles");
        assert!(!rig.hub.statuses[&id].applied);

        let overwrite = |work: &mut crate::hub::Work| {
            work.row.conflict = v1::Conflict::Overwrite.into();
        };
        rig.hub.want_with(&template, overwrite);
        rig.settle().await;
        let object = rig.object(&template).expect("there");
        assert_eq!(
            object["data"],
            json!({"key": "ours", "old": "x", "same": "1"})
        );
        assert!(rig.hub.statuses[&id].applied);
        rig.hub.want_with(&config_map("a", "ours"), overwrite);
        rig.settle().await;
        let object = rig.object(&template).expect("there");
        assert_eq!(
            object["data"],
            json!({"key": "ours", "old": "x"}),
            "a field that left goes"
        );
    });
}

#[test]
fn a_kind_that_comes_later_is_waited_for() {
    block_on(async {
        let mut rig = Rig::new().await;
        let (template, other) = (widget("w"), config_map("a", "1"));
        let id = rig.hub.want(&template);
        rig.hub.want(&other);
        rig.converge().await;
        assert!(rig.object(&other).is_some(), "others go on");
        rig.run_for(Duration::from_secs(60)).await.expect("lives");
        assert_eq!(
            rig.hub.nacks.last().map(|n| (n.0, n.1)),
            Some((id, v1::NackClass::Unsupported))
        );
        assert!(rig.hub.is_settled());
        rig.member.serve(Kind {
            gvk: Gvk::new("example.com/v1", "Widget"),
            plural: "widgets".into(),
            namespaced: true,
            listable: true,
        });
        rig.kinds.refresh().await.expect("answers");
        rig.input(Input::KindsChanged);
        rig.run_for(Duration::from_secs(1)).await.expect("lives");
        assert!(rig.object(&template).is_some());
        assert!(rig.hub.statuses[&id].applied);
    });
}

#[test]
fn what_the_member_refuses_is_told_and_stops_nobody() {
    block_on(async {
        let mut rig = Rig::new().await;
        let poison = config_map("poison", "1");
        let why = "admission webhook denied the request: no";
        rig.member
            .refuse("ConfigMap shop/poison", Some((Class::MemberPolicy, why)));
        let id = rig.hub.want(&poison);
        for n in 0..30 {
            rig.hub.want(&config_map(&format!("good{n}"), "1"));
        }
        rig.converge().await;
        assert!(rig.hub.is_settled());
        let refused: Vec<_> = rig.hub.nacks.iter().map(|n| (n.0, n.1)).collect();
        assert_eq!(refused, [(id, v1::NackClass::MemberPolicy)]);
        assert!(rig.hub.nacks[0].2.contains(why));
        assert!(rig.object(&config_map("good29", "1")).is_some());
        rig.run_for(Duration::from_secs(3600)).await.expect("lives");
        assert_eq!(rig.hub.nacks.len(), 1, "the same refusal is told once");
        rig.member.refuse("ConfigMap shop/poison", None);
        rig.run_for(Duration::from_secs(301)).await.expect("lives");
        assert!(
            rig.object(&poison).is_some(),
            "tried again within five minutes"
        );
        assert!(rig.hub.statuses[&id].applied);
    });
}

#[test]
fn suspended_works_are_not_touched_and_preserved_ones_stay() {
    block_on(async {
        let mut rig = Rig::new().await;
        let (held, kept) = (config_map("held", "1"), config_map("kept", "1"));
        rig.hub.want_with(&held, |work| work.row.suspend = true);
        let id = rig.hub.want(&kept);
        rig.converge().await;
        assert!(rig.object(&held).is_none() && rig.hub.is_settled());
        rig.hub
            .remove_with(id, |tombstone| tombstone.preserve = true);
        rig.settle().await;
        let object = rig.object(&kept).expect("it stays");
        assert_eq!(object["data"]["key"], "1");
        assert_eq!(object["metadata"]["labels"], json!({}));
        assert!(rig.hub.is_settled());
    });
}

#[test]
fn a_namespace_is_adopted_and_goes_only_when_it_is_empty() {
    block_on(async {
        let mut rig = Rig::new().await;
        let template = namespace("shop");
        rig.member
            .put(&At::new(Kind::namespace(), "", "shop"), template.clone());
        let id = rig.hub.want(&template);
        rig.converge().await;
        let owner = "/metadata/labels/fleet.flotilla.dev~1owner";
        let object = rig.object(&template).expect("there");
        assert_eq!(object.pointer(owner), Some(&Value::from(id.to_string())));
        rig.member
            .put(&config_map_at("theirs"), config_map("theirs", "1"));
        rig.hub.remove(id);
        rig.settle().await;
        let (_, class, detail) = rig.hub.nacks.last().expect("held").clone();
        assert_eq!(class, v1::NackClass::Held);
        assert!(detail.contains("1 objects (ConfigMap theirs)"), "{detail}");
        assert!(rig.object(&template).is_some());
        rig.member.take(&config_map_at("theirs"));
        rig.run_for(Duration::from_secs(301)).await.expect("lives");
        assert!(rig.object(&template).is_none() && rig.hub.settled.len() == 1);
    });
}

#[test]
fn overrides_and_replicas_are_rendered_here() {
    block_on(async {
        let mut rig = Rig::new().await;
        let overrides = json!({"rules": [{
            "policy": "OverridePolicy/shop/o", "rule": 0,
            "overriders": {"plaintext": [
                {"path": "/spec/template/spec/containers/0/image", "operator": "replace", "value": "other/app:2"},
            ]},
        }]});
        let template = deployment("web", 1);
        let id = rig.hub.want_with(&template, |work| {
            work.row.replicas = Some(5);
            work.overrides = Some(overrides.to_string().into_bytes());
        });
        rig.converge().await;
        let object = rig.object(&template).expect("there");
        assert_eq!(object["spec"]["replicas"], 5);
        let image = "/spec/template/spec/containers/0/image";
        assert_eq!(object.pointer(image), Some(&"other/app:2".into()));
        assert_eq!(rig.hub.statuses[&id].changed, [image]);
        assert_eq!(rig.hub.statuses[&id].health(), v1::HealthState::Unhealthy);
    });
}

#[test]
fn a_large_body_comes_in_chunks_and_is_kept_in_parts() {
    block_on(async {
        let mut rng = flotilla_agent::retry::Rng::new(5);
        let noise: String = (0..1_400_000 / 16)
            .map(|_| format!("{:016x}", rng.next_u64()))
            .collect();
        let mut rig = Rig::new().await;
        let template = config_map("large", &noise);
        rig.hub.want(&template);
        rig.hub.want(&config_map("small", "1"));
        rig.converge().await;
        assert!(rig.hub.is_settled());
        let mut rig = rig.restart().await;
        rig.settle().await;
        rig.member.take(&config_map_at("large"));
        rig.settle().await;
        let object = rig
            .object(&template)
            .expect("made again from the member's own parts");
        assert_eq!(object["data"]["key"], noise.as_str());
    });
}
