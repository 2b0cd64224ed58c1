//! Random writes, compactions and reads, against the plainest model: every state by revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_kubeapi::store::{Operation, Revision, Store, StoreError, Write, WriteError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

type State = BTreeMap<String, (String, Revision, Revision)>;

#[derive(Debug, Clone)]
enum Step {
    /// Key, value (none = delete), whether the revision is the right one, lazy, sealed.
    Write(u8, Option<u8>, bool, bool, bool),
    /// How many states back to read from, limit, first key.
    Range(usize, usize, u8),
    /// How many states back.
    Changes(usize),
    /// How many states back.
    Compact(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (
        0..5_u8,
        proptest::option::weighted(0.7, any::<u8>()),
        proptest::bool::weighted(0.9),
        any::<bool>(),
        any::<bool>(),
    );
    let step = prop_oneof![
        6 => write.prop_map(|(key, value, right, lazy, sealed)| Step::Write(key, value, right, lazy, sealed)),
        3 => (0..12_usize, 0..4_usize, 0..6_u8).prop_map(|(back, limit, from)| Step::Range(back, limit, from)),
        2 => (0..12_usize).prop_map(Step::Changes),
        1 => (0..12_usize).prop_map(Step::Compact),
    ];
    proptest::collection::vec(step, 1..40)
}

fn key(number: u8) -> String {
    format!("/k/{number}")
}

/// The model: states by revision, and what may still be read.
struct Model {
    states: BTreeMap<Revision, State>,
    changes: Vec<(Revision, String, Option<String>)>,
    oldest: Revision,
}

impl Model {
    fn back(&self, steps: usize) -> Revision {
        let revisions = self.states.keys().rev();
        *revisions
            .clone()
            .nth(steps)
            .unwrap_or_else(|| self.states.keys().next().expect("there is a first state"))
    }

    fn now(&self) -> &State {
        self.states.values().next_back().expect("there is a state")
    }
}

/// Runs random steps on stores that `make` gives, with what must outlive them.
pub(crate) fn check<S: Store, G>(cases: u32, make: impl Fn() -> (Arc<S>, G)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let (store, _guard) = make();
            let first = store.revision();
            let mut model = Model {
                states: BTreeMap::from([(first, State::new())]),
                changes: Vec::new(),
                oldest: first,
            };
            for step in steps {
                match step {
                    Step::Write(number, value, right, lazy, sealed) => {
                        let write = mk_write(&model, number, value, right);
                        let write = Write {
                            lazy,
                            sealed,
                            ..write
                        };
                        runtime.block_on(write_both(&*store, &mut model, write));
                    }
                    Step::Range(back, limit, from) => {
                        range_both(&*store, &model, back, limit, from)
                    }
                    Step::Changes(back) => changes_both(&*store, &model, back),
                    Step::Compact(back) => {
                        let revision = model.back(back);
                        store.compact(revision).unwrap();
                        model.oldest = model.oldest.max(revision);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

fn mk_write(model: &Model, number: u8, value: Option<u8>, right: bool) -> Write {
    let present = model.now().get(&key(number)).map_or(0, |found| found.1);
    let operation = match value {
        Some(value) => Operation::Put(format!("v{value}").into()),
        None => Operation::Delete,
    };
    Write {
        key: key(number).into(),
        expected: if right { present } else { present + 1 },
        operation,
        lazy: false,
        sealed: false,
    }
}

async fn write_both(store: &dyn Store, model: &mut Model, write: Write) {
    let mut state = model.now().clone();
    let present = state.get(&*write.key).cloned();
    let at = present.as_ref().map_or(0, |found| found.1);
    let may = write.expected == at && (present.is_some() || write.operation != Operation::Delete);
    match store.write(write.clone()).await {
        Ok(revision) => {
            assert!(may, "{write:?} over {present:?}");
            assert!(revision > model.back(0), "revisions ascend");
            let value = match &write.operation {
                Operation::Put(value) => {
                    let text = String::from_utf8(value.to_vec()).unwrap();
                    let created = present.map_or(revision, |found| found.2);
                    state.insert(write.key.to_string(), (text.clone(), revision, created));
                    Some(text)
                }
                Operation::Delete => {
                    state.remove(&*write.key);
                    None
                }
            };
            model.states.insert(revision, state);
            model.changes.push((revision, write.key.to_string(), value));
        }
        Err(WriteError::Conflict(found)) => {
            assert!(!may, "{write:?} over {present:?}");
            assert_eq!(found.map(|entry| entry.revision), present.map(|one| one.1));
        }
        Err(WriteError::Store(error)) => panic!("{error}"),
    }
}

fn range_both(store: &dyn Store, model: &Model, back: usize, limit: usize, from: u8) {
    let at = model.back(back);
    let found = store.range("/k/", &key(from), at, limit);
    if at < model.oldest {
        assert!(matches!(found, Err(StoreError::Compacted { .. })));
        return;
    }
    let page = found.unwrap();
    let mut expected: Vec<_> = model.states[&at].range(key(from)..).collect();
    let all = expected.len();
    if limit > 0 {
        expected.truncate(limit);
    }
    assert_eq!(page.remaining, all - expected.len());
    assert_eq!(page.more, page.remaining > 0);
    let found = page.entries.iter().map(|entry| {
        let value = String::from_utf8(entry.value.to_vec()).unwrap();
        (
            entry.key.to_string(),
            (value, entry.revision, entry.created),
        )
    });
    let expected = expected
        .into_iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

fn changes_both(store: &dyn Store, model: &Model, back: usize) {
    let after = model.back(back);
    let found = store.changes(after);
    if after < model.oldest {
        assert!(matches!(found, Err(StoreError::Compacted { .. })));
        return;
    }
    let mut changes_rx = found.unwrap();
    let mut seen = Vec::new();
    while let Ok(change) = changes_rx.try_recv() {
        let value = change
            .value
            .as_ref()
            .map(|value| String::from_utf8(value.to_vec()).unwrap());
        seen.push((change.revision, change.key.to_string(), value));
    }
    let expected = model.changes.iter().filter(|change| change.0 > after);
    assert_eq!(seen, expected.cloned().collect::<Vec<_>>());
}
