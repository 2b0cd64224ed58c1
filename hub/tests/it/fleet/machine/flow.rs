//! Order, coalescing, bounds, beats, brakes.

use super::*;

#[test]
fn containers_come_first_and_go_last() {
    let mut bench = Bench::new();
    let mut pair = bench.in_sync();
    bench.assign("ConfigMap", "a", "1");
    bench.assign("CustomResourceDefinition", "crd", "1");
    bench.assign("Namespace", "ns", "1");
    pair.share(&bench);
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames), ["+ns", "+crd", "+a"]);
    bench.remove("Namespace", "ns", false);
    bench.remove("CustomResourceDefinition", "crd", false);
    bench.remove("ConfigMap", "a", false);
    bench.assign("ConfigMap", "b", "1");
    pair.share(&bench);
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames), ["+b", "-a", "-crd", "-ns"]);
}

#[test]
fn deltas_are_chained_and_numbers_never_come_twice() {
    let mut bench = Bench::new();
    let mut seen = BTreeSet::new();
    for session in 0..3 {
        let mut pair = bench.in_sync();
        let mut last = 0;
        for n in 0..5 {
            bench.assign("ConfigMap", "a", &format!("{session} {n}"));
            pair.share(&bench);
            let frames = pair.read_all(&bench);
            let said = deltas(&frames);
            assert_eq!(said.len(), 1);
            assert_eq!(said[0].prev_n, last);
            assert!(said[0].n > last && seen.insert(said[0].n));
            last = said[0].n;
            let Some(Op::Upsert(upsert)) = &said[0].op else {
                panic!("{said:?}");
            };
            let generation = upsert.generation.unwrap();
            assert_eq!((generation.term, generation.n), (1, last));
            let checkpoint = checkpoint(&frames).expect("all was said");
            assert_eq!(checkpoint.n, last);
            let digest = bench.shares.set_digest(&Bench::cluster());
            assert_eq!(checkpoint.set_digest, digest.to_wire());
        }
    }
}

#[test]
fn a_slow_agent_costs_a_bounded_queue_and_the_newest_state_wins() {
    let mut bench = Bench::new();
    let mut pair = bench.in_sync();
    for round in 0..3 {
        for n in 0..1000 {
            bench.assign("ConfigMap", &format!("a{n}"), &format!("{round}"));
        }
        pair.share(&bench);
        assert!(pair.queue.len() <= QUEUE_MSGS_MAX);
    }
    let frames = pair.read_all(&bench);
    let said = deltas(&frames);
    // Three states of each work, but what waited was said once.
    assert!(said.len() <= 1000 + QUEUE_MSGS_MAX, "{}", said.len());
    let last: BTreeMap<_, _> = said
        .iter()
        .map(|delta| match delta.op.as_ref().unwrap() {
            Op::Upsert(upsert) => (upsert.id.clone(), upsert.template_digest.clone()),
            Op::Tombstone(_) => panic!("a removal"),
        })
        .collect();
    assert_eq!(last.len(), 1000);
    let newest = Digest::of(b"2").to_wire();
    assert!(last.values().all(|digest| *digest == newest));
    assert_eq!(frames.iter().filter(|f| is_checkpoint(f)).count(), 1);
}

fn is_checkpoint(frame: &FromHub) -> bool {
    matches!(frame, FromHub::Checkpoint(_))
}

#[test]
fn the_same_share_again_says_nothing() {
    let mut bench = Bench::new();
    bench.assign("ConfigMap", "a", "1");
    let mut pair = bench.in_sync();
    bench.assign("ConfigMap", "a", "1");
    pair.share(&bench);
    let one_beat = SECOND * 9;
    pair.wait(&mut bench, one_beat);
    assert!(pair.read_all(&bench).is_empty());
}

#[test]
fn delete_and_create_again_says_the_upsert_after_the_strike() {
    let mut bench = Bench::new();
    bench.assign("Job", "j", "1");
    let mut pair = bench.in_sync();
    let (id, made_at) = bench.remove("Job", "j", false);
    bench.assign("Job", "j", "1");
    pair.share(&bench);
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames), ["-j"]);
    let gone = v1::SettledTombstone {
        id: id.to_wire(),
        made_at,
    };
    let ack = v1::Ack {
        n: deltas(&frames)[0].n,
        tombstones: vec![gone],
    };
    pair.say(&bench, ToHub::Ack(ack.clone()));
    assert!(pair.facts.contains(&Fact::Settled { id, made_at }));
    pair.share(&bench);
    assert!(pair.read_all(&bench).is_empty(), "not before it is struck");
    bench.shares.strike(&Bench::cluster(), id, made_at);
    pair.share(&bench);
    assert_eq!(words(&pair.read_all(&bench)), ["+j"]);
    // The same acknowledgement again counts once.
    pair.facts.clear();
    pair.say(&bench, ToHub::Ack(ack));
    assert_eq!(pair.facts, [Fact::NotYours]);
}

