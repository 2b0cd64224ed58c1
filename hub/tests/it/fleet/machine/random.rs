//! Random changes, slow reads and cut links: the member always ends with exactly its share, loses
//! nothing without a tombstone, and an acknowledged tombstone is settled once.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Assign(u8, u8),
    Remove(u8),
    Share,
    Read(u8),
    Cut,
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12u8, 0..3u8).prop_map(|(n, content)| Step::Assign(n, content)),
        2 => (0..12u8).prop_map(Step::Remove),
        4 => Just(Step::Share),
        4 => (0..8u8).prop_map(Step::Read),
        1 => Just(Step::Cut),
        1 => (0..12u8).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..80)
}

/// An agent that does what it is told at once.
struct Run {
    bench: Bench,
    member: Member,
    pair: Option<Pair>,
    wanted: BTreeSet<u8>,
    last_n: Option<u64>,
    /// Acknowledged and not yet struck at the front door.
    settled: BTreeSet<(WorkId, u64)>,
}

impl Run {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            member: Member::default(),
            pair: None,
            wanted: BTreeSet::new(),
            last_n: None,
            settled: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Assign(n, content) => {
                let (name, content) = (format!("w{n}"), content.to_string());
                self.bench.assign("ConfigMap", &name, &content);
                self.wanted.insert(n);
            }
            Step::Remove(n) => {
                if self.wanted.remove(&n) {
                    self.bench.remove("ConfigMap", &format!("w{n}"), false);
                }
            }
            Step::Share => self.share(),
            Step::Read(msgs) => self.read(msgs.into()),
            Step::Cut => self.pair = None,
            Step::Wait(secs) => {
                if let Some(pair) = &mut self.pair {
                    pair.wait(&mut self.bench, SECOND * secs.into());
                    if pair.is_closed {
                        self.pair = None;
                    }
                }
            }
        }
    }

    fn share(&mut self) {
        if let Some(pair) = &mut self.pair {
            return pair.share(&self.bench);
        }
        let mut pair = self.bench.pair();
        let hello = v1::Hello {
            set_digest: self.member.set.digest().to_wire(),
            cursor: self.member.cursor.clone(),
            ..self.bench.hello()
        };
        pair.say(&self.bench, ToHub::Hello(hello));
        self.pair = Some(pair);
        self.last_n = None;
    }

    fn read(&mut self, msgs: usize) {
        let Some(mut pair) = self.pair.take() else {
            return;
        };
        let msgs = msgs.min(pair.queue.len());
        let taken: Vec<_> = pair.queue.drain(..msgs).collect();
        let bytes = taken.iter().map(|(_, bytes)| bytes).sum();
        pair.feed(&self.bench, Input::Drained { msgs, bytes });
        for (frame, _) in taken {
            if let Some(answer) = self.hear(frame.frame.unwrap()) {
                pair.say(&self.bench, answer);
            }
        }
        for fact in std::mem::take(&mut pair.facts) {
            if let Fact::Settled { id, made_at } = fact {
                assert!(self.settled.insert((id, made_at)), "settled twice");
                self.bench.shares.strike(&Bench::cluster(), id, made_at);
            }
        }
        if !pair.is_closed {
            self.pair = Some(pair);
        }
    }

    fn hear(&mut self, frame: FromHub) -> Option<ToHub> {
        match frame {
            FromHub::Welcome(welcome) if welcome.mode() == v1::Mode::Diff => {
                let digests = self.member.set.bucket_digests();
                Some(ToHub::Buckets(v1::Buckets { digests }))
            }
            FromHub::BucketWant(want) => {
                let buckets = want.buckets.iter();
                let items = buckets.flat_map(|b| self.member.set.bucket(*b));
                let items = items.map(|(id, content)| v1::InventoryItem {
                    id: id.to_wire(),
                    content_digest: content.to_wire(),
                    generation: None,
                    state: v1::WorkState::Live.into(),
                });
                let items = items.collect();
                Some(ToHub::Inventory(v1::Inventory { items, last: true }))
            }
            FromHub::Delta(delta) => self.apply(delta),
            FromHub::Checkpoint(checkpoint) => {
                assert!(self.last_n.is_none_or(|n| n == checkpoint.n));
                let ours = self.member.set.digest().to_wire();
                assert_eq!(checkpoint.set_digest, ours, "a cut that is not consistent");
                self.member.cursor = checkpoint.cursor;
                None
            }
            FromHub::Hold(hold) => {
                assert!(hold.unknown.is_empty(), "a work that was never removed");
                None
            }
            FromHub::Ping(ping) => Some(ToHub::Pong(v1::Pong { t: ping.t })),
            _ => None,
        }
    }

    fn apply(&mut self, delta: v1::Delta) -> Option<ToHub> {
        assert!(self.last_n.is_none_or(|n| n == delta.prev_n), "a gap");
        self.last_n = Some(delta.n);
        match delta.op.unwrap() {
            Op::Upsert(upsert) => {
                let id = WorkId::from_wire(&upsert.id).unwrap();
                let template = Digest::from_wire(&upsert.template_digest).unwrap();
                let row = upsert.row.unwrap();
                let content = flotilla_proto::digest::content(template, None, &row);
                self.member.works.insert(id, content);
                self.member.set.insert(id, content);
                None
            }
            Op::Tombstone(gone) => {
                let id = WorkId::from_wire(&gone.id).unwrap();
                self.member.works.remove(&id);
                self.member.set.remove(id);
                let settled = v1::SettledTombstone {
                    id: gone.id,
                    made_at: gone.made_at,
                };
                Some(ToHub::Ack(v1::Ack {
                    n: delta.n,
                    tombstones: vec![settled],
                }))
            }
        }
    }

    /// The last fault is over.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.share();
            self.read(usize::MAX);
        }
        let share = self.bench.shares.set(&Bench::cluster());
        assert_eq!(self.member.set.digest(), share.digest());
        assert_eq!(self.member.works.len(), self.wanted.len());
        assert!(self.member.unknown.is_empty());
        let pair = self.pair.as_mut().expect("a session is up");
        assert!(pair.queue.is_empty(), "it is quiet");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_member_ends_with_its_share(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.settle();
    }
}
