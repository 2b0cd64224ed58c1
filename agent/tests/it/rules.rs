//! The rules of the protocol that protect a member: each would let something wrong happen when it is
//! taken away.

use std::time::Duration;

use flotilla_agent::ledger::records::State;
use flotilla_agent::member::{At, Gvk, Kind};
use flotilla_proto::v1;
use flotilla_proto::v1::hub_frame::Frame;
use serde_json::json;

use crate::hub::{mk_epoch, to_frame, work_id};
use crate::objects::config_map;
use crate::rig::{Death, Rig, block_on};

async fn mk_rig_with(names: &[&str]) -> Rig {
    let mut rig = Rig::new().await;
    for name in names {
        rig.hub.want(&config_map(name, "1"));
    }
    rig.converge().await;
    assert!(rig.hub.is_settled());
    rig
}

#[test]
fn a_lower_term_is_refused_and_an_equal_one_with_another_nonce() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.hub.epoch = mk_epoch(5, 1);
        rig.hub.want(&config_map("a", "1"));
        rig.converge().await;
        for (epoch, accepted) in [
            (mk_epoch(4, 1), false),
            (mk_epoch(5, 2), false),
            (mk_epoch(5, 1), true),
            (mk_epoch(6, 3), true),
        ] {
            rig.link_down();
            rig.drops.clear();
            rig.hub.epoch = epoch.clone();
            rig.hub.want(&config_map("a", &epoch.term.to_string()));
            rig.link_up();
            rig.settle().await;
            assert_eq!(rig.drops.is_empty(), accepted, "{epoch:?}");
        }
        let rig = rig.restart().await;
        let mut rig = rig;
        rig.converge().await;
        let max = rig.hub.hellos.last().and_then(|h| h.max_epoch.clone());
        assert_eq!(max, Some(mk_epoch(6, 3)), "the highest term is durable");
    });
}

#[test]
fn a_gap_ends_the_session() {
    block_on(async {
        let mut rig = mk_rig_with(&["a"]).await;
        let delta = |n, prev_n| {
            to_frame(Frame::Delta(v1::Delta {
                n,
                prev_n,
                op: None,
            }))
        };
        rig.hub.said = 9;
        rig.say(delta(2, 1));
        assert!(rig.session.is_greeted());
        rig.say(delta(4, 3));
        assert!(!rig.session.is_greeted());
        rig.settle().await;
        assert_eq!(rig.drops.len(), 1, "{:?}", rig.drops);
    });
}

#[test]
fn only_a_checkpoint_moves_the_cursor() {
    block_on(async {
        let rig = mk_rig_with(&["a"]).await;
        let first = rig.hub.hellos[0].cursor.clone();
        assert!(first.is_empty());
        let mut rig = rig.restart().await;
        rig.converge().await;
        let cursor = rig.hub.hellos[1].cursor.clone();
        assert_eq!(cursor, "1@101", "the first checkpoint's");
        let high_water = rig.hub.hellos[1].high_water.clone().expect("sent");
        assert_eq!((high_water.term, high_water.n), (1, 1));
        assert_eq!(rig.hub.hellos[1].fence, rig.hub.hellos[0].fence + 1);
    });
}

#[test]
fn a_restored_hub_neither_deletes_nor_downgrades() {
    block_on(async {
        let mut rig = mk_rig_with(&["edited", "deleted", "kept"]).await;
        let old = rig.hub.clone();
        rig.hub.want(&config_map("edited", "2"));
        let gone = work_id(&config_map("deleted", "1"));
        rig.hub.remove(gone);
        rig.hub.want(&config_map("new", "1"));
        rig.settle().await;
        assert!(rig.hub.is_settled());
        rig.link_down();
        // Nobody said that the store went back; the term moves on as at every start.
        rig.hub = old;
        rig.hub.epoch = mk_epoch(9, 9);
        rig.hub.link_down();
        rig.converge().await;
        rig.run_for(Duration::from_secs(60)).await.expect("lives");
        let value = |name: &str| {
            let object = rig.object(&config_map(name, ""));
            object.map(|o| o["data"]["key"].clone())
        };
        assert_eq!(value("edited"), Some(json!("2")), "not downgraded");
        assert_eq!(value("deleted"), None, "not raised from the dead");
        assert_eq!(value("new"), Some(json!("1")), "not deleted");
        assert_eq!(value("kept"), Some(json!("1")));
        let held: Vec<_> = rig.hub.nacks.iter().map(|n| n.1).collect();
        assert_eq!(held, [v1::NackClass::Held; 2], "{:?}", rig.hub.nacks);

        let id = work_id(&config_map("edited", ""));
        rig.say(to_frame(Frame::Release(v1::Release {
            approval: "a person".into(),
            ids: vec![id.to_wire()],
        })));
        let work = rig.hub.works()[&id].clone();
        rig.hub
            .want_with(&work.template, |w| w.made_at = work.made_at);
        rig.settle().await;
        let object = rig.object(&config_map("edited", "")).expect("there");
        assert_eq!(object["data"]["key"], "1", "released");
    });
}

