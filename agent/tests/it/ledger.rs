//! The ledger over Secrets: journal, pages and packs, and a crash between any two writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use flotilla_agent::ledger::bodies::{Bodies, Packs};
use flotilla_agent::ledger::records::{Record, State};
use flotilla_agent::ledger::state::{Batch, Ledger, Marks};
use flotilla_agent::ledger::{LedgerError, Secrets};
use flotilla_agent::member::memory::{Fault, MemoryMember};
use flotilla_agent::retry::Rng;
use flotilla_proto::convert::body;
use flotilla_proto::digest::Digest;
use flotilla_proto::ids::{Generation, WorkId};
use flotilla_proto::v1;

use crate::rig::block_on;

fn mk_record(name: u64, n: u64) -> Record {
    Record {
        id: WorkId::new("", "ConfigMap", "ns", &name.to_string(), "uid"),
        generation: Generation { term: 1, n },
        made_at: n,
        template: Digest::of(&n.to_le_bytes()),
        overrides: Some(Digest::of(&name.to_le_bytes())),
        row: v1::Row {
            object: Some(v1::ObjectRef {
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: "namespace".into(),
                name: format!("some-name-{name}"),
            }),
            ..v1::Row::default()
        },
        state: State::Live,
        removal: None,
        refused: None,
    }
}

fn mk_marks(n: u64) -> Marks {
    Marks {
        cursor: Bytes::from(n.to_string()),
        high_water: v1::HighWater {
            n,
            ..v1::HighWater::default()
        },
        max_epoch: v1::Epoch::default(),
    }
}

fn mk_secrets(member: &MemoryMember) -> Secrets {
    Secrets::new(Arc::new(member.clone()), "flotilla-system")
}

async fn load(member: &MemoryMember) -> Result<Ledger, LedgerError> {
    let secrets = mk_secrets(member);
    let all = secrets.read_all().await?;
    Ledger::load(secrets, &all, 1000).await
}

fn view(ledger: &Ledger) -> (Marks, BTreeMap<WorkId, Record>) {
    let records = ledger.records().map(|r| (r.id, r.clone())).collect();
    (ledger.marks(), records)
}

#[test]
fn thousands_of_records_survive_in_pages_and_journal() {
    block_on(async {
        let member = MemoryMember::default();
        let mut ledger = load(&member).await.expect("empty");
        let fence = ledger.take_fence(7).await.expect("free");
        assert_eq!(fence, 8);
        let mut n = 0;
        let mut want = BTreeMap::new();
        for size in [1, 40, 3000, 5, 700, 1, 1] {
            let records: Vec<_> = (0..size).map(|i| mk_record(i * 3 % 3500, n + i)).collect();
            n += size;
            want.extend(records.iter().map(|r| (r.id, r.clone())));
            let batch = Batch {
                records,
                marks: mk_marks(n),
            };
            ledger.commit(&batch, 1000).await.expect("writes");
            let again = load(&member).await.expect("reads");
            assert_eq!(view(&again), (mk_marks(n), want.clone()));
        }
        let small = member.writes().len();
        let batch = Batch {
            records: vec![mk_record(1, n + 1)],
            marks: mk_marks(n + 1),
        };
        ledger.commit(&batch, 1000).await.expect("writes");
        assert_eq!(
            member.writes().len() - small,
            1,
            "one write for a small window"
        );
    });
}

#[test]
fn gone_works_are_forgotten_after_thirty_days() {
    block_on(async {
        let member = MemoryMember::default();
        let mut ledger = load(&member).await.expect("empty");
        let gone = Record {
            state: State::Gone { at_unix: 1000 },
            ..mk_record(1, 1)
        };
        let mut batch = Batch {
            records: vec![gone.clone()],
            marks: mk_marks(1),
        };
        ledger.commit(&batch, 1000).await.expect("writes");
        for (now_unix, remembered) in [(1000 + 29 * 86_400, true), (1000 + 31 * 86_400, false)] {
            batch.records = (0..1200).map(|i| mk_record(i + 10, i)).collect();
            ledger.commit(&batch, now_unix).await.expect("writes");
            let again = load(&member).await.expect("reads");
            assert_eq!(again.records().any(|r| r.id == gone.id), remembered);
        }
    });
}

/// Whatever is stored after a crash is the state before or after the window, and the next try ends
/// with the state after it.
#[test]
fn a_crash_between_any_two_writes_loses_nothing() {
    block_on(async {
        let windows: Vec<Batch> = [3, 700, 10]
            .iter()
            .scan(0, |n, size| {
                let records = (0..*size).map(|i| mk_record(i * 7 % 900, *n + i)).collect();
                *n += size;
                Some(Batch {
                    records,
                    marks: mk_marks(*n),
                })
            })
            .collect();
        let mut crashes = 0;
        for at in 0.. {
            let faults = [Fault::Before(at), Fault::After(at)];
            let mut struck = false;
            for fault in faults {
                struck |= crash_once(&windows, fault).await;
            }
            if !struck {
                break;
            }
            crashes += 1;
        }
        assert!(crashes > 15, "{crashes} writes were interrupted");
    });
}

