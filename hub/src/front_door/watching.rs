//! One watch: a complete list, then events from its revision on, for as long as it is wanted.
//!
//! The first list is read page by page at the newest revision: a list streamed from an API server's
//! cache may begin at any older one, and a hub must not go back in time. Retries and bookmarks are the
//! client library's. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Observer;
use super::index::Index;
use super::keys::Source;

/// Objects of one page; their bodies are in memory twice while it is taken in.
const PAGE_OBJECTS: u32 = 250;

/// Where a watch leads.
pub(super) struct Feed {
    pub(super) source: Source,
    pub(super) index: Arc<Index>,
    pub(super) observers: Vec<Arc<dyn Observer>>,
}

impl Feed {
    fn applied(&self, object: Value, is_listed: bool) {
        for observer in &self.observers {
            observer.applied(&self.source, &object);
        }
        if is_listed {
            self.index.listed(&self.source, object);
        } else {
            self.index.apply(&self.source, object);
        }
    }

    fn deleted(&self, object: &Value) {
        self.index.delete(&self.source, object);
        for observer in &self.observers {
            observer.deleted(&self.source, object);
        }
    }
}

/// Watches until stopped, or until an error that `is_final`.
pub(super) async fn run(
    client: Client,
    resource: &ApiResource,
    feed: &Feed,
    stop: &CancellationToken,
    is_final: impl Fn(&watcher::Error) -> bool,
) {
    let api: Api<DynamicObject> = Api::all_with(client, resource);
    let config = watcher::Config::default().page_size(PAGE_OBJECTS);
    let events = watcher(api, config).default_backoff();
    pin_mut!(events);
    let mut held: BTreeSet<(String, String)> = BTreeSet::new();
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // An event that is not taken here stays in the stream.
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => {
                if is_final(&error) {
                    return;
                }
                tracing::warn!(source = ?feed.source, %error, "a watch failed and is tried again");
            }
            Some(Ok(Event::Init)) => held.clear(),
            Some(Ok(Event::InitApply(object))) => {
                held.insert(name(&object));
                feed.applied(to_value(object, resource), true);
            }
            Some(Ok(Event::InitDone)) => {
                feed.index.list_ended(&feed.source, &held);
                for gone in known.difference(&held) {
                    tell_gone(feed, gone);
                }
                known = std::mem::take(&mut held);
            }
            Some(Ok(Event::Apply(object))) => {
                known.insert(name(&object));
                feed.applied(to_value(object, resource), false);
            }
            Some(Ok(Event::Delete(object))) => {
                known.remove(&name(&object));
                feed.deleted(&to_value(object, resource));
            }
        }
    }
}

/// The index has its own way to learn what a list did not hold; observers are told here.
fn tell_gone(feed: &Feed, (namespace, name): &(String, String)) {
    let object = serde_json::json!({ "metadata": { "namespace": namespace, "name": name } });
    for observer in &feed.observers {
        observer.deleted(&feed.source, &object);
    }
}

fn name(object: &DynamicObject) -> (String, String) {
    let metadata = &object.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// Items of a list do not say their kind.
fn to_value(mut object: DynamicObject, resource: &ApiResource) -> Value {
    // Large, and nothing of ours reads them.
    object.metadata.managed_fields = None;
    object.types = Some(kube::api::TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    serde_json::to_value(object).expect("an object that was read is JSON")
}
