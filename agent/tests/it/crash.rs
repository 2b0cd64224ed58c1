//! An agent that dies anywhere, and one whose stream is cut anywhere, ends where an undisturbed one
//! does.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_agent::member::memory::Fault;
use proptest::prelude::*;
use serde_json::Value;

use crate::hub::{Hub, work_id};
use crate::objects::{config_map, deployment};
use crate::rig::{Rig, block_on};

/// Rounds until an agent that dies again and again must have come through.
const ROUNDS_MAX: usize = 40;

fn data(rig: &Rig) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for name in 0..8 {
        let name = format!("c{name}");
        if let Some(object) = rig.object(&config_map(&name, "")) {
            found.insert(name, object["data"].clone());
        }
    }
    if let Some(object) = rig.object(&deployment("web", 1)) {
        found.insert("web".into(), object["spec"]["replicas"].clone());
    }
    found
}

/// The story that is told whatever happens in between.
fn tell(hub: &mut Hub, chapter: usize) {
    match chapter {
        0 => {
            for n in 0..4 {
                hub.want(&config_map(&format!("c{n}"), "1"));
            }
            hub.want(&deployment("web", 1));
        }
        1 => {
            hub.want(&config_map("c0", "2"));
            hub.remove(work_id(&config_map("c1", "")));
            hub.want_with(&deployment("web", 1), |w| w.row.replicas = Some(3));
        }
        _ => {
            hub.want(&config_map("c5", "1"));
            hub.remove(work_id(&config_map("c2", "")));
            hub.want(&config_map("c3", "9"));
        }
    }
}

async fn undisturbed() -> BTreeMap<String, Value> {
    let mut rig = Rig::new().await;
    for chapter in 0..3 {
        tell(&mut rig.hub, chapter);
        rig.converge().await;
    }
    assert!(rig.hub.is_settled());
    data(&rig)
}

/// Dies at a write of the story, with or without its effect, and once more soon after.
async fn disturbed(fault: Fault) -> (Rig, bool) {
    let mut rig = Rig::new().await;
    rig.brittle = true;
    rig.member.set_fault(Some(fault));
    let mut died = false;
    for chapter in 0..3 {
        tell(&mut rig.hub, chapter);
        rig.link_up_if_needed();
        for round in 0..ROUNDS_MAX {
            let lives = rig.run_for(Duration::from_secs(3)).await.is_ok();
            if lives && rig.hub.is_settled() {
                break;
            }
            died = true;
            rig.member.set_fault(None);
            let (member, mut hub) = (rig.member, rig.hub);
            hub.link_down();
            rig = Rig::over(member, hub).await;
            rig.brittle = true;
            rig.link_up();
            assert!(round + 1 < ROUNDS_MAX, "{fault:?}: never settles");
        }
    }
    (rig, died)
}

#[test]
fn a_death_at_any_write_ends_where_an_undisturbed_agent_does() {
    block_on(async {
        let want = undisturbed().await;
        let mut deaths = 0;
        for at in 0.. {
            let mut died_at_all = false;
            for fault in [Fault::Before(at), Fault::After(at)] {
                let (rig, died) = disturbed(fault).await;
                assert_eq!(data(&rig), want, "{fault:?}");
                assert!(rig.hub.nacks.is_empty(), "{fault:?}: {:?}", rig.hub.nacks);
                died_at_all |= died;
            }
            if !died_at_all {
                break;
            }
            deaths += 1;
        }
        assert!(deaths >= 10, "{deaths} writes were interrupted");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A stream that is cut after any step, an agent that starts anew after any step.
    #[test]
    fn any_prefix_of_frames_then_a_restart_converges(
        cuts in prop::collection::vec((0_usize..60, any::<bool>()), 1..6),
    ) {
        let (got, want) = block_on(async {
            let mut rig = Rig::new().await;
            let mut cuts = cuts.into_iter();
            for chapter in 0..3 {
                tell(&mut rig.hub, chapter);
                rig.link_up_if_needed();
                for (steps, restart) in cuts.by_ref().take(2) {
                    for _ in 0..steps {
                        rig.step_or_wait().await;
                    }
                    if restart {
                        rig = rig.restart().await;
                    } else {
                        rig.link_down();
                    }
                    rig.link_up_if_needed();
                }
                rig.converge().await;
                prop_assert_eq!(rig.session.records().set().digest(), rig.hub.set().digest());
                prop_assert!(rig.hub.is_settled());
            }
            let got = data(&rig);
            let quiet = rig.member.writes().len();
            rig.run_for(Duration::from_secs(30)).await.expect("lives");
            prop_assert_eq!(rig.member.writes().len(), quiet, "a further round writes nothing");
            Ok((got, undisturbed().await))
        })?;
        prop_assert_eq!(got, want);
    }
}
