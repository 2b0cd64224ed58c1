//! A writing process is killed again and again: nothing acknowledged is lost, no revision is
//! given twice, every start works.
//!
//! The test binary starts itself as the writer. What it begins and what was acknowledged goes,
//! line by line, into a pipe that outlives it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use flotilla_kubeapi::store::redb::RedbStore;
use flotilla_kubeapi::store::{Entry, Operation, Revision, Store, Write};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::Directory;

const KILLS: usize = 40;
const TASKS: u64 = 8;
const KEYS: u64 = 4;
const DIRECTORY_VARIABLE: &str = "FLOTILLA_TEST_WRITER_DIRECTORY";
const SEED_VARIABLE: &str = "FLOTILLA_TEST_WRITER_SEED";

fn rng(seed: u64) -> TestRng {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// One write of the log.
#[derive(Debug)]
struct Logged {
    /// What the key holds afterwards; none = deleted.
    value: Option<String>,
    lazy: bool,
    acknowledged: Option<Revision>,
}

/// All writes by key, in the order in which they were begun.
type Log = BTreeMap<String, Vec<Logged>>;

#[test]
fn a_killed_writer_loses_nothing() {
    if let Ok(directory) = std::env::var(DIRECTORY_VARIABLE) {
        let seed = std::env::var(SEED_VARIABLE).unwrap().parse().unwrap();
        write_forever(Path::new(&directory), seed);
    }
    let directory = Directory::new();
    let mut given = BTreeSet::new();
    let mut before = BTreeMap::new();
    let mut log = Log::new();
    let (mut open_batches, mut acknowledged) = (0, 0);
    for kill in 0..KILLS {
        let seed = kill as u64;
        let lines = 1 + (rng(1_000 + seed).next_u32() % 400) as usize;
        let said = run_and_kill(&directory.0, seed, lines);
        let is_open = |one: &Logged| one.acknowledged.is_none() && !one.lazy;
        open_batches += usize::from(said.values().flatten().any(is_open));
        let newest = given.last().copied().unwrap_or_default();
        for revision in said.values().flatten().filter_map(|one| one.acknowledged) {
            assert!(
                revision > newest,
                "seed {seed}: {revision} was given before"
            );
            assert!(
                given.insert(revision),
                "seed {seed}: {revision} given twice"
            );
            acknowledged += 1;
        }
        for (key, writes) in said {
            log.entry(key).or_default().extend(writes);
        }
        // Every other time the next writer itself starts over what the crash left.
        if kill % 2 == 1 {
            let newest = given.last().copied().unwrap_or_default();
            let after = open_and_read(&directory.0, newest);
            check(seed, &std::mem::take(&mut log), &before, &after);
            before = after;
        }
    }
    println!("{KILLS} kills, {open_batches} inside an open batch, {acknowledged} acknowledged");
    assert!(open_batches * 10 >= KILLS * 3);
    assert!(acknowledged > KILLS);
}

fn open_and_read(directory: &Path, newest: Revision) -> BTreeMap<String, Entry> {
    let store = RedbStore::open(directory).unwrap();
    assert!(store.revision() > newest, "clients saw {newest}");
    let entries = store.range("/", "", 0, 0).unwrap().entries.into_iter();
    entries
        .map(|entry| (entry.key.to_string(), entry))
        .collect()
}

/// Each key holds its last acknowledged durable write, or one that was begun after it.
fn check(seed: u64, log: &Log, before: &BTreeMap<String, Entry>, after: &BTreeMap<String, Entry>) {
    let text = |entries: &BTreeMap<String, Entry>, key: &str| {
        let entry = entries.get(key)?;
        Some(String::from_utf8_lossy(&entry.value).into_owned())
    };
    for key in before.keys().chain(after.keys()) {
        if !log.contains_key(key) {
            assert_eq!(text(before, key), text(after, key), "seed {seed}: {key}");
        }
    }
    for (key, writes) in log {
        let durable = |one: &Logged| one.acknowledged.is_some() && !one.lazy;
        let first = writes.iter().rposition(durable);
        let mut allowed: Vec<_> = writes[first.unwrap_or(0)..]
            .iter()
            .map(|one| (one.value.clone(), one.acknowledged))
            .collect();
        if first.is_none() {
            allowed.push((
                text(before, key),
                before.get(key).map(|entry| entry.revision),
            ));
        }
        let found = text(after, key);
        let same = allowed.iter().filter(|(value, _)| *value == found);
        let revisions: Vec<_> = same.map(|(_, revision)| *revision).collect();
        assert!(
            !revisions.is_empty(),
            "seed {seed}: {key} {found:?} not in {writes:?}"
        );
        if let Some(entry) = after.get(key) {
            let known = revisions
                .iter()
                .all(|revision| revision.is_none_or(|one| one == entry.revision));
            assert!(
                known,
                "seed {seed}: {key} at {} not {revisions:?}",
                entry.revision
            );
        }
    }
}

/// Starts a writer, kills it after so many lines, answers all that it said.
fn run_and_kill(directory: &Path, seed: u64, lines: usize) -> Log {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "store::crash::a_killed_writer_loses_nothing",
            "--exact",
            "--nocapture",
        ])
        .env(DIRECTORY_VARIABLE, directory)
        .env(SEED_VARIABLE, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut log = Log::new();
    let mut count = 0;
    for line in said.by_ref() {
        count += usize::from(take(&mut log, &line.unwrap()));
        if count == lines {
            child.kill().unwrap();
            break;
        }
    }
    // What was in the pipe when it died was said as well; a line that it did not end was not.
    for line in said {
        take(&mut log, &line.unwrap());
    }
    child.wait().unwrap();
    assert!(count >= lines, "seed {seed}: the writer ended by itself");
    log
}