#[test]
fn a_pending_removal_is_said_in_every_session_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.assign("ConfigMap", "a", "1");
    bench.remove("ConfigMap", "a", false);
    for _ in 0..2 {
        // The agent has done it already, so the sets agree; only the acknowledgement was lost.
        let mut pair = bench.in_sync();
        assert_eq!(words(&pair.read_all(&bench)), ["-a"]);
    }
}

#[test]
fn beats_and_silence() {
    let mut bench = Bench::new();
    let mut pair = bench.in_sync();
    for _ in 0..6 {
        pair.wait(&mut bench, SECOND * 10);
        let frames = pair.read_all(&bench);
        assert!(
            matches!(frames.as_slice(), [FromHub::Ping(_)]),
            "{frames:?}"
        );
        pair.say(&bench, ToHub::Pong(v1::Pong { t: 1 }));
    }
    pair.wait(&mut bench, SECOND * 29);
    assert!(!pair.is_closed);
    pair.wait(&mut bench, SECOND);
    assert!(pair.is_closed && pair.facts.contains(&Fact::Silent));
    assert_eq!(pair.machine.poll_timeout(), None);
}

#[test]
fn a_stream_that_says_nothing_or_the_wrong_thing_first_is_cut() {
    let mut bench = Bench::new();
    let mut silent = bench.pair();
    silent.wait(&mut bench, SECOND * 5);
    assert!(silent.is_closed);
    let check = |frame: ToHub| {
        let mut pair = bench.pair();
        pair.say(&bench, frame);
        assert!(pair.is_closed);
        goaway(&pair.read()).expect("a word of farewell").clone()
    };
    check(ToHub::Ack(v1::Ack::default()));
    check(ToHub::Goaway(v1::Goaway::default()));
    let other = v1::Hello {
        version_min: 7,
        version_max: 9,
        ..bench.hello()
    };
    assert!(check(ToHub::Hello(other)).r#final);
    let (mut pair, _) = bench.greeted(bench.hello());
    pair.say(&bench, ToHub::Hello(bench.hello()));
    assert!(pair.is_closed);
}

#[test]
fn an_agent_that_breaks_a_rule_is_left() {
    let mut bench = Bench::new();
    bench.assign("ConfigMap", "a", "1");
    let check = |frames: Vec<ToHub>| {
        let mut pair = bench.in_sync();
        for frame in frames {
            pair.say(&bench, frame);
        }
        let broken = pair.facts.iter().any(|f| matches!(f, Fact::RuleBroken(_)));
        assert!(pair.is_closed && broken, "{:?}", pair.facts);
    };
    check(vec![ToHub::Ack(v1::Ack {
        n: 1,
        tombstones: Vec::new(),
    })]);
    check(vec![ToHub::Buckets(v1::Buckets::default())]);
    check(vec![ToHub::Inventory(v1::Inventory::default())]);
    check(vec![ToHub::BodyWant(v1::BodyWant::default())]);
}

#[test]
fn an_agent_that_asks_without_reading_is_bounded() {
    let mut bench = Bench::new();
    bench.assign("ConfigMap", "a", &"x".repeat(1 << 20));
    let mut pair = bench.in_sync();
    let digest = Digest::of("x".repeat(1 << 20).as_bytes()).to_wire();
    for n in 0..10_000 {
        pair.say(&bench, ToHub::Ping(v1::Ping { t: n }));
        let digest = digest.clone();
        pair.say(&bench, ToHub::BodyWant(v1::BodyWant { digest, offset: 0 }));
    }
    assert!(pair.queue.len() <= QUEUE_MSGS_MAX + 1);
    assert!(pair.is_closed, "nobody reads");
}

#[test]
fn a_body_comes_in_chunks_and_deltas_pass_between_them() {
    let mut bench = Bench::new();
    // Incompressible, so that it stays large.
    let mut raw = Vec::new();
    let mut digest = Digest::of(b"seed");
    while raw.len() < 1 << 20 {
        digest = Digest::of(digest.as_bytes());
        raw.extend_from_slice(digest.as_bytes());
    }
    let mut pair = bench.in_sync();
    let template = bench.bodies.intern(&raw).unwrap();
    let id = WorkId::from_array([3; 16]);
    let row = v1::Row::default();
    let assignment = Assignment::new(id, Arc::clone(&template), None, row, 7);
    let assignment = Some(Arc::new(assignment));
    bench.shares.set_upsert(&Bench::cluster(), id, assignment);
    pair.share(&bench);
    pair.read_all(&bench);
    for n in 0..QUEUE_MSGS_MAX {
        bench.assign("ConfigMap", &format!("a{n}"), "1");
    }
    pair.share(&bench);
    let want = v1::BodyWant {
        digest: template.digest.to_wire(),
        offset: 0,
    };
    pair.say(&bench, ToHub::BodyWant(want));
    for n in 0..50 {
        bench.assign("ConfigMap", &format!("b{n}"), "1");
    }
    pair.share(&bench);
    let frames = pair.read_all(&bench);
    let mut whole = Vec::new();
    let (mut first, mut last_chunk, mut last_delta) = (usize::MAX, 0, 0);
    for (at, frame) in frames.iter().enumerate() {
        match frame {
            FromHub::BodyChunk(chunk) => {
                assert!(chunk.bytes.len() <= 64 << 10);
                assert_eq!(chunk.offset, whole.len() as u64);
                whole.extend_from_slice(&chunk.bytes);
                (first, last_chunk) = (first.min(at), at);
            }
            FromHub::Delta(_) => last_delta = at,
            _ => {}
        }
    }
    assert_eq!(whole, template.compressed);
    assert!(
        first < last_delta && last_chunk - first > 16,
        "they take turns"
    );
    // Nobody refers to it any more: the rest is refused.
    bench.shares.set_upsert(&Bench::cluster(), id, None);
    let want = v1::BodyWant {
        digest: template.digest.to_wire(),
        offset: 0,
    };
    pair.say(&bench, ToHub::BodyWant(want));
    let frames = pair.read_all(&bench);
    assert!(matches!(frames.as_slice(), [FromHub::BodyChunk(c)] if c.missing));
}

#[test]
fn too_many_derived_removals_are_held_until_released() {
    let mut bench = Bench::new();
    for n in 0..60 {
        bench.assign("ConfigMap", &format!("a{n}"), "1");
    }
    let mut pair = bench.in_sync();
    for n in 0..30 {
        bench.remove("ConfigMap", &format!("a{n}"), true);
    }
    pair.share(&bench);
    assert!(pair.read_all(&bench).is_empty(), "none of them, not some");
    assert_eq!(pair.held(HoldWhy::Brake), 30);
    // What a person deletes goes on, and so do upserts.
    bench.remove("ConfigMap", "a40", false);
    bench.assign("ConfigMap", "new", "1");
    pair.share(&bench);
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames), ["+new", "-a40"]);
    assert_eq!(checkpoint(&frames), None, "not everything was said");
    // Time and a reconnect do not let them go.
    pair.say(&bench, ToHub::Pong(v1::Pong { t: 0 }));
    pair.wait(&mut bench, SECOND * 20);
    bench.now += SECOND * 600;
    let mut pair = bench.in_sync();
    assert_eq!(words(&pair.read_all(&bench)), ["-a40"]);
    assert_eq!(pair.held(HoldWhy::Brake), 30);
    // A person lets two go, then all.
    let two = [0, 1].map(|n| WorkId::new("", "ConfigMap", "", &format!("a{n}"), "uid-edge"));
    let release = |ids| Input::Release {
        approval: "person".into(),
        ids,
    };
    pair.feed(&bench, release(Some(two.into())));
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames).len(), 2);
    assert!(matches!(frames[0], FromHub::Release(_)), "said before it");
    pair.feed(&bench, release(None));
    let frames = pair.read_all(&bench);
    assert_eq!(words(&frames).len(), 28);
    assert!(checkpoint(&frames).is_some());
}

