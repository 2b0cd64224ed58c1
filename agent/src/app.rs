//! The composition root: connects to the member, joins, waits to lead, and runs one reign after the
//! other. The only place that starts tasks, but for the engine's own jobs and watches.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flotilla_policy::model::manifest;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::apply::execute::Executor;
use crate::config::{AgentConfig, MemberSource};
use crate::decisions::Asker;
use crate::engine::{Ended, Engine, Parts};
use crate::identity::{Identity, IdentityError, enrol};
use crate::leader::{Candidate, Guard, Guarded, Lead};
use crate::ledger::bodies::{Bodies, Packs};
use crate::ledger::cache::Cache;
use crate::ledger::state::{Batch, Ledger};
use crate::ledger::{LedgerError, Secrets};
use crate::member::real::{ConnectError, KubeMember};
use crate::member::{At, Kind, MemberApi, MemberError};
use crate::metrics::Metrics;
use crate::observe::kinds::Kinds;
use crate::observe::watches::Watching;
use crate::retry::Retry;
use crate::session::link::{Linking, now_unix};
use crate::session::{Input, Session, SessionConfig};
use crate::view::View;
use flotilla_proto::digest::Digest;
use flotilla_proto::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// News waiting for the engine.
const EVENTS: usize = 256;
/// Waits of a ledger that cannot be written at once.
const PACKS_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The member does not answer as it should.
    #[error("this cluster: {0}")]
    Member(#[from] MemberError),
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The hub will not have this agent any more.
    #[error("the hub ended this agent's work: {reason}")]
    Final {
        /// Its words.
        reason: String,
    },
    /// A part ended that should not.
    #[error("{part} ended unexpectedly")]
    Broken {
        /// Which.
        part: &'static str,
    },
    /// The admin port cannot be had.
    #[error("the admin port {address} cannot be had: {source}")]
    Admin {
        /// Its address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// What stays the same from reign to reign.
struct App {
    cfg: AgentConfig,
    member: Arc<dyn MemberApi>,
    cluster_uid: String,
    bodies: Arc<Bodies>,
    cache: Arc<Cache>,
    metrics: Metrics,
    view: Arc<View>,
    fence_seen: Arc<AtomicU64>,
}

/// Runs an agent until it is told to stop, or cannot go on.
///
/// # Errors
/// Whatever a person must look at.
pub async fn run(cfg: AgentConfig, shutdown: CancellationToken) -> Result<(), AgentError> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    tracing::info!(?cfg, "starting");
    let metrics = Metrics::default();
    let view = Arc::new(View::default());
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let admin = serve_admin(&cfg, &metrics, &view, stop);
    let work = async {
        let Some(app) =
            App::start(cfg.clone(), metrics.clone(), Arc::clone(&view), &shutdown).await?
        else {
            return Ok(());
        };
        app.reigns(&shutdown).await
    };
    // Cancel-safe: the agent ends with whichever part ends first.
    tokio::select! {
        result = work => result,
        Err(error) = admin => Err(error),
    }
}

async fn serve_admin(
    cfg: &AgentConfig,
    metrics: &Metrics,
    view: &Arc<View>,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    let Some(address) = cfg.admin else {
        return std::future::pending().await;
    };
    let served = admin::serve(address, metrics, Arc::clone(view), stop).await;
    served.map_err(|source| AgentError::Admin { address, source })?;
    std::future::pending().await
}

impl App {
    /// Connects to the member; none when told to stop before it answered.
    async fn start(
        cfg: AgentConfig,
        metrics: Metrics,
        view: Arc<View>,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, AgentError> {
        let member: Arc<dyn MemberApi> = match &cfg.member {
            MemberSource::Given(member) => Arc::clone(member),
            MemberSource::Kubeconfig(path) => Arc::new(KubeMember::connect(Some(path)).await?),
            MemberSource::InCluster => Arc::new(KubeMember::connect(None).await?),
        };
        let uid = patiently(cfg.seed, shutdown, "the cluster's API", || {
            cluster_uid(&*member)
        });
        let Some(cluster_uid) = uid.await else {
            return Ok(None);
        };
        let bodies = Arc::new(Bodies::default());
        let cache = open_cache(&cfg, &bodies).await;
        Ok(Some(Self {
            cfg,
            member,
            cluster_uid,
            bodies,
            cache: Arc::new(cache),
            metrics,
            view,
            fence_seen: Arc::default(),
        }))
    }

    async fn reigns(&self, shutdown: &CancellationToken) -> Result<(), AgentError> {
        let secrets = Secrets::new(Arc::clone(&self.member), &self.cfg.namespace);
        let Some(()) = self.join(&secrets, shutdown).await? else {
            return Ok(());
        };
        loop {
            let Some(lead) = self.lead(shutdown).await else {
                return Ok(());
            };
            self.view.lead(true);
            self.metrics.leading(true);
            let ended = self.reign(lead, shutdown).await;
            self.view.lead(false);
            self.metrics.leading(false);
            match ended {
                Ok(Ended::Shutdown) => return Ok(()),
                Ok(Ended::NotLeader) => tracing::warn!("another agent leads; waiting"),
                Ok(Ended::Final(reason)) => return Err(AgentError::Final { reason }),
                Ok(Ended::Broken(part)) => return Err(AgentError::Broken { part }),
                Err(AgentError::Ledger(LedgerError::NotLeader { fence })) => {
                    tracing::warn!(fence, "another agent leads; waiting");
                }
                Err(AgentError::Member(error) | AgentError::Ledger(LedgerError::Member(error))) => {
                    tracing::warn!(%error, "this cluster does not answer");
                }
                Err(error) => return Err(error),
            }
            // Cancel-safe: a timer and a token.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(BACKOFF_MIN) => {}
            }
        }
    }

    /// Joins when the cluster has not, or when a new join string says so.
    async fn join(
        &self,
        secrets: &Secrets,
        shutdown: &CancellationToken,
    ) -> Result<Option<()>, AgentError> {
        let mut retry = Retry::new(BACKOFF_MIN, BACKOFF_MAX, self.cfg.seed);
        loop {
            match self.join_once(secrets).await {
                Ok(()) => return Ok(Some(())),
                Err(
                    error @ (IdentityError::NoJoinString
                    | IdentityError::Refused {
                        last_word: true, ..
                    }),
                ) => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "has not joined yet"),
            }
            // Cancel-safe: a timer and a token.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(retry.next_wait()) => {}
            }
        }
    }

    async fn join_once(&self, secrets: &Secrets) -> Result<(), IdentityError> {
        let mut identity = Identity::load(secrets.clone()).await?;
        match &self.cfg.join {
            Some(join) if !identity.has_joined_by(join) => {
                enrol::join(&mut identity, join, &self.cluster_uid, now_unix()).await?;
                tracing::info!(cluster = identity.cluster(), hub = %join.hub, "joined");
                Ok(())
            }
            None if !identity.has_joined() => Err(IdentityError::NoJoinString),
            _ => Ok(()),
        }
    }

    async fn lead(&self, shutdown: &CancellationToken) -> Option<Option<Lead>> {
        if !self.cfg.leader_election {
            return (!shutdown.is_cancelled()).then_some(None);
        }
        let candidate = Candidate::new(
            Arc::clone(&self.member),
            &self.cfg.namespace,
            &self.cfg.identity,
            self.cache.is_exclusive(),
        );
        candidate.lead(shutdown).await.map(Some)
    }

    /// One reign, with everything that belongs to it.
    async fn reign(
        &self,
        lead: Option<Lead>,
        shutdown: &CancellationToken,
    ) -> Result<Ended, AgentError> {
        let elected = lead.is_some();
        let guard = lead
            .as_ref()
            .map_or_else(Guard::unlimited, |lead| lead.guard.clone());
        let transitions = lead.as_ref().map_or(0, Lead::transitions);
        let lost = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let release = CancellationToken::new();
        let mut keeper = JoinSet::new();
        if let Some(lead) = lead {
            let (release, lost) = (release.clone(), lost.clone());
            keeper.spawn(async move {
                lead.keep(release).await;
                lost.cancel();
            });
        }
        let inner = Arc::clone(&self.member);
        let member: Arc<dyn MemberApi> = Arc::new(Guarded::new(inner, guard, elected));
        let ended = match self.assemble(member, transitions, &lost, &mut tasks).await {
            Ok(parts) => Ok(Engine::new(parts).run(shutdown.clone()).await),
            Err(error) => Err(error),
        };
        tasks.shutdown().await;
        release.cancel();
        while keeper.join_next().await.is_some() {}
        ended
    }

    /// Reads what is kept, takes the fence, and starts the tasks of a reign.
    async fn assemble(
        &self,
        member: Arc<dyn MemberApi>,
        transitions: u64,
        lost: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Result<Parts, AgentError> {
        let secrets = Secrets::new(Arc::clone(&member), &self.cfg.namespace);
        let mut all = secrets.read_all().await?;
        let packs = Packs::load(&mut all, &self.bodies);
        let mut ledger = Ledger::load(secrets.clone(), &all, now_unix()).await?;
        drop(all);
        let above = transitions.max(self.fence_seen.load(Ordering::Relaxed));
        let fence = ledger.take_fence(above).await?;
        let identity = Identity::load(secrets.clone()).await?;
        tracing::info!(fence, cluster = identity.cluster(), "leading");
        let session = self.session(&ledger, fence);
        let kinds = Arc::new(Kinds::new(Arc::clone(&member)));
        kinds.refresh().await?;
        let executor = self.executor(&member, &kinds, identity.cluster(), fence);
        let (news, inputs) = mpsc::channel(EVENTS);
        let watching = Watching {
            member,
            kinds,
            news: news.clone(),
            seed: self.cfg.seed,
        };
        let (batches, batches_rx) = mpsc::channel(1);
        let (wanted, wanted_rx) = watch::channel(BTreeSet::new());
        let metrics = self.metrics.clone();
        tasks.spawn(keep_ledger(ledger, batches_rx, news, lost.clone(), metrics));
        tasks.spawn(keep_packs(
            packs,
            secrets,
            wanted_rx,
            Arc::clone(&self.bodies),
        ));
        let (changed, kinds_changed) = mpsc::channel(1);
        tasks.spawn(watching.clone().definitions(changed));
        tasks.spawn(watching.clone().inventory(kinds_changed));
        let (trust, trust_rx) = mpsc::channel(1);
        let (link_news, events) = mpsc::channel(EVENTS);
        let linking = Linking {
            identity,
            cluster_uid: self.cluster_uid.clone(),
            fence,
            events: link_news,
            trust: trust_rx,
            seed: self.cfg.seed,
        };
        tasks.spawn(linking.run(lost.clone()));
        Ok(Parts {
            session,
            executor: Arc::new(executor),
            bodies: Arc::clone(&self.bodies),
            cache: Arc::clone(&self.cache),
            batches,
            wanted,
            trust,
            watching,
            events,
            inputs,
            lost: lost.clone(),
            metrics: self.metrics.clone(),
            view: Arc::clone(&self.view),
        })
    }
}

