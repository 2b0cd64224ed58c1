//! What lists and watches see through the cacher.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use flotilla_kubeapi::cacher::{Cacher, Cachers, Event, List, Options, Scope, Watch};
use flotilla_kubeapi::store::memory::MemoryStore;
use flotilla_kubeapi::store::{Revision, Store, StoreError};
use futures::FutureExt;

use crate::store::{delete, put};

const PODS: &str = "/registry/core/pods/";

fn mk(options: Options) -> (Arc<MemoryStore>, Arc<Cachers>) {
    let store = Arc::new(MemoryStore::new());
    let cachers = Cachers::new(store.clone(), options).unwrap();
    (store, cachers)
}

async fn write(store: &MemoryStore, key: &str, expected: Revision, label: &str) -> Revision {
    let value = format!(r#"{{"metadata":{{"labels":{{"a":"{label}"}}}}}}"#);
    store.write(put(key, expected, &value)).await.unwrap()
}

fn pod(name: &str) -> String {
    format!("{PODS}{name}")
}

fn names(cacher: &Cacher, list: List<'_>) -> Vec<String> {
    let listing = cacher.list(list).unwrap();
    let objects = listing.objects.iter();
    objects
        .map(|object| {
            format!(
                "{}={}",
                &object.key[PODS.len()..],
                object.value["metadata"]["labels"]["a"]
            )
        })
        .collect()
}

fn show(event: &Event) -> String {
    let before = event
        .previous
        .as_ref()
        .map(|object| &object.value["metadata"]["labels"]["a"]);
    let metadata = &event.object.value["metadata"];
    assert_eq!(metadata["resourceVersion"], event.revision.to_string());
    format!(
        "{:?} {} {} {before:?}",
        event.ty,
        &event.object.key[PODS.len()..],
        metadata["labels"]["a"]
    )
}

/// What is there without waiting.
fn ready(watch: &mut Watch) -> Vec<String> {
    let next = || watch.next().now_or_never().flatten();
    std::iter::from_fn(next).map(|event| show(&event)).collect()
}

#[tokio::test]
async fn lists_are_as_new_as_the_last_write() {
    let (store, cachers) = mk(Options::default());
    let pods = cachers.resource(PODS).unwrap();
    let a1 = write(&store, &pod("x/a"), 0, "1").await;
    let object = pods.get(&pod("x/a")).unwrap().unwrap();
    assert_eq!((object.revision, object.created), (a1, a1));
    assert_eq!(object.value["metadata"]["resourceVersion"], a1.to_string());
    write(&store, &pod("x/b"), 0, "1").await;
    write(&store, &pod("xy/c"), 0, "1").await;
    write(&store, "/registry/core/podtemplates/x/a", 0, "no").await;
    let now = write(&store, &pod("x/a"), a1, "2").await;
    let listing = pods.list(List::default()).unwrap();
    assert_eq!((listing.objects.len(), listing.revision), (3, now));
    let of_x = pod("x/");
    let list = List {
        prefix: &of_x,
        ..List::default()
    };
    assert_eq!(names(&pods, list), [r#"x/a="2""#, r#"x/b="1""#]);
    let page = List { limit: 1, ..list };
    assert_eq!(names(&pods, page), [r#"x/a="2""#]);
    assert_eq!(pods.list(page).unwrap().remaining, 1);
    let from = pod("x/a\0");
    assert_eq!(
        names(
            &pods,
            List {
                from: &from,
                ..page
            }
        ),
        [r#"x/b="1""#]
    );
    assert_eq!(
        names(
            &pods,
            List {
                at: a1,
                ..List::default()
            }
        ),
        [r#"x/a="1""#]
    );
    assert!(pods.not_older(now).is_ok());
    assert!(matches!(
        pods.not_older(now + 1),
        Err(StoreError::Future { .. })
    ));
    store.compact(now).unwrap();
    let old = pods.list(List {
        at: a1,
        ..List::default()
    });
    assert!(matches!(old, Err(StoreError::Compacted { .. })));
}

#[tokio::test]
async fn watches_see_each_event_with_what_was_before() {
    let (store, cachers) = mk(Options::default());
    let pods = cachers.resource(PODS).unwrap();
    let a1 = write(&store, &pod("x/a"), 0, "1").await;
    let mut after = pods.watch(a1, Scope::All).unwrap();
    let mut of_y = pods.watch(1, Scope::Under(pod("y/").into())).unwrap();
    let mut only = pods.watch(1, Scope::Only(pod("x/a").into())).unwrap();
    let a2 = write(&store, &pod("x/a"), a1, "2").await;
    write(&store, &pod("x/ab"), 0, "1").await;
    write(&store, &pod("y/a"), 0, "1").await;
    let last = store.write(delete(&pod("x/a"), a2)).await.unwrap();
    // A read moves events on, as the task does.
    let mut late = pods.watch(1, Scope::All).unwrap();
    let added = r#"Added x/a "1" None"#;
    let modified = r#"Modified x/a "2" Some(String("1"))"#;
    let deleted = r#"Deleted x/a "2" Some(String("2"))"#;
    let (other, of_other) = (r#"Added x/ab "1" None"#, r#"Added y/a "1" None"#);
    assert_eq!(ready(&mut after), [modified, other, of_other, deleted]);
    assert_eq!(ready(&mut of_y), [of_other]);
    assert_eq!(ready(&mut only), [added, modified, deleted]);
    assert_eq!(
        ready(&mut late),
        [added, modified, other, of_other, deleted]
    );
    assert_eq!(late.progress(), last);
    assert_eq!(of_y.progress(), last, "a bookmark moves without events");
}

#[tokio::test]
async fn the_task_wakes_watchers_and_bookmarks_tell_no_lies() {
    let (store, cachers) = mk(Options::default());
    let pods = cachers.resource(PODS).unwrap();
    let task = tokio::spawn(Arc::clone(&cachers).run());
    let start = store.revision();
    let mut watch = pods.watch(start, Scope::All).unwrap();
    let a1 = write(&store, &pod("x/a"), 0, "1").await;
    let b1 = write(&store, &pod("x/b"), 0, "1").await;
    pods.get("").unwrap();
    assert_eq!(watch.progress(), start, "two events wait");
    assert_eq!(watch.next().await.unwrap().revision, a1);
    assert_eq!(watch.progress(), a1);
    assert_eq!(watch.next().await.unwrap().revision, b1);
    assert_eq!(watch.progress(), b1);
    let next = tokio::spawn(async move { watch.next().await.map(|event| event.revision) });
    tokio::task::yield_now().await;
    let c1 = write(&store, &pod("x/c"), 0, "1").await;
    assert_eq!(next.await.unwrap(), Some(c1));
    task.abort();
}

#[tokio::test]
async fn a_list_and_its_watch_have_no_gap() {
    let (store, cachers) = mk(Options::default());
    let a1 = write(&store, &pod("x/a"), 0, "1").await;
    let pods = cachers.resource(PODS).unwrap();
    let (listing, mut watch) = pods.list_and_watch(Scope::All).unwrap();
    assert_eq!((listing.values().count(), listing.revision), (1, a1));
    assert_eq!(watch.progress(), a1);
    write(&store, &pod("x/b"), 0, "1").await;
    let (listing, _) = pods.list_and_watch(Scope::Only(pod("x/b").into())).unwrap();
    assert_eq!(listing.values().count(), 1);
    assert_eq!(ready(&mut watch), [r#"Added x/b "1" None"#]);
}

#[tokio::test]
async fn watches_from_the_future_wait_in_silence() {
    let (store, cachers) = mk(Options::default());
    let pods = cachers.resource(PODS).unwrap();
    let mut watch = pods.watch(store.revision() + 1, Scope::All).unwrap();
    write(&store, &pod("x/a"), 0, "1").await;
    write(&store, &pod("x/b"), 0, "1").await;
    pods.get("").unwrap();
    assert_eq!(ready(&mut watch), [r#"Added x/b "1" None"#]);
}

#[tokio::test]
async fn too_old_is_refused_and_late_resources_remember() {
    let (store, cachers) = mk(Options {
        ring_events: 3,
        ..Options::default()
    });
    let first = store.revision();
    let mut given = Vec::new();
    for number in 0..5 {
        given.push(write(&store, &pod(&format!("x/{number}")), 0, "1").await);
    }
    // Loaded only now: what the store remembers is in its ring, as far as it goes.
    let pods = cachers.resource(PODS).unwrap();
    for (after, expected) in [
        (first, None),
        (given[0], None),
        (given[1], Some(3)),
        (given[4], Some(0)),
    ] {
        match (pods.watch(after, Scope::All), expected) {
            (Ok(mut watch), Some(events)) => assert_eq!(ready(&mut watch).len(), events),
            (Err(StoreError::Compacted { oldest, .. }), None) => assert_eq!(oldest, given[1]),
            (other, _) => panic!("{after}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_slow_watcher_is_cut_and_others_go_on() {
    let (store, cachers) = mk(Options {
        queue_events: 4,
        ..Options::default()
    });
    let pods = cachers.resource(PODS).unwrap();
    let mut slow = pods.watch(store.revision(), Scope::All).unwrap();
    let mut other = pods
        .watch(store.revision(), Scope::Under(pod("y/").into()))
        .unwrap();
    for number in 0..6 {
        write(&store, &pod(&format!("x/{number}")), 0, "1").await;
    }
    write(&store, &pod("y/a"), 0, "1").await;
    pods.get("").unwrap();
    for number in 0..4 {
        let event = slow.next().await.unwrap();
        assert_eq!(*event.object.key, *pod(&format!("x/{number}")));
    }
    assert!(slow.next().await.is_none(), "the end, without a wait");
    assert_eq!(ready(&mut other), [r#"Added y/a "1" None"#]);
    assert_eq!(pods.watchers(), 1);
    cachers.remove(PODS);
    assert!(other.next().await.is_none());
}

#[tokio::test]
async fn a_feed_that_falls_behind_is_loaded_anew() {
    let (store, cachers) = mk(Options::default());
    let pods = cachers.resource(PODS).unwrap();
    let mut watch = pods.watch(store.revision(), Scope::All).unwrap();
    let mut revision = 0;
    for number in 0..17_000 {
        revision = write(&store, &pod("x/a"), revision, &number.to_string()).await;
    }
    store.compact(revision).unwrap();
    assert_eq!(names(&pods, List::default()), [r#"x/a="16999""#]);
    while let Some(event) = watch.next().await {
        assert!(event.revision < revision);
    }
    let gone = pods.watch(revision - 1, Scope::All);
    assert!(matches!(gone, Err(StoreError::Compacted { .. })));
    assert!(pods.watch(revision, Scope::All).is_ok());
}

#[tokio::test]
async fn a_thousand_watchers_encode_an_event_once() {
    let (store, cachers) = mk(Options::default());
    let pods = cachers.resource(PODS).unwrap();
    let mut watches: Vec<_> = (0..1_000)
        .map(|_| pods.watch(store.revision(), Scope::All).unwrap())
        .collect();
    for number in 0..10 {
        write(&store, &pod(&format!("x/{number}")), 0, "1").await;
    }
    pods.get("").unwrap();
    let encodings = AtomicUsize::new(0);
    let forms: [Arc<str>; 2] = ["v1 added".into(), "table added".into()];
    let mut buffers = std::collections::BTreeSet::new();
    for (index, watch) in watches.iter_mut().enumerate() {
        let form = &forms[index % 2];
        for _ in 0..10 {
            let event = watch.next().await.unwrap();
            let bytes = event.encoded(form, || {
                encodings.fetch_add(1, Ordering::Relaxed);
                Bytes::from(format!("{form} {}", event.object.value))
            });
            assert!(bytes.starts_with(form.as_bytes()));
            buffers.insert(bytes.as_ptr() as usize);
        }
    }
    assert_eq!(encodings.into_inner(), 20, "ten events in two forms");
    // The buffers of events that are in the ring live on, so equal addresses are equal buffers.
    assert_eq!(buffers.len(), 20, "and nobody has a copy");
}