#[test]
fn recovery_deletes_only_what_is_released() {
    block_on(async {
        let mut rig = mk_rig_with(&["a"]).await;
        rig.link_down();
        rig.hub.mode = Some(v1::Mode::Recovery);
        rig.hub.epoch = mk_epoch(2, 2);
        let id = work_id(&config_map("a", ""));
        rig.hub.remove(id);
        rig.converge().await;
        assert!(rig.object(&config_map("a", "")).is_some());
        assert_eq!(rig.hub.nacks.last().map(|n| n.1), Some(v1::NackClass::Held));
        assert!(rig.hub.settled.is_empty());
    });
}

#[test]
fn a_tombstone_takes_effect_only_with_the_records_own_uid() {
    block_on(async {
        let mut rig = mk_rig_with(&["a"]).await;
        let id = work_id(&config_map("a", ""));
        rig.hub.remove_with(id, |t| t.uid = "other".into());
        rig.settle().await;
        assert!(rig.object(&config_map("a", "")).is_some());
        assert_eq!(rig.hub.nacks.last().map(|n| n.1), Some(v1::NackClass::Held));
        assert!(
            rig.hub.settled.is_empty(),
            "a refused tombstone is not acknowledged"
        );
    });
}

#[test]
fn a_tombstone_also_takes_what_its_predecessors_left_and_nothing_else() {
    block_on(async {
        for (named, goes) in [("t1", true), ("t0", false)] {
            let mut rig = mk_rig_with(&["a"]).await;
            let id = work_id(&config_map("a", ""));
            let own = rig
                .session
                .records()
                .get(id)
                .map(|r| r.row.template_uid.clone());
            let named = if goes {
                own.expect("known")
            } else {
                named.to_owned()
            };
            rig.hub.remove_with(id, |t| {
                t.uid = "other".into();
                t.predecessors = vec!["older".into(), named.clone()];
            });
            rig.settle().await;
            assert_eq!(rig.object(&config_map("a", "")).is_none(), goes, "{named}");
            assert_eq!(rig.hub.settled.len(), usize::from(goes));
        }
    });
}

#[test]
fn tombstones_of_unknown_and_gone_works_are_acknowledged() {
    block_on(async {
        let mut rig = mk_rig_with(&["a"]).await;
        let (a, ghost) = (
            work_id(&config_map("a", "")),
            work_id(&config_map("ghost", "")),
        );
        rig.hub.remove(a);
        rig.hub.remove_with(ghost, |t| {
            t.uid = "g".into();
            t.object = Some(crate::hub::object_ref(&config_map("ghost", "")));
        });
        rig.settle().await;
        assert_eq!(rig.hub.settled.len(), 2);
        let mut rig = rig.restart().await;
        rig.hub.remove_with(a, |t| t.uid = "t1".into());
        rig.converge().await;
        assert_eq!(rig.hub.settled.len(), 3, "said again, acknowledged again");
        let mut now = rig.now();
        for (days, remembered) in [(29, true), (31, false)] {
            now.unix = rig.now().unix + days * 86_400;
            rig.session.forget_gone(now);
            assert_eq!(rig.session.records().get(a).is_some(), remembered);
        }
    });
}

#[test]
fn records_that_were_lost_are_found_again_by_marks_and_deleted_by_tombstone_only() {
    block_on(async {
        let rig = mk_rig_with(&["a", "b"]).await;
        // The fence is above one when the state that remembers it is lost.
        let mut rig = rig.restart().await.restart().await;
        rig.converge().await;
        rig.hub.want(&config_map("b", "2"));
        rig.settle().await;
        for name in ["flotilla-agent-state", "flotilla-bodies-0"] {
            rig.member
                .take(&At::new(Kind::secret(), "flotilla-system", name));
        }
        let before = rig.object_writes();
        let b = work_id(&config_map("b", ""));
        rig.hub.remove(b);
        let mut rig = rig.restart().await;
        rig.link_up();
        let ended = rig.run_for(Duration::from_secs(5)).await;
        assert!(matches!(ended, Err(Death::NotLeader)), "{ended:?}");
        let mut rig = rig.next_reign().await;
        rig.converge().await;
        assert!(rig.object(&config_map("b", "")).is_none());
        assert!(rig.object(&config_map("a", "")).is_some());
        assert!(rig.hub.is_settled());
        // The try to create a, which is there, and the delete of b.
        assert_eq!(rig.object_writes() - before, 2, "{:?}", rig.member.writes());
    });
}

