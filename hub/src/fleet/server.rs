//! The fleet port as one component: acceptor, services, the reign they serve under, and upkeep.
//!
//! Serves sessions and enrolment only while this hub leads; otherwise it answers that another does.
//! Owns every task of a session and ends them with the reign or the process.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use flotilla_proto::limits::{DECODE_BYTES_MAX, HEARTBEAT, STREAMS_MAX};
use flotilla_proto::v1::enrolment_server::EnrolmentServer;
use flotilla_proto::v1::fleet_server::FleetServer as FleetGrpcServer;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::acceptor::{Acceptor, Channel};
use super::enrolment::EnrolmentService;
use super::grpc::FleetService;
use super::reports::Reports;
use super::session::Numbers;
use super::sessions::Sessions;
use super::share::Shares;
use super::view::{ScopedReports, ScopedShares};
use crate::epochs::Epochs;
use crate::leader::LeaderToken;
use crate::pki::{Pki, PkiError};

/// Live sessions are looked over, and the list of reigns is read, this often: what a revocation or a
/// newer reign may take to be noticed when no watch brings it.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Connections that wait for the gRPC server; it takes them at once.
const ACCEPTED_MAX: usize = 64;
/// A drain that takes longer is cut.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// A client that opens and resets streams is cut after so many that were not accepted yet.
const PENDING_RESETS_MAX: usize = 16;
/// And after so many resets that its own errors caused.
const ERROR_RESETS_MAX: usize = 256;
/// A connection that does not even answer HTTP/2 pings is gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A claim of one agent makes a new reign at most this often: all agents reconnect by it.
const RAISE_INTERVAL: Duration = Duration::from_secs(60);
/// A claimed term further above ours is a lie: no store went back by so many reigns.
const TERM_JUMP_MAX: u64 = 1 << 20;

/// How the fleet port presents itself.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// DNS names and addresses in the hub's certificate.
    pub server_names: Vec<String>,
    /// Name of this process, for agents' logs.
    pub hub_id: String,
    /// How often silence is broken; three of them are a lost agent.
    pub heartbeat: Duration,
}

impl FleetConfig {
    /// With the usual heartbeat.
    #[must_use]
    pub fn new(server_names: Vec<String>, hub_id: &str) -> Self {
        Self {
            server_names,
            hub_id: hub_id.to_owned(),
            heartbeat: HEARTBEAT,
        }
    }
}

/// What a reign brings: the proof that it holds, and what it decided and hears.
pub struct LeadParts {
    /// The proof, asked before anything that only a leader may do.
    pub token: LeaderToken,
    /// The list of reigns with ours in it.
    pub epochs: Arc<Epochs>,
    /// What each cluster should have; must be complete when the reign is handed over.
    pub shares: Arc<Shares>,
    /// What agents say.
    pub reports: Arc<Reports>,
}

/// A reign as sessions see it.
pub(super) struct Lead {
    pub(super) token: LeaderToken,
    pub(super) epochs: Arc<Epochs>,
    pub(super) shares: ScopedShares,
    pub(super) reports: ScopedReports,
    pub(super) sessions: Arc<Sessions>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) since: Instant,
    pub(super) ended: CancellationToken,
    /// Door revision at which the list of reigns was read and ended with ours.
    confirmed: AtomicU64,
    raised_at: Mutex<Option<Instant>>,
}

impl Lead {
    /// Door revision that a mark may name: what the index has read, but no further than the list of
    /// reigns was known to end with ours.
    pub(super) fn mark_revision(&self) -> u64 {
        let confirmed = self.confirmed.load(Ordering::Acquire);
        self.shares.revision().min(confirmed)
    }