async fn crash_once(windows: &[Batch], fault: Fault) -> bool {
    let member = MemoryMember::default();
    let mut ledger = load(&member).await.expect("empty");
    ledger.take_fence(0).await.expect("free");
    member.set_fault(Some(fault));
    let mut want = BTreeMap::new();
    let mut struck = false;
    for batch in windows {
        let before = want.clone();
        want.extend(batch.records.iter().map(|r| (r.id, r.clone())));
        if ledger.commit(batch, 1000).await.is_ok() {
            continue;
        }
        struck = true;
        member.set_fault(None);
        let (_, stored) = view(&load(&member).await.expect("reads"));
        for (id, record) in &stored {
            assert!(want.get(id) == Some(record) || before.get(id) == Some(record));
        }
        assert!(
            before.keys().all(|id| stored.contains_key(id)),
            "nothing is lost"
        );
        // The same process tries again, or the next one begins over what is stored.
        let retried = ledger.commit(batch, 1000).await;
        retried.expect("the next try succeeds");
        assert_eq!(
            view(&load(&member).await.expect("reads")),
            (batch.marks.clone(), want.clone())
        );
    }
    let stored = view(&load(&member).await.expect("reads"));
    assert_eq!(stored.1, want);
    struck
}

#[test]
fn a_former_leader_cannot_write() {
    block_on(async {
        let member = MemoryMember::default();
        let mut old = load(&member).await.expect("empty");
        old.take_fence(0).await.expect("free");
        let many = Batch {
            records: (0..2000).map(|i| mk_record(i, i)).collect(),
            marks: mk_marks(1),
        };
        old.commit(&many, 1000).await.expect("leads");
        let mut new = load(&member).await.expect("reads");
        assert_eq!(new.take_fence(0).await.expect("free"), 2);
        let later = Batch {
            records: (0..2000).map(|i| mk_record(i, i + 5000)).collect(),
            marks: mk_marks(2),
        };
        new.commit(&later, 1000).await.expect("leads");
        let stale = Batch {
            records: (0..2000).map(|i| mk_record(i, i + 1)).collect(),
            marks: mk_marks(3),
        };
        let refused = old.commit(&stale, 1000).await;
        assert!(
            matches!(refused, Err(LedgerError::NotLeader { .. })),
            "{refused:?}"
        );
        let want: BTreeMap<_, _> = later.records.iter().map(|r| (r.id, r.clone())).collect();
        assert_eq!(
            view(&load(&member).await.expect("reads")),
            (mk_marks(2), want)
        );
    });
}

fn mk_body(seed: u64, bytes: usize) -> (Digest, Bytes) {
    let mut rng = Rng::new(seed);
    let raw: Vec<u8> = (0..bytes).map(|_| rng.next_u64() as u8).collect();
    (
        Digest::of(&raw),
        body::compress(&raw).expect("small enough"),
    )
}

#[test]
fn packs_hold_what_is_wanted_through_any_crash_and_let_go_of_the_rest() {
    block_on(async {
        let member = MemoryMember::default();
        let secrets = mk_secrets(&member);
        let bodies = Bodies::default();
        let sizes = [100, 5000, 60_000, 90_000, 1_400_000, 10];
        let all: Vec<_> = (0..30_u64)
            .map(|seed| mk_body(seed, sizes[seed as usize % sizes.len()]))
            .collect();
        let mut rng = Rng::new(3);
        for (digest, bytes) in &all {
            bodies.put(*digest, bytes.clone());
        }
        for round in 0..25 {
            let fault = Fault::After(rng.next_u64() as usize % 3);
            member.set_fault((round % 2 == 0).then_some(fault));
            let mut stored = secrets.read_all().await.expect("reads");
            let found = Bodies::default();
            let mut packs = Packs::load(&mut stored, &found);
            let wanted: BTreeSet<Digest> = all
                .iter()
                .filter(|_| rng.next_u64().is_multiple_of(3))
                .map(|(digest, _)| *digest)
                .collect();
            let first = packs.sync(&secrets, &wanted, &bodies).await;
            member.set_fault(None);
            if first.is_err() {
                for _ in 0..3 {
                    packs.sync(&secrets, &wanted, &bodies).await.ok();
                }
            }
            let mut stored = secrets.read_all().await.expect("reads");
            let found = Bodies::default();
            let packs = Packs::load(&mut stored, &found);
            for (digest, bytes) in all.iter().filter(|(d, _)| wanted.contains(d)) {
                assert_eq!(found.get(*digest), Some(bytes.clone()), "round {round}");
            }
            let kept = packs.digests().len();
            assert!(
                kept <= wanted.len() * 2 + 8,
                "{kept} kept of {} wanted",
                wanted.len()
            );
        }
        let mut stored = secrets.read_all().await.expect("reads");
        let mut packs = Packs::load(&mut stored, &Bodies::default());
        packs
            .sync(&secrets, &BTreeSet::new(), &bodies)
            .await
            .expect("writes");
        assert!(
            secrets.read_all().await.expect("reads").is_empty(),
            "nothing is left over"
        );
    });
}
