//! From a kind that is wanted to a watch of it: discovery, and what to do while the kind is not served.
//!
//! A kind that is not served yet is looked for again when a CRD changes; nothing is polled. A kind
//! that the hub may not read is left aside with a warning.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, GroupVersionKind};
use kube::core::PartialObjectMeta;
use kube::discovery::pinned_kind;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Served;
use super::keys::Gvk;
use super::watching::{self, Feed};

/// Discovery follows a CRD within seconds; these are the looks after a change, each waiting twice as
/// long as the one before.
const LOOKS: u32 = 7;
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// An API server that does not answer is asked again after this.
const UNANSWERED_WAIT: Duration = Duration::from_secs(2);
/// A kind that may not be read is tried again after this: a role may have come since.
const FORBIDDEN_WAIT: Duration = Duration::from_secs(30);

/// Counts changes of CRDs until stopped.
pub(super) async fn watch_crds(
    client: Client,
    changes: &watch::Sender<u64>,
    stop: &CancellationToken,
) {
    // Their metadata alone: schemas are large, and discovery is what counts.
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client);
    let events = watcher(api, watcher::Config::default()).default_backoff();
    pin_mut!(events);
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // An event that is not taken here stays in the stream.
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Ok(_)) => changes.send_modify(|n| *n += 1),
            Some(Err(error)) => tracing::warn!(%error, "the watch of CRDs failed"),
        }
    }
}

/// Watches a kind for as long as it is wanted, whether it is served or not.
pub(super) async fn serve(
    client: Client,
    gvk: &Gvk,
    (feed, served): (&Feed, &Served),
    mut crds: watch::Receiver<u64>,
    stop: &CancellationToken,
) {
    let mut looks = 0;
    while !stop.is_cancelled() {
        crds.borrow_and_update();
        match find(&client, gvk).await {
            Found::Served(resource) => {
                looks = 0;
                served.set(gvk, Some(resource.clone()));
                let forbidden = AtomicBool::new(false);
                let is_final = |error: &watcher::Error| {
                    let code = code(error);
                    forbidden.store(code == Some(403), Ordering::Relaxed);
                    matches!(code, Some(403..=405))
                };
                watching::run(client.clone(), &resource, feed, stop, is_final).await;
                if stop.is_cancelled() {
                    return;
                }
                tracing::warn!(kind = %gvk, "the kind cannot be read, it is left aside");
                set_absent(gvk, feed, served);
                if forbidden.load(Ordering::Relaxed) {
                    pause(FORBIDDEN_WAIT, &mut crds, stop).await;
                    continue;
                }
            }
            Found::Absent => set_absent(gvk, feed, served),
            Found::Unknown(error) => {
                tracing::warn!(kind = %gvk, %error, "discovery failed");
                pause(UNANSWERED_WAIT, &mut crds, stop).await;
                continue;
            }
        }
        if looks < LOOKS && looks > 0 {
            pause(FIRST_LOOK * (1 << looks), &mut crds, stop).await;
            looks += 1;
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // `changed` marks the value as seen only when it returns.
            changed = crds.changed() => {
                if changed.is_err() {
                    return;
                }
                looks = 1;
            }
        }
    }
}

fn set_absent(gvk: &Gvk, feed: &Feed, served: &Served) {
    served.set(gvk, None);
    // Wakes whoever waits for the first lists.
    feed.index.touch();
}

enum Found {
    Served(ApiResource),
    Absent,
    Unknown(kube::Error),
}

async fn find(client: &Client, gvk: &Gvk) -> Found {
    let asked = GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind);
    match pinned_kind(client, &asked).await {
        Ok((resource, _)) => Found::Served(resource),
        Err(kube::Error::Discovery(_)) => Found::Absent,
        Err(kube::Error::Api(status)) if status.code == 404 => Found::Absent,
        Err(error) => Found::Unknown(error),
    }
}

/// Status of an answer.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

async fn pause(wait: Duration, crds: &mut watch::Receiver<u64>, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        // `changed` marks the value as seen only when it returns.
        Ok(()) = crds.changed() => {}
        // A timer is made anew each time.
        () = tokio::time::sleep(wait) => {}
    }
}