    /// Reads the list of reigns itself.
    pub(super) async fn refresh(&self) {
        let revision = self.shares.revision();
        match tokio::time::timeout(SWEEP_INTERVAL, self.epochs.refresh()).await {
            Ok(Ok(())) => {
                if self.epochs.view().is_last() {
                    self.confirmed.fetch_max(revision, Ordering::AcqRel);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "list of epochs could not be read"),
            Err(_) => tracing::warn!("list of epochs could not be read in time"),
        }
    }

    /// Begins a reign above a term that an agent has seen and this store has not.
    pub(super) async fn raise(&self, seen_term: u64) {
        let now = Instant::now();
        let too_soon = {
            let mut raised_at = self
                .raised_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let recent = raised_at.is_some_and(|at| now < at + RAISE_INTERVAL);
            if !recent {
                *raised_at = Some(now);
            }
            recent
        };
        let absurd = seen_term > self.epochs.view().max_term().saturating_add(TERM_JUMP_MAX);
        if too_soon || absurd || self.token.check().is_err() {
            tracing::warn!(
                seen_term,
                "an agent's claim of a later reign is not followed now"
            );
            return;
        }
        let begun = self.epochs.begin_above(seen_term, self.shares.revision());
        match begun.await {
            Ok(()) => {
                let term = self.epochs.view().own().term;
                self.token.raise_term(term);
                tracing::warn!(
                    seen_term,
                    term,
                    "the front door's store went back in time; a new reign begins in recovery"
                );
            }
            Err(error) => tracing::error!(%error, "no new reign could be begun"),
        }
    }
}

/// What services and sessions share.
pub(super) struct Shell {
    pki: Arc<Pki>,
    pub(super) cfg: FleetConfig,
    lead: watch::Sender<Option<Arc<Lead>>>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl Shell {
    pub(super) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The reign, if there is one and it certainly holds.
    pub(super) fn lead(&self) -> Result<Arc<Lead>, Status> {
        let lead = self.lead.borrow().clone();
        lead.filter(|lead| lead.token.check().is_ok() && lead.epochs.view().is_last())
            .ok_or_else(|| Status::unavailable("this hub does not lead; another one does"))
    }
}

/// What made the fleet port end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The gRPC server failed.
    #[error("the fleet port failed")]
    Transport(#[from] tonic::transport::Error),
}

/// The fleet port.
pub struct FleetServer {
    shell: Arc<Shell>,
    tls: Arc<ArcSwap<ServerConfig>>,
    tls_ends_unix: Mutex<u64>,
}

impl FleetServer {
    /// With a certificate for its names; serves nobody before `lead`.
    ///
    /// # Errors
    /// When a name fits no certificate.
    pub fn new(pki: Arc<Pki>, cfg: FleetConfig) -> Result<Self, PkiError> {
        let (tls, ends_unix) = pki.fleet_tls(&cfg.server_names)?;
        let shell = Shell {
            pki,
            cfg,
            lead: watch::channel(None).0,
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Ok(Self {
            shell: Arc::new(shell),
            tls: Arc::new(ArcSwap::new(tls)),
            tls_ends_unix: Mutex::new(ends_unix),
        })
    }

    /// Serves under a reign from now on; sessions of the one before end. Call it when the index is
    /// complete and enrolments were read (`Pki::reload`).
    pub fn lead(&self, parts: LeadParts) -> Arc<Sessions> {
        let revision = parts.epochs.view().own().revision;
        let lead = Lead {
            token: parts.token,
            epochs: parts.epochs,
            shares: ScopedShares::new(parts.shares),
            reports: ScopedReports::new(parts.reports),
            sessions: Arc::default(),
            numbers: Arc::default(),
            since: Instant::now(),
            ended: CancellationToken::new(),
            confirmed: AtomicU64::new(revision),
            raised_at: Mutex::default(),
        };
        let sessions = Arc::clone(&lead.sessions);
        self.follow(Some(Arc::new(lead)));
        sessions
    }

    /// Serves nobody from now on.
    pub fn stand_down(&self) {
        self.follow(None);
    }

    fn follow(&self, next: Option<Arc<Lead>>) {
        if let Some(old) = self.shell.lead.send_replace(next) {
            old.ended.cancel();
        }
    }

    /// Serves the port until stopped, then ends every session in order.
    ///
    /// # Errors
    /// When the gRPC server fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let (accepted_tx, accepted) = mpsc::channel(ACCEPTED_MAX);
        let acceptor = Acceptor::new(listener, Arc::clone(&self.tls));
        let served = self.grpc(accepted, shutdown.clone());
        let kept = self.upkeep(&shutdown);
        let accepting = acceptor.run(accepted_tx, shutdown.clone());
        let drained = async {
            shutdown.cancelled().await;
            self.stand_down();
            self.shell.shutdown.cancel();
            self.shell.tasks.close();
            self.shell.tasks.wait().await;
        };
        let ended = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        let all = async {
            let (served, (), (), ()) = tokio::join!(served, kept, accepting, drained);
            served
        };
        tokio::select! {
            biased;
            // Cancel-safe: what is left after the drain's time is cut on purpose.
            result = all => result,
            () = ended => Ok(()),
        }
    }

    async fn grpc(
        &self,
        accepted: mpsc::Receiver<Channel>,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let fleet = FleetGrpcServer::new(FleetService {
            shell: Arc::clone(&self.shell),
        });
        let enrolment = EnrolmentServer::new(EnrolmentService {
            shell: Arc::clone(&self.shell),
        });
        tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
            .http2_max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_service(
                fleet
                    .max_decoding_message_size(DECODE_BYTES_MAX)
                    .max_encoding_message_size(DECODE_BYTES_MAX),
            )
            .add_service(enrolment.max_decoding_message_size(DECODE_BYTES_MAX))
            .serve_with_incoming_shutdown(
                ReceiverStream::new(accepted).map(Ok::<_, io::Error>),
                shutdown.cancelled_owned(),
            )
            .await?;
        Ok(())
    }

    /// Reads the list of reigns, ends a reign that is over, and renews the port's certificate.
    async fn upkeep(&self, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: both arms only wait.
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let lead = self.shell.lead.borrow().clone();
            if let Some(lead) = lead {
                lead.refresh().await;
                if lead.token.check().is_err() || !lead.epochs.view().is_last() {
                    tracing::warn!("this reign has ended; sessions end");
                    self.stand_down();
                }
            }
            self.renew_tls();
        }
    }

    /// At half of its life.
    fn renew_tls(&self) {
        let mut ends_unix = self
            .tls_ends_unix
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.shell.pki.is_due(*ends_unix) {
            return;
        }
        match self.shell.pki.fleet_tls(&self.shell.cfg.server_names) {
            Ok((tls, ends)) => {
                self.tls.store(tls);
                *ends_unix = ends;
                tracing::info!("certificate of the fleet port renewed");
            }
            Err(error) => tracing::error!(%error, "certificate of the fleet port not renewed"),
        }
    }
}
