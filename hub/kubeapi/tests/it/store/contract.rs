//! What every store promises, each promise as a case over an empty store.

use std::sync::Arc;

use flotilla_kubeapi::store::{Page, Revision, Store, StoreError, WriteError};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::{delete, put};

type Case = fn(Arc<dyn Store>) -> BoxFuture<'static, ()>;

/// All promises.
pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("compare and swap", |store| compare(store).boxed()),
        ("conflicts name what is there", |store| {
            conflicts(store).boxed()
        }),
        ("ranges and pages", |store| ranges(store).boxed()),
        ("the past stays", |store| past(store).boxed()),
        ("changes in order", |store| changes(store).boxed()),
        ("compaction", |store| compaction(store).boxed()),
        ("writers at once", |store| crowd(store).boxed()),
        ("one winner per key", |store| race(store).boxed()),
        ("lazy writes", |store| lazy(store).boxed()),
        ("a slow receiver is cut", |store| slow(store).boxed()),
    ]
}

fn show(page: &Page) -> Vec<String> {
    let entries = page.entries.iter();
    entries
        .map(|entry| format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)))
        .collect()
}

fn all(store: &dyn Store, at: Revision) -> Vec<String> {
    show(&store.range("/", "", at, 0).unwrap())
}

async fn compare(store: Arc<dyn Store>) {
    assert!(store.revision() > 0);
    assert_eq!(store.get("/a").unwrap(), None);
    let first = store.write(put("/a", 0, "1")).await.unwrap();
    let second = store.write(put("/a", first, "2")).await.unwrap();
    assert!(second > first);
    assert!(store.revision() >= second);
    let entry = store.get("/a").unwrap().unwrap();
    assert_eq!(
        (&*entry.value, entry.revision, entry.created),
        (&b"2"[..], second, first)
    );
    let third = store.write(delete("/a", second)).await.unwrap();
    assert_eq!(store.get("/a").unwrap(), None);
    let fourth = store.write(put("/a", 0, "3")).await.unwrap();
    assert!(fourth > third);
    let entry = store.get("/a").unwrap().unwrap();
    assert_eq!((entry.revision, entry.created), (fourth, fourth));
}

