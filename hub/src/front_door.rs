//! The Kubernetes client side: watches that feed the index, and templates that are patched.
//!
//! The hub is one client of the front door among others. It watches its own kinds, and of templates
//! only the kinds that a policy selects or a binding points at. Ready means that every first list is
//! complete. Nothing is decided here.

pub mod binding;
pub mod index;
pub mod keys;
mod kinds;
pub mod policies;
pub mod template;
mod templates;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use flotilla_policy::api::registry;
use kube::Client;
use kube::api::ApiResource;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fleet::share::{BodyStore, Shares};
use index::Index;
use keys::{Gvk, Source};

pub use templates::KubeTemplates;

/// Told what a watch brought, after the index has taken it in. Called from the watch, so it must not
/// wait.
pub trait Observer: Send + Sync {
    /// An object was added or changed.
    fn applied(&self, source: &Source, object: &Value);
    /// An object was deleted, or was not in a complete list any more.
    fn deleted(&self, source: &Source, object: &Value);
}

/// A watch that the hub cannot do without ended.
#[derive(Debug, thiserror::Error)]
#[error("the watch of {0} ended")]
pub struct FrontDoorError(String);

/// The watches and what they feed.
pub struct FrontDoor {
    client: Client,
    index: Arc<Index>,
    observers: Vec<Arc<dyn Observer>>,
    served: Arc<Served>,
    ready: watch::Sender<bool>,
}

/// Kinds of templates as discovery told them, and those it does not know.
#[derive(Debug, Default)]
pub(crate) struct Served {
    kinds: Mutex<BTreeMap<Gvk, Option<ApiResource>>>,
}

impl Served {
    fn set(&self, gvk: &Gvk, resource: Option<ApiResource>) {
        self.lock().insert(gvk.clone(), resource);
    }

    fn forget(&self, gvk: &Gvk) {
        self.lock().remove(gvk);
    }

    fn get(&self, gvk: &Gvk) -> Option<ApiResource> {
        self.lock().get(gvk).cloned().flatten()
    }

    /// Whether discovery has said that the kind is not served.
    fn is_absent(&self, gvk: &Gvk) -> bool {
        matches!(self.lock().get(gvk), Some(None))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Gvk, Option<ApiResource>>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watch task's end.
enum Ended {
    Fixed(Source),
    Kind(Gvk),
    Crds,
}

impl FrontDoor {
    /// Watches that fill these shares; nothing runs yet.
    #[must_use]
    pub fn new(
        client: Client,
        shares: Arc<Shares>,
        bodies: Arc<BodyStore>,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        Self {
            client,
            index: Arc::new(Index::new(shares, bodies)),
            observers,
            served: Arc::default(),
            ready: watch::channel(false).0,
        }
    }

    /// What the watches feed.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The way to patch templates and to tell people.
    #[must_use]
    pub fn templates(&self) -> KubeTemplates {
        KubeTemplates::new(self.client.clone(), Arc::clone(&self.served))
    }

    /// Turns true once every first list is complete.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Watches until shutdown. Owns the tasks of its watches.
    ///
    /// # Errors
    /// When a watch ends that must not.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), FrontDoorError> {
        let stop = shutdown.child_token();
        let (crds_tx, crds) = watch::channel(0_u64);
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        for source in Source::fixed() {
            tasks.spawn(self.watch_fixed(source, stop.clone()));
        }
        let client = self.client.clone();
        let stopped = stop.clone();
        tasks.spawn(async move {
            kinds::watch_crds(client, &crds_tx, &stopped).await;
            Ended::Crds
        });
        let mut running: BTreeMap<Gvk, CancellationToken> = BTreeMap::new();
        let mut wanted = self.index.wanted_kinds();
        let mut progress = self.index.subscribe();
        loop {
            let kinds = wanted.borrow_and_update().clone();
            running.retain(|gvk, token| {
                if !kinds.contains(gvk) {
                    token.cancel();
                }
                // A watch that is being stopped keeps its place until it has ended.
                true
            });
            for gvk in &kinds {
                if !running.contains_key(gvk) {
                    let token = stop.child_token();
                    running.insert(gvk.clone(), token.clone());
                    tasks.spawn(self.watch_kind(gvk.clone(), crds.clone(), token));
                }
            }
            self.note_ready(&kinds);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // Neither `changed` nor `join_next` loses anything when another arm wins.
                Some(ended) = tasks.join_next() => match ended {
                    Ok(Ended::Kind(gvk)) => {
                        running.remove(&gvk);
                    }
                    Ok(Ended::Fixed(source)) => return Err(FrontDoorError(format!("{source:?}"))),
                    Ok(Ended::Crds) => return Err(FrontDoorError("CRDs".to_owned())),
                    Err(error) => return Err(FrontDoorError(error.to_string())),
                },
                Ok(()) = wanted.changed() => {}
                Ok(()) = progress.changed(), if !*self.ready.borrow() => {}
            }
        }
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    fn note_ready(&self, kinds: &BTreeSet<Gvk>) {
        let index = &self.index;
        let fixed = Source::fixed().iter().all(|s| index.is_synced(s));
        let is_there = |gvk: &Gvk| {
            index.is_synced(&Source::Templates(gvk.clone())) || self.served.is_absent(gvk)
        };
        if *self.ready.borrow() || !fixed || !kinds.iter().all(is_there) {
            return;
        }
        index.set_ready();
        self.ready.send_replace(true);
        tracing::info!(
            kinds = kinds.len(),
            revision = index.revision(),
            "the front door is read"
        );
    }

    fn watch_fixed(
        &self,
        source: Source,
        stop: CancellationToken,
    ) -> impl Future<Output = Ended> + use<> {
        let feed = self.feed(source.clone());
        let client = self.client.clone();
        async move {
            let info = source.kind().and_then(|(g, k)| registry::find(g, k));
            let info = info.expect("every fixed source is in the list of kinds");
            let resource = ApiResource {
                group: info.group.to_owned(),
                version: info.version.to_owned(),
                api_version: info.api_version(),
                kind: info.kind.to_owned(),
                plural: info.plural.to_owned(),
            };
            // Its kind was installed before; a failure is the front door's, and is waited out.
            watching::run(client, &resource, &feed, &stop, |_| false).await;
            Ended::Fixed(source)
        }
    }

    fn watch_kind(
        &self,
        gvk: Gvk,
        crds: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> impl Future<Output = Ended> + use<> {
        let feed = self.feed(Source::Templates(gvk.clone()));
        let client = self.client.clone();
        let served = Arc::clone(&self.served);
        async move {
            kinds::serve(client, &gvk, (&feed, &served), crds, &stop).await;
            served.forget(&gvk);
            feed.index.forget_kind(&gvk);
            Ended::Kind(gvk)
        }
    }

    fn feed(&self, source: Source) -> watching::Feed {
        watching::Feed {
            source,
            index: Arc::clone(&self.index),
            observers: self.observers.clone(),
        }
    }
}
