//! A store that went back in time: nothing is deleted or downgraded, a person is asked.

use super::*;

/// An agent that has seen term 7 of a store that this one knows nothing of.
fn from_the_lost_future(bench: &Bench) -> v1::Hello {
    v1::Hello {
        max_epoch: Some(v1::Epoch {
            incarnation: 0,
            term: 7,
            nonce: vec![9; 8].into(),
        }),
        high_water: Some(v1::HighWater {
            nonce: vec![9; 8].into(),
            term: 7,
            n: 1,
            revision: 500,
        }),
        set_digest: Digest::of(b"something else").to_wire(),
        ..bench.hello()
    }
}

fn raised(bench: &mut Bench) {
    let list = vec![mk_epoch(0, 1, 1), mk_epoch(1, 8, 100)];
    bench.epochs = EpochView::new(list, mk_epoch(1, 8, 100));
}

#[test]
fn an_unexplained_future_is_read_afresh_then_a_new_reign_begins() {
    let bench = Bench::new();
    let mut pair = bench.pair();
    pair.say(&bench, ToHub::Hello(from_the_lost_future(&bench)));
    assert_eq!(pair.asked, ["refresh", "raise"]);
    let frames = pair.read();
    assert!(pair.is_closed && matches!(frames.as_slice(), [FromHub::Goaway(g)] if !g.r#final));
}

#[test]
fn a_reign_that_ended_says_nothing_more() {
    let mut bench = Bench::new();
    let mut pair = bench.in_sync();
    let list = vec![mk_epoch(0, 1, 1), mk_epoch(0, 2, 100)];
    let view = EpochView::new(list, mk_epoch(0, 1, 1));
    bench.assign("ConfigMap", "a", "1");
    pair.feed(&bench, Input::Epochs(view.clone()));
    pair.share(&bench);
    let frames = pair.read();
    assert!(pair.is_closed && matches!(frames.as_slice(), [FromHub::Goaway(_)]));
    bench.epochs = view;
    let mut late = bench.pair();
    late.say(&bench, ToHub::Hello(bench.hello()));
    assert!(late.is_closed && matches!(late.read().as_slice(), [FromHub::Goaway(_)]));
}

/// A session in Recovery of a member that holds one work that is the same, one that differs, one that
/// is to be removed and one that the hub does not know; and what was said about them.
struct Case {
    bench: Bench,
    pair: Pair,
    said: Vec<FromHub>,
    absent: WorkId,
    differs: WorkId,
    gone: WorkId,
    unknown: WorkId,
}

fn mk_case() -> Case {
    let mut bench = Bench::new();
    let absent = bench.assign("ConfigMap", "absent", "1");
    let same = bench.assign("ConfigMap", "same", "1");
    let differs = bench.assign("ConfigMap", "differs", "1");
    bench.assign("ConfigMap", "gone", "1");
    let (gone, _) = bench.remove("ConfigMap", "gone", false);
    let unknown = WorkId::from_array([0xaa; 16]);
    raised(&mut bench);
    let (mut pair, welcome) = bench.greeted(from_the_lost_future(&bench));
    assert_eq!(welcome.mode(), v1::Mode::Recovery);
    assert_eq!(welcome.epoch.unwrap().term, 8);
    let digests = vec![7; 256 * 32].into();
    pair.say(&bench, ToHub::Buckets(v1::Buckets { digests }));
    let said = pair.read_all(&bench);
    assert!(matches!(said.as_slice(), [FromHub::BucketWant(_)]));
    let set = bench.shares.set(&Bench::cluster());
    let newer = Digest::of(b"newer");
    let items = [
        (same, set.get(same).unwrap()),
        (differs, newer),
        (gone, newer),
        (unknown, newer),
    ];
    let items = items.map(|(id, content)| v1::InventoryItem {
        id: id.to_wire(),
        content_digest: content.to_wire(),
        generation: None,
        state: v1::WorkState::Live.into(),
    });
    let inventory = v1::Inventory {
        items: items.into(),
        last: true,
    };
    pair.say(&bench, ToHub::Inventory(inventory));
    let said = pair.read_all(&bench);
    Case {
        bench,
        pair,
        said,
        absent,
        differs,
        gone,
        unknown,
    }
}

#[test]
fn recovery_creates_what_is_absent_and_holds_the_rest() {
    let case = mk_case();
    assert_eq!(words(&case.said), ["+absent"]);
    assert!(deltas(&case.said).iter().all(|delta| match &delta.op {
        Some(Op::Upsert(upsert)) => upsert.id == case.absent.to_wire(),
        _ => false,
    }));
    assert_eq!(checkpoint(&case.said), None);
    let held = [
        (case.differs, HoldWhy::RecoveryDiffers),
        (case.gone, HoldWhy::RecoveryRemoval),
    ];
    assert_eq!(*case.pair.machine.held(), BTreeMap::from(held));
    let (mut told, mut orphans) = (Vec::new(), Vec::new());
    for frame in &case.said {
        if let FromHub::Hold(hold) = frame {
            told.extend(hold.ids.clone());
            orphans.extend(hold.unknown.clone());
        }
    }
    assert_eq!(told.len(), 2);
    assert_eq!(orphans, [case.unknown.to_wire()]);
    let orphan = |f: &Fact| matches!(f, Fact::Orphan(id, _) if *id == case.unknown);
    assert!(case.pair.facts.iter().any(orphan));
}

#[test]
fn recovery_ends_when_a_person_has_answered() {
    let Case {
        bench, mut pair, ..
    } = mk_case();
    pair.feed(
        &bench,
        Input::Release {
            approval: "person".into(),
            ids: None,
        },
    );
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames), ["+differs", "-gone"]);
    assert!(matches!(frames[0], FromHub::Release(_)), "said before them");
    let cursor = checkpoint(&frames)
        .expect("all was answered")
        .cursor
        .clone();
    assert!(pair.facts.contains(&Fact::Recovered) && pair.is_closed);
    // The old high-water is overruled by the cursor that was given after the answers.
    let hello = v1::Hello {
        cursor,
        max_epoch: Some(v1::Epoch {
            incarnation: 1,
            term: 8,
            nonce: 8_u64.to_be_bytes().to_vec().into(),
        }),
        ..from_the_lost_future(&bench)
    };
    let (_, welcome) = bench.greeted(hello);
    assert_eq!(welcome.mode(), v1::Mode::Diff);
}

#[test]
fn equal_sets_need_no_recovery_and_get_new_marks() {
    let mut bench = Bench::new();
    bench.assign("ConfigMap", "a", "1");
    raised(&mut bench);
    let hello = v1::Hello {
        set_digest: bench.shares.set_digest(&Bench::cluster()).to_wire(),
        ..from_the_lost_future(&bench)
    };
    let mut pair = bench.pair();
    pair.say(&bench, ToHub::Hello(hello));
    let frames = pair.read_all(&bench);
    let [FromHub::Welcome(welcome), FromHub::Checkpoint(_)] = frames.as_slice() else {
        panic!("{frames:?}");
    };
    assert_eq!(welcome.mode(), v1::Mode::InSync);
    assert!(!pair.is_closed);
}