async fn conflicts(store: Arc<dyn Store>) {
    let first = store.write(put("/a", 0, "1")).await.unwrap();
    for write in [
        put("/a", 0, "x"),
        put("/a", first + 1, "x"),
        delete("/a", 0),
        delete("/a", first + 1),
        put("/b", first, "x"),
        delete("/b", first),
        delete("/b", 0),
    ] {
        let present = store.get(&write.key).unwrap();
        let text = format!("{write:?}");
        match store.write(write).await {
            Err(WriteError::Conflict(found)) => assert_eq!(found, present, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(store.revision(), first, "a refused write takes no revision");
}

async fn ranges(store: Arc<dyn Store>) {
    for key in ["/p/b", "/p/a", "/p/c", "/pq", "/p", "/o/z", "/p/\u{fc}"] {
        store.write(put(key, 0, "v")).await.unwrap();
    }
    let page = store.range("/p/", "", 0, 0).unwrap();
    assert_eq!(show(&page), ["/p/a=v", "/p/b=v", "/p/c=v", "/p/\u{fc}=v"]);
    assert_eq!((page.more, page.remaining), (false, 0));
    assert_eq!(page.revision, store.revision());
    let page = store.range("/p/", "/p/b", 0, 2).unwrap();
    assert_eq!(show(&page), ["/p/b=v", "/p/c=v"]);
    assert_eq!((page.more, page.remaining), (true, 1));
    let page = store.range("/p/", "/p/b\0", 0, 2).unwrap();
    assert_eq!(show(&page), ["/p/c=v", "/p/\u{fc}=v"]);
    assert_eq!((page.more, page.remaining), (false, 0));
    assert!(store.range("/none/", "", 0, 0).unwrap().entries.is_empty());
    assert!(store.range("/p/", "/q", 0, 0).unwrap().entries.is_empty());
}

async fn past(store: Arc<dyn Store>) {
    let a1 = store.write(put("/a", 0, "1")).await.unwrap();
    let b1 = store.write(put("/b", 0, "1")).await.unwrap();
    let a2 = store.write(put("/a", a1, "2")).await.unwrap();
    let b2 = store.write(delete("/b", b1)).await.unwrap();
    let b3 = store.write(put("/b", 0, "3")).await.unwrap();
    assert_eq!(all(&*store, a1), ["/a=1"]);
    assert_eq!(all(&*store, b1), ["/a=1", "/b=1"]);
    assert_eq!(all(&*store, a2), ["/a=2", "/b=1"]);
    assert_eq!(all(&*store, b2), ["/a=2"]);
    assert_eq!(all(&*store, b3), ["/a=2", "/b=3"]);
    let page = store.range("/", "", b1, 1).unwrap();
    assert_eq!((page.revision, page.remaining), (b1, 1));
    let future = store.range("/", "", b3 + 1, 0);
    assert!(matches!(future, Err(StoreError::Future { .. })));
}

async fn changes(store: Arc<dyn Store>) {
    let start = store.revision();
    let a1 = store.write(put("/a", 0, "1")).await.unwrap();
    let mut all_rx = store.changes(start).unwrap();
    let mut late_rx = store.changes(a1).unwrap();
    let a2 = store.write(put("/a", a1, "2")).await.unwrap();
    let a3 = store.write(delete("/a", a2)).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let change = all_rx.recv().await.unwrap();
        let previous = change.previous.as_ref().map(|entry| entry.revision);
        seen.push((change.revision, change.value.clone(), previous));
    }
    let expected = [
        (a1, Some("1".into()), None),
        (a2, Some("2".into()), Some(a1)),
        (a3, None, Some(a2)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(late_rx.recv().await.unwrap().revision, a2);
    assert_eq!(late_rx.recv().await.unwrap().revision, a3);
    assert!(late_rx.try_recv().is_err());
    let future = store.changes(a3 + 1);
    assert!(matches!(future, Err(StoreError::Future { .. })));
}

async fn compaction(store: Arc<dyn Store>) {
    let a1 = store.write(put("/a", 0, "1")).await.unwrap();
    let b1 = store.write(put("/b", 0, "1")).await.unwrap();
    let a2 = store.write(put("/a", a1, "2")).await.unwrap();
    let b2 = store.write(delete("/b", b1)).await.unwrap();
    store.compact(a2).unwrap();
    assert_eq!(all(&*store, a2), ["/a=2", "/b=1"]);
    assert_eq!(all(&*store, b2), ["/a=2"]);
    for asked in [a1, b1] {
        for refused in [
            store.range("/", "", asked, 0).map(drop),
            store.changes(asked).map(drop),
        ] {
            match refused {
                Err(StoreError::Compacted {
                    asked: named,
                    oldest,
                }) => {
                    assert_eq!((named, oldest), (asked, a2));
                }
                other => panic!("{asked}: {other:?}"),
            }
        }
    }
    let mut changes_rx = store.changes(a2).unwrap();
    assert_eq!(changes_rx.recv().await.unwrap().revision, b2);
    store.compact(a1).unwrap();
    assert!(store.range("/", "", a1, 0).is_err(), "stays forgotten");
    assert!(store.compact(b2 + 1).is_err());
    store.compact(b2).unwrap();
    assert_eq!(all(&*store, 0), ["/a=2"]);
    store.write(put("/b", 0, "3")).await.unwrap();
    assert_eq!(all(&*store, b2), ["/a=2"]);
    assert_eq!(all(&*store, 0), ["/a=2", "/b=3"]);
}

async fn crowd(store: Arc<dyn Store>) {
    let mut changes_rx = store.changes(store.revision()).unwrap();
    let writes = (0..200).map(|number| {
        let mut write = put(&format!("/k/{number:03}"), 0, "v");
        write.lazy = number % 3 == 0;
        store.write(write)
    });
    let mut given: Vec<_> = join_all(writes)
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    given.sort_unstable();
    let mut seen = Vec::new();
    for _ in 0..200 {
        seen.push(changes_rx.recv().await.unwrap().revision);
    }
    assert_eq!(seen, given, "each revision once, in order");
    assert!(given.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(store.range("/k/", "", 0, 0).unwrap().entries.len(), 200);
}

async fn race(store: Arc<dyn Store>) {
    let writes = (0..50).map(|number| store.write(put("/one", 0, &number.to_string())));
    let answers = join_all(writes).await;
    let won: Vec<_> = answers.iter().filter_map(|one| one.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    let entry = store.get("/one").unwrap().unwrap();
    assert_eq!(entry.revision, *won[0]);
    for answer in &answers {
        match answer {
            Ok(_) => {}
            Err(WriteError::Conflict(found)) => assert_eq!(found.as_ref(), Some(&entry)),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn lazy(store: Arc<dyn Store>) {
    let mut first = put("/a", 0, "1");
    first.lazy = true;
    let first = store.write(first).await.unwrap();
    assert_eq!(store.get("/a").unwrap().unwrap().revision, first);
    let second = store.write(put("/a", first, "2")).await.unwrap();
    let mut gone = delete("/a", second);
    gone.lazy = true;
    let third = store.write(gone).await.unwrap();
    assert!(first < second && second < third);
    assert_eq!(store.get("/a").unwrap(), None);
}

async fn slow(store: Arc<dyn Store>) {
    let mut changes_rx = store.changes(store.revision()).unwrap();
    let mut revision = 0;
    let mut written = Vec::new();
    for _ in 0..17_000 {
        let mut write = put("/a", revision, "v");
        write.lazy = true;
        revision = store.write(write).await.unwrap();
        written.push(revision);
    }
    let mut seen = Vec::new();
    while let Some(change) = changes_rx.recv().await {
        seen.push(change.revision);
    }
    assert!(seen.len() < written.len(), "it was cut");
    assert_eq!(seen, written[..seen.len()], "and missed nothing before");
}