#[test]
fn a_hold_whose_cause_goes_away_ends() {
    let mut bench = Bench::new();
    for n in 0..60 {
        bench.assign("ConfigMap", &format!("a{n}"), "1");
    }
    let mut pair = bench.in_sync();
    let gone: Vec<_> = (0..30)
        .map(|n| bench.remove("ConfigMap", &format!("a{n}"), true))
        .collect();
    pair.share(&bench);
    assert_eq!(pair.held(HoldWhy::Brake), 30);
    for (n, (id, made_at)) in gone.into_iter().enumerate() {
        bench.shares.strike(&Bench::cluster(), id, made_at);
        bench.assign("ConfigMap", &format!("a{n}"), "1");
    }
    pair.share(&bench);
    assert!(pair.machine.held().is_empty());
    bench.remove("ConfigMap", "a50", true);
    pair.share(&bench);
    assert_eq!(words(&pair.read_all(&bench)).last().unwrap(), "-a50");
}

#[test]
fn a_new_leader_makes_no_derived_removal_for_a_minute() {
    let mut bench = Bench::new();
    bench.led_since = bench.now;
    bench.assign("ConfigMap", "a", "1");
    bench.assign("ConfigMap", "b", "1");
    let mut pair = bench.in_sync();
    bench.remove("ConfigMap", "a", true);
    bench.remove("ConfigMap", "b", false);
    pair.share(&bench);
    assert_eq!(words(&pair.read_all(&bench)), ["-b"]);
    assert_eq!(pair.held(HoldWhy::NewLeader), 1);
    for _ in 0..5 {
        pair.wait(&mut bench, SECOND * 10);
        pair.say(&bench, ToHub::Pong(v1::Pong { t: 0 }));
        assert!(words(&pair.read_all(&bench)).is_empty());
    }
    pair.wait(&mut bench, SECOND * 10);
    assert_eq!(words(&pair.read_all(&bench)), ["-a"]);
}