impl App {
    fn session(&self, ledger: &Ledger, fence: u64) -> Session {
        let cfg = SessionConfig {
            cluster_uid: self.cluster_uid.clone(),
            fence,
            memory_since: ledger.memory_since(),
            seed: self.cfg.seed,
        };
        let records = ledger.records().cloned();
        Session::new(cfg, records, ledger.marks(), self.bodies.digests())
    }

    fn executor(
        &self,
        member: &Arc<dyn MemberApi>,
        kinds: &Arc<Kinds>,
        cluster: &str,
        fence: u64,
    ) -> Executor {
        Executor {
            member: Arc::clone(member),
            kinds: Arc::clone(kinds),
            bodies: Arc::clone(&self.bodies),
            asker: Asker {
                cluster: cluster.to_owned(),
                fence,
            },
            namespace: self.cfg.namespace.clone(),
            fence_seen: Arc::clone(&self.fence_seen),
            metrics: self.metrics.clone(),
            normalised: Mutex::default(),
        }
    }
}

async fn open_cache(cfg: &AgentConfig, bodies: &Bodies) -> Cache {
    let Some(folder) = cfg.data_dir.clone() else {
        return Cache::none();
    };
    let bytes_max = cfg.cache_bytes_max;
    let opened = tokio::task::spawn_blocking(move || Cache::open(&folder, bytes_max)).await;
    let Ok((cache, found)) = opened else {
        return Cache::none();
    };
    for (digest, bytes) in found {
        bodies.put(digest, bytes);
    }
    cache
}