/// `begin KEY VALUE LAZY .` and `done KEY REVISION .`; the test runner's own lines are others.
fn take(log: &mut Log, line: &str) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    match words.as_slice() {
        ["begin", key, value, lazy, "."] => {
            log.entry((*key).to_owned()).or_default().push(Logged {
                value: (*value != "-").then(|| (*value).to_owned()),
                lazy: *lazy == "true",
                acknowledged: None,
            })
        }
        ["done", key, revision, "."] => {
            let last = log
                .get_mut(*key)
                .and_then(|writes| writes.last_mut())
                .unwrap();
            last.acknowledged = Some(revision.parse().unwrap());
        }
        _ => return false,
    }
    true
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe means that nobody listens any more: nothing to say then.
    drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
}

/// The writer: tasks with keys of their own, until the process is killed.
fn write_forever(directory: &Path, seed: u64) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let store = Arc::new(RedbStore::open(directory).unwrap());
    for task in 0..TASKS {
        let store = Arc::clone(&store);
        runtime.spawn(async move {
            let mut rng = rng(seed * TASKS + task);
            for round in 0_u64.. {
                let key = format!("/registry/core/configmaps/{task}/{}", rng.next_u64() % KEYS);
                let value = format!(
                    "{seed}.{round}.{}",
                    "x".repeat((rng.next_u32() % 2_000) as usize)
                );
                write_one(&store, &key, value, rng.next_u32()).await;
            }
        });
    }
    loop {
        std::thread::park();
    }
}

async fn write_one(store: &RedbStore, key: &str, value: String, dice: u32) {
    let expected = store.get(key).unwrap().map_or(0, |entry| entry.revision);
    let lazy = dice % 10 < 3;
    let operation = if expected > 0 && dice.is_multiple_of(7) {
        Operation::Delete
    } else {
        Operation::Put(value.clone().into())
    };
    let text = if operation == Operation::Delete {
        "-"
    } else {
        &*value
    };
    say(&format!("\nbegin {key} {text} {lazy} .\n"));
    let write = Write {
        key: key.into(),
        expected,
        operation,
        lazy,
        sealed: dice.is_multiple_of(2),
    };
    let revision = store.write(write).await.unwrap();
    say(&format!("\ndone {key} {revision} .\n"));
}