#[test]
fn a_snapshot_takes_effect_whole_and_never_deletes_what_it_lacks() {
    block_on(async {
        let mut rig = mk_rig_with(&["a", "b"]).await;
        rig.link_down();
        rig.hub.mode = Some(v1::Mode::Snapshot);
        let b = work_id(&config_map("b", ""));
        rig.hub.forget(b);
        rig.hub.want(&config_map("a", "2"));
        rig.hub.want(&config_map("c", "1"));
        rig.link_up();
        rig.step_until_greeted().await;
        let frames = rig.hub.say_snapshot();
        let (last, head) = frames.split_last().expect("an end");
        for frame in head {
            rig.say(frame.clone());
        }
        rig.settle_quietly().await;
        let value = |rig: &Rig, name: &str| {
            rig.object(&config_map(name, ""))
                .map(|o| o["data"]["key"].clone())
        };
        assert_eq!(value(&rig, "a"), Some(json!("1")), "nothing before the end");
        rig.say(last.clone());
        rig.settle_quietly().await;
        assert_eq!(value(&rig, "a"), Some(json!("2")));
        assert_eq!(value(&rig, "c"), Some(json!("1")));
        assert_eq!(value(&rig, "b"), Some(json!("1")), "kept");
        assert_eq!(
            rig.session.records().get(b).map(|r| r.state),
            Some(State::Orphan)
        );
        assert_eq!(rig.hub.found.len(), 1);
        assert_eq!(rig.session.records().set().digest(), rig.hub.set().digest());

        let mut broken = rig.hub.say_snapshot();
        broken.remove(1);
        for frame in broken {
            rig.say(frame);
        }
        assert!(!rig.session.is_greeted(), "a snapshot that is not whole");
    });
}

#[test]
fn orphans_that_the_hub_names_are_kept_and_repaired() {
    block_on(async {
        let mut rig = mk_rig_with(&["a", "b"]).await;
        let b = work_id(&config_map("b", ""));
        rig.hub.forget(b);
        rig.say(to_frame(Frame::Hold(v1::Hold {
            unknown: vec![b.to_wire()],
            ..v1::Hold::default()
        })));
        rig.settle().await;
        assert_eq!(rig.session.records().set().digest(), rig.hub.set().digest());
        let kind = Kind {
            gvk: Gvk::new("v1", "ConfigMap"),
            plural: "configmaps".into(),
            namespaced: true,
            listable: true,
        };
        rig.member.take(&At::new(kind, "shop", "b"));
        rig.settle().await;
        assert!(rig.object(&config_map("b", "")).is_some(), "still repaired");
        let mut rig = rig.restart().await;
        rig.converge().await;
        let state = rig.session.records().get(b).map(|r| r.state);
        assert_eq!(state, Some(State::Orphan), "remembered");
    });
}

#[test]
fn a_held_removal_waits_until_it_is_said_again() {
    block_on(async {
        let mut rig = mk_rig_with(&["a"]).await;
        let id = work_id(&config_map("a", ""));
        rig.say(to_frame(Frame::Hold(v1::Hold {
            all: true,
            ..v1::Hold::default()
        })));
        rig.hub.remove(id);
        rig.settle().await;
        assert!(rig.object(&config_map("a", "")).is_some());
        rig.say(to_frame(Frame::Release(v1::Release::default())));
        rig.settle().await;
        assert!(rig.object(&config_map("a", "")).is_none() && rig.hub.is_settled());
    });
}

#[test]
fn a_silent_hub_is_left_and_a_final_word_is_final() {
    block_on(async {
        let mut rig = mk_rig_with(&["a"]).await;
        rig.hub_is_silent = true;
        rig.run_for(Duration::from_secs(31)).await.expect("lives");
        assert_eq!(rig.drops, ["the hub is silent"]);
        rig.hub_is_silent = false;
        rig.converge().await;
        rig.say(to_frame(Frame::Goaway(v1::Goaway {
            reason: "revoked".into(),
            r#final: true,
            ..v1::Goaway::default()
        })));
        rig.settle().await;
        assert_eq!(rig.stopped.as_deref(), Some("revoked"));
    });
}

#[test]
fn an_object_that_comes_back_is_deleted_again_only_when_an_older_leader_wrote_it() {
    block_on(async {
        let rig = mk_rig_with(&["a"]).await;
        let mut rig = rig.restart().await;
        rig.converge().await;
        let template = config_map("a", "");
        let late = rig.object(&template).expect("there");
        let id = work_id(&template);
        rig.hub.remove(id);
        rig.settle().await;
        assert!(rig.object(&template).is_none());
        let kind = Kind {
            gvk: Gvk::new("v1", "ConfigMap"),
            plural: "configmaps".into(),
            namespaced: true,
            listable: true,
        };
        let at = At::new(kind, "shop", "a");
        // Written by the leader before this one, whose fence is on it.
        rig.member.put(&at, late.clone());
        rig.settle().await;
        assert!(
            rig.object(&template).is_none(),
            "a late write of an older leader"
        );
        let mut same = late;
        same["metadata"]["annotations"]["fleet.flotilla.dev/fence"] = "99".into();
        rig.member.put(&at, same);
        rig.settle().await;
        assert!(
            rig.object(&template).is_some(),
            "anything else is left alone"
        );
        let found: Vec<_> = rig.hub.found.iter().map(v1::Found::kind).collect();
        assert_eq!(found, [v1::FoundKind::Reappeared]);
    });
}