async fn cluster_uid(member: &dyn MemberApi) -> Result<String, MemberError> {
    let at = At::new(Kind::namespace(), "", "kube-system");
    let namespace = member.get(&at).await?;
    let uid = namespace.as_ref().map(manifest::uid).unwrap_or_default();
    if uid.is_empty() {
        let class = crate::member::Class::Retry;
        return Err(MemberError::new(class, "read", &at, "it has no UID yet"));
    }
    Ok(uid.to_owned())
}

/// Tries until it works; none when told to stop.
async fn patiently<T, F>(
    seed: u64,
    shutdown: &CancellationToken,
    what: &str,
    mut call: impl FnMut() -> F,
) -> Option<T>
where
    F: Future<Output = Result<T, MemberError>>,
{
    let mut retry = Retry::new(BACKOFF_MIN, BACKOFF_MAX, seed);
    loop {
        match call().await {
            Ok(value) => return Some(value),
            Err(error) => tracing::warn!(%error, "waiting for {what}"),
        }
        // Cancel-safe: a timer and a token.
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(retry.next_wait()) => {}
        }
    }
}

/// Makes batches durable, in order.
async fn keep_ledger(
    mut ledger: Ledger,
    mut batches: mpsc::Receiver<Batch>,
    news: mpsc::Sender<Input>,
    lost: CancellationToken,
    metrics: Metrics,
) {
    while let Some(batch) = batches.recv().await {
        let input = match ledger.commit(&batch, now_unix()).await {
            Ok(()) => {
                metrics.ledger_written();
                Input::Persisted
            }
            Err(LedgerError::Member(error)) if error.class != crate::member::Class::NotLeader => {
                tracing::warn!(%error, "the ledger cannot be written; nothing new takes effect");
                Input::NotPersisted
            }
            Err(error) => {
                tracing::warn!(%error, "this agent leads no more");
                return lost.cancel();
            }
        };
        if news.send(input).await.is_err() {
            return;
        }
    }
}

/// Keeps packs in line with what is wanted, off the path.
async fn keep_packs(
    mut packs: Packs,
    secrets: Secrets,
    mut wanted: watch::Receiver<BTreeSet<Digest>>,
    bodies: Arc<Bodies>,
) {
    while wanted.changed().await.is_ok() {
        loop {
            let digests = wanted.borrow_and_update().clone();
            match packs.sync(&secrets, &digests, &bodies).await {
                Ok(()) => break,
                Err(error) => tracing::debug!(%error, "bodies cannot be kept in the cluster now"),
            }
            tokio::time::sleep(PACKS_RETRY).await;
        }
    }
}
