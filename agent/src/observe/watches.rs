//! Runs watches: one per managed kind, one of definitions of kinds, and two for the inventory. Each
//! goes on from where it was; a list only at the start and when the member has forgotten.
//!
//! A watch that fails says nothing about objects: what was seen last stays.

use std::sync::Arc;
use std::time::Duration;

use flotilla_proto::v1;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::inventory::Inventory;
use super::kinds::Kinds;
use crate::decisions::marks;
use crate::member::{Class, Gvk, Kind, MemberApi, MemberError, Seen};
use crate::retry::Retry;
use crate::session::Input;

/// Waits between tries of a watch that fails.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Waits between tries of a watch that fails.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A new kind is served a little after its definition says so: looked at after each of these.
const KIND_WAITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1500),
    Duration::from_secs(5),
];

/// What the watches share.
#[derive(Clone)]
pub struct Watching {
    /// The member.
    pub member: Arc<dyn MemberApi>,
    /// Its kinds.
    pub kinds: Arc<Kinds>,
    /// Where news go.
    pub news: mpsc::Sender<Input>,
    /// Seed of jitter.
    pub seed: u64,
}

impl Watching {
    /// Watches the managed objects of a kind until the member does not serve it (any more).
    pub async fn managed(self, gvk: Gvk) {
        let mut retry = Retry::new(RETRY_MIN, RETRY_MAX, self.seed);
        let mut told = false;
        loop {
            let kind = self.kinds.resolve(&gvk).await;
            let ended = match kind {
                Ok(kind) if kind.listable => self.follow(&kind, &gvk, &mut retry).await,
                Ok(kind) => {
                    let text = "objects of that kind cannot be listed";
                    MemberError::new(Class::UnknownKind, "watch", &kind.gvk, text)
                }
                Err(error) => error,
            };
            match ended.class {
                Class::UnknownKind => {
                    self.news.send(Input::NoSuchKind(gvk)).await.ok();
                    return;
                }
                // Works of the kind go on without: their writes say what is forbidden.
                Class::Denied if !std::mem::replace(&mut told, true) => {
                    tracing::warn!(%gvk, error = %ended, "managed objects cannot be watched");
                    self.news.send(Input::NoSuchKind(gvk.clone())).await.ok();
                }
                Class::Expired => continue,
                _ => tracing::debug!(%gvk, error = %ended, "watch ended"),
            }
            if self.news.is_closed() {
                return;
            }
            tokio::time::sleep(retry.next_wait()).await;
        }
    }

    async fn follow(&self, kind: &Kind, gvk: &Gvk, retry: &mut Retry) -> MemberError {
        let mut events = self.member.watch(kind, marks::OWNER);
        while let Some(event) = events.next().await {
            match event {
                Ok(seen) => {
                    retry.reset();
                    if self
                        .news
                        .send(Input::Seen(gvk.clone(), seen))
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
                Err(error) => return error,
            }
        }
        MemberError::new(Class::Retry, "watch", gvk, "ended")
    }

    /// Follows definitions of kinds, and says when the member serves other ones.
    pub async fn definitions(self, changed: mpsc::Sender<()>) {
        let mut retry = Retry::new(RETRY_MIN, RETRY_MAX, self.seed);
        let crd = Kind::crd();
        loop {
            let mut events = self.member.watch(&crd, "");
            let mut waits = KIND_WAITS.iter();
            let mut next = None;
            loop {
                // Cancel-safe: an event that is not taken stays in the stream, a timer starts again.
                let event = tokio::select! {
                    event = events.next() => event,
                    () = sleep_for(next) => {
                        self.look_at_kinds(&changed).await;
                        next = waits.next().copied();
                        continue;
                    }
                };
                match event {
                    Some(Ok(_)) => {
                        retry.reset();
                        waits = KIND_WAITS.iter();
                        next = waits.next().copied();
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, "watch of definitions ended");
                        break;
                    }
                    None => break,
                }
            }
            if self.news.is_closed() {
                return;
            }
            tokio::time::sleep(retry.next_wait()).await;
        }
    }

    async fn look_at_kinds(&self, changed: &mpsc::Sender<()>) {
        match self.kinds.refresh().await {
            Ok(true) => {
                self.news.send(Input::KindsChanged).await.ok();
                changed.send(()).await.ok();
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "kinds cannot be listed"),
        }
    }

    /// Measures the cluster.
    pub async fn inventory(self, mut kinds_changed: mpsc::Receiver<()>) {
        let (tx, mut rx) = mpsc::channel(256);
        let nodes = self.clone().all_of(Kind::node(), tx.clone());
        let pods = self.clone().all_of(Kind::pod(), tx);
        let measure = async {
            let mut inventory = Inventory::default();
            let mut reachable = None;
            let mut version = String::new();
            loop {
                self.health(&mut version, &mut reachable).await;
                let now = Instant::now().into_std();
                inventory.set_kinds(&version, &self.kinds.served(), now);
                let due = inventory.poll_timeout();
                // Cancel-safe: channels keep what is not taken, timers start again.
                tokio::select! {
                    seen = rx.recv() => match seen {
                        Some((true, seen)) => inventory.nodes(seen, Instant::now().into_std()),
                        Some((false, seen)) => inventory.pods(seen, Instant::now().into_std()),
                        None => return,
                    },
                    Some(()) = kinds_changed.recv() => {}
                    () = sleep_until(due) => {
                        if let Some(capacity) = inventory.poll(Instant::now().into_std()) {
                            self.news.send(Input::Capacity(capacity)).await.ok();
                        }
                    }
                }
            }
        };
        // Cancel-safe: all three end together with the task.
        tokio::select! {
            () = nodes => {}
            () = pods => {}
            () = measure => {}
        }
    }

    /// Asks for the version once; that the member answers at all is its health.
    async fn health(&self, version: &mut String, reachable: &mut Option<bool>) {
        if *reachable == Some(true) && !version.is_empty() {
            return;
        }
        let answer = self.member.version().await;
        let health = match &answer {
            Ok(_) => v1::Health {
                member_api_reachable: true,
                detail: String::new(),
            },
            Err(error) => v1::Health {
                member_api_reachable: false,
                detail: error.to_string(),
            },
        };
        if *reachable != Some(health.member_api_reachable) {
            *reachable = Some(health.member_api_reachable);
            self.news.send(Input::Health(health)).await.ok();
        }
        *version = answer.unwrap_or_default();
    }

    async fn all_of(self, kind: Kind, out: mpsc::Sender<(bool, Seen)>) {
        let node = kind == Kind::node();
        let mut retry = Retry::new(RETRY_MIN, RETRY_MAX, self.seed);
        loop {
            let mut events = self.member.watch(&kind, "");
            while let Some(event) = events.next().await {
                match event {
                    Ok(seen) => {
                        retry.reset();
                        if out.send((node, seen)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(kind = %kind.gvk, %error, "watch ended");
                        break;
                    }
                }
            }
            tokio::time::sleep(retry.next_wait()).await;
        }
    }
}

async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
