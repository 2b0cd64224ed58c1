//! What the store on a disk promises beyond the contract.

use std::path::Path;
use std::sync::Arc;

use flotilla_kubeapi::store::redb::{OpenError, RedbStore};
use flotilla_kubeapi::store::sealer::SealError;
use flotilla_kubeapi::store::{Store, StoreError, Write};
use futures::future::join_all;

use super::{Directory, contract, delete, model, put};

#[tokio::test]
async fn redb_keeps_the_contract() {
    for (name, case) in contract::cases() {
        eprintln!("contract: {name}");
        let directory = Directory::new();
        case(Arc::new(RedbStore::open(&directory.0).unwrap())).await;
    }
}

#[test]
fn redb_does_what_the_model_does() {
    model::check(20, || {
        let directory = Directory::new();
        let store = RedbStore::open(&directory.0).unwrap();
        (Arc::new(store), directory)
    });
}

#[tokio::test]
async fn an_orderly_start_goes_on_where_it_ended() {
    let directory = Directory::new();
    let store = RedbStore::open(&directory.0).unwrap();
    let a1 = store.write(put("/a", 0, "1")).await.unwrap();
    let a2 = store.write(put("/a", a1, "2")).await.unwrap();
    let b1 = store.write(put("/b", 0, "1")).await.unwrap();
    store.write(delete("/b", b1)).await.unwrap();
    let lazy = Write {
        lazy: true,
        ..put("/c", 0, "lazy")
    };
    let last = store.write(lazy).await.unwrap();
    let before = store.range("/", "", 0, 0).unwrap();
    drop(store);

    let store = RedbStore::open(&directory.0).unwrap();
    assert_eq!(store.revision(), last);
    let after = store.range("/", "", 0, 0).unwrap();
    assert_eq!(after.entries, before.entries);
    let mut changes_rx = store.changes(last).unwrap();
    let older = store.changes(last - 1).map(drop);
    assert!(matches!(older, Err(StoreError::Compacted { .. })));
    let a3 = store.write(put("/a", a2, "3")).await.unwrap();
    assert_eq!(a3, last + 1);
    assert_eq!(changes_rx.recv().await.unwrap().revision, a3);
    assert_eq!(store.get("/a").unwrap().unwrap().created, a1);
}

#[tokio::test]
async fn a_batch_has_one_commit() {
    let directory = Directory::new();
    let store = RedbStore::open(&directory.0).unwrap();
    let start = store.commits();
    let revision = store.write(put("/a", 0, "1")).await.unwrap();
    assert_eq!(store.commits(), start + 1, "acknowledged after its commit");
    let lazy = Write {
        lazy: true,
        ..put("/a", revision, "2")
    };
    store.write(lazy).await.unwrap();
    let writes = (0..500).map(|number| store.write(put(&format!("/k/{number}"), 0, "v")));
    for answer in join_all(writes).await {
        answer.unwrap();
    }
    let commits = store.commits() - start - 1;
    assert!(
        (1..100).contains(&commits),
        "{commits} commits of 500 writes"
    );
}

#[test]
fn a_second_opener_is_told() {
    let directory = Directory::new();
    let store = RedbStore::open(&directory.0).unwrap();
    let error = RedbStore::open(&directory.0).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    let path = directory.0.display();
    assert_eq!(
        error.to_string(),
        format!("data directory {path} is in use by another process")
    );
    drop(store);
    RedbStore::open(&directory.0).unwrap();
}

/// Names of the files that hold these bytes, and how many files there are.
fn holders(directory: &Path, bytes: &[u8]) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    let mut files = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        files += 1;
        let content = std::fs::read(file.path()).unwrap();
        if content.windows(bytes.len()).any(|window| window == bytes) {
            found.push(file.file_name().to_string_lossy().into_owned());
        }
    }
    (found, files)
}

#[tokio::test]
async fn sealed_values_are_in_no_file() {
    let directory = Directory::new();
    let (secret, open) = ("canary-d41c1b0f7a", "kanarienvogel-9e1");
    let store = RedbStore::open(&directory.0).unwrap();
    for (number, lazy) in [false, true, false].into_iter().enumerate() {
        for (kind, value, sealed) in [("secrets", secret, true), ("configmaps", open, false)] {
            let write = put(&format!("/registry/core/{kind}/x/{number}"), 0, value);
            store
                .write(Write {
                    lazy,
                    sealed,
                    ..write
                })
                .await
                .unwrap();
        }
    }
    // The last write was strict: all that came before is in the file too.
    let check = || {
        assert_eq!(holders(&directory.0, secret.as_bytes()), (vec![], 3));
        let (found, _) = holders(&directory.0, open.as_bytes());
        assert_eq!(found, ["objects.redb"], "the search finds what is there");
    };
    check();
    let before = store.range("/", "", 0, 0).unwrap().entries;
    drop(store);
    check();
    let store = RedbStore::open(&directory.0).unwrap();
    assert_eq!(store.range("/", "", 0, 0).unwrap().entries, before);
    assert_eq!(before.len(), 6);
    check();
    drop(store);
    std::fs::remove_file(directory.0.join("sealing.key")).unwrap();
    match RedbStore::open(&directory.0).unwrap_err() {
        OpenError::Sealed { key, source } => {
            assert_eq!(key, "/registry/core/secrets/x/0");
            assert!(matches!(source, SealError::UnknownKey(_)));
        }
        other => panic!("{other}"),
    }
}
