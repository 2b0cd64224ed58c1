//! The Fleet service: a loop around the session machine that only moves values.
//!
//! Makes the scope from the TLS peer, checks it for each message and by a sweep, and turns the machine's
//! facts into reports and log lines. Decides nothing that a rule of the protocol decides.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use flotilla_proto::limits::QUEUE_MSGS_MAX;
use flotilla_proto::v1;
use flotilla_proto::v1::fleet_server::Fleet;
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::enrolment::{peer_of, to_leaf, to_status};
use super::reports::Liveness;
use super::server::{Lead, SWEEP_INTERVAL, Shell};
use super::session::{Fact, HoldWhy, Input, Output, Seating, Session, SessionConfig};
use super::sessions::{ReleaseOrder, Seat};
use crate::pki::{ClusterScope, RenewAsk, ScopeError};

/// The machine keeps to its own limit; a goodbye goes out beyond it.
const CHANNEL_MSGS: usize = QUEUE_MSGS_MAX + 16;

/// The service.
pub(super) struct FleetService {
    pub(super) shell: Arc<Shell>,
}

#[tonic::async_trait]
impl Fleet for FleetService {
    type SessionStream = Outgoing;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentFrame>>,
    ) -> Result<Response<Outgoing>, Status> {
        let scope = self.scope_of(&request).await?;
        let lead = self.shell.lead()?;
        let (tx, rx) = mpsc::channel(CHANNEL_MSGS);
        let drained = Arc::new(Drained::default());
        let outgoing = Outgoing {
            rx,
            drained: Arc::clone(&drained),
        };
        let span = tracing::info_span!("session", cluster = %scope.cluster());
        let run = Run {
            shell: Arc::clone(&self.shell),
            lead,
            scope,
            tx,
            drained,
        };
        let inbound = request.into_inner();
        let task = run.run(inbound).instrument(span);
        self.shell.tasks.spawn(task);
        Ok(Response::new(outgoing))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::Leaf>, Status> {
        let scope = self.scope_of(&request).await?;
        self.shell.lead()?;
        let pki = self.shell.pki();
        let renew = request.get_ref();
        let ask = RenewAsk {
            csr_der: &renew.csr_der,
            counter: renew.counter,
            fence: renew.fence,
        };
        match pki.renew(&scope, &ask).await {
            Ok(leaf) => {
                tracing::info!(cluster = %scope.cluster(), "leaf renewed");
                Ok(Response::new(to_leaf(pki, scope.cluster(), leaf)))
            }
            Err(error) => {
                tracing::warn!(cluster = %scope.cluster(), %error, "renewal refused");
                Err(to_status(&error))
            }
        }
    }
}

impl FleetService {
    /// The one way from a request to a cluster.
    async fn scope_of<T>(&self, request: &Request<T>) -> Result<ClusterScope, Status> {
        let peer = peer_of(request)?;
        let scope = self.shell.pki().scope(peer.certificates()).await;
        scope.map_err(|error| {
            tracing::info!(address = %peer.address(), %error, "peer refused");
            match error {
                ScopeError::Denied => Status::permission_denied(error.to_string()),
                ScopeError::Read(_) => Status::unavailable(error.to_string()),
                ScopeError::NoCertificate | ScopeError::NotALeaf | ScopeError::Ended => {
                    Status::unauthenticated(error.to_string())
                }
            }
        })
    }
}

/// Frames that the transport took.
#[derive(Debug, Default)]
struct Drained {
    msgs: AtomicUsize,
    bytes: AtomicUsize,
    more: Notify,
}

/// The response stream: says back what left the queue.
pub(super) struct Outgoing {
    rx: mpsc::Receiver<(v1::HubFrame, usize)>,
    drained: Arc<Drained>,
}

impl Stream for Outgoing {
    type Item = Result<v1::HubFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rx.poll_recv(cx).map(|next| {
            let (frame, bytes) = next?;
            self.drained.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.drained.msgs.fetch_add(1, Ordering::Release);
            self.drained.more.notify_one();
            Some(Ok(frame))
        })
    }
}

/// What woke a session's loop.
enum Woken {
    Input(Box<Input>),
    Share,
    Check,
    Timeout,
    Lost,
}

/// One session's task.
struct Run {
    shell: Arc<Shell>,
    lead: Arc<Lead>,
    scope: ClusterScope,
    tx: mpsc::Sender<(v1::HubFrame, usize)>,
    drained: Arc<Drained>,
}

impl Run {
    async fn run(self, mut inbound: Streaming<v1::AgentFrame>) {
        let mut machine = Session::new(self.config(), Instant::now());
        let mut seat: Option<Seat> = None;
        let mut lost = "ConnectionLost";
        let mut share = self.lead.shares.subscribe(&self.scope);
        let mut epochs = self.lead.epochs.subscribe();
        let mut standing = self.shell.pki().revocations().subscribe();
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.drain(&mut machine, &mut seat, &mut lost).await {
            let due = machine.poll_timeout().map(|(at, _)| at);
            let is_seated = seat.is_some();
            let replaced = seat.as_ref().map(|seat| seat.replaced.clone());
            let woken = tokio::select! {
                biased;
                // Every arm is cancel-safe: tokens, watches, notifications and channels keep what was
                // not taken, and so does the inbound stream.
                () = self.shell.shutdown.cancelled() => stop("the hub shuts down", false),
                () = self.lead.ended.cancelled() => stop("this hub does not lead any more", false),
                () = cancelled(replaced) => stop("a newer session has the place", false),
                Ok(()) = standing.changed() => Woken::Check,
                () = self.drained.more.notified() => input(self.taken()),
                Some(order) = orders(&mut seat) => input(Input::Release {
                    approval: order.approval,
                    ids: order.ids,
                }),
                Ok(()) = epochs.changed() => input(Input::Epochs(self.lead.epochs.view())),
                Ok(()) = share.changed(), if is_seated => Woken::Share,
                _ = sweep.tick() => Woken::Check,
                frame = inbound.message() => match frame {
                    Ok(Some(frame)) if self.shell.pki().holds(&self.scope) => {
                        input(Input::Frame(frame))
                    }
                    Ok(Some(_)) => Woken::Check,
                    Ok(None) | Err(_) => Woken::Lost,
                },
                () = wait(due) => Woken::Timeout,
            };
            if !self.feed(&mut machine, seat.as_ref(), woken) {
                break;
            }
        }
        if let Some(seat) = seat {
            let lead = &self.lead;
            let liveness = Liveness::Lost { reason: lost };
            seat.leave_with(|| lead.reports.liveness(&self.scope, liveness));
        }
        tracing::info!(reason = lost, "session ended");
    }

    /// Gives the machine what woke the loop; false when the stream is gone.
    fn feed(&self, machine: &mut Session, seat: Option<&Seat>, woken: Woken) -> bool {
        let now = Instant::now();
        match woken {
            Woken::Input(input) => machine.handle(*input, now),
            Woken::Timeout => machine.handle_timeout(now),
            Woken::Share => {
                let revision = self.lead.mark_revision();
                let dirty = || self.lead.shares.take_dirty(&self.scope);
                if let Some(works) = seat.and_then(|seat| seat.while_mine(dirty)) {
                    machine.handle(Input::Share { works, revision }, now);
                }
            }
            Woken::Check => {
                if !self.shell.pki().holds(&self.scope) {
                    let reason = "this identity may not connect any more";
                    let last = !self.shell.pki().has_expired(&self.scope);
                    machine.handle(Input::Stop { reason, last }, now);
                } else if self.lead.token.check().is_err() {
                    let reason = "this hub does not lead any more";
                    machine.handle(
                        Input::Stop {
                            reason,
                            last: false,
                        },
                        now,
                    );
                }
            }
            Woken::Lost => return false,
        }
        true
    }

    /// Does what the machine wants; false when the session is over.
    async fn drain(
        &self,
        machine: &mut Session,
        seat: &mut Option<Seat>,
        lost: &mut &'static str,
    ) -> bool {
        while let Some(output) = machine.poll_output() {
            let now = Instant::now();
            match output {
                Output::Send { frame, bytes } => {
                    if self.tx.try_send((frame, bytes)).is_err() {
                        return false;
                    }
                }
                Output::Claim { fence } => machine.handle(self.claim(fence, seat), now),
                Output::ReadBody(digest) => {
                    let body = self.lead.shares.body(&self.scope, digest);
                    machine.handle(Input::Body(body), now);
                }
                Output::RefreshEpochs => {
                    self.lead.refresh().await;
                    let view = self.lead.epochs.view();
                    machine.handle(Input::Epochs(view), Instant::now());
                }
                Output::Raise { seen_term } => self.lead.raise(seen_term).await,
                Output::Fact(fact) => self.report(fact, lost),
                Output::Close => return false,
            }
        }
        // The first minute of a leader passes by itself; the rest waits for a person.
        let held = machine.held().values();
        let held = held.filter(|why| **why != HoldWhy::NewLeader).count();
        self.lead.reports.held(&self.scope, held);
        true
    }

    fn claim(&self, fence: u64, seat: &mut Option<Seat>) -> Input {
        let mine = match self.lead.sessions.claim(&self.scope, fence) {
            Ok(mine) => mine,
            Err(lower) => {
                tracing::info!(
                    fence,
                    held = lower.held,
                    "a leader with a higher fence is here"
                );
                return Input::Refused { fence: lower.held };
            }
        };
        let revision = self.lead.mark_revision();
        let works = mine.while_mine(|| self.lead.shares.snapshot(&self.scope));
        let Some(works) = works else {
            return Input::Refused { fence };
        };
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let unix_ms = unix.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
        let memory = Arc::clone(&mine.memory);
        *seat = Some(mine);
        Input::Seated(Box::new(Seating {
            epochs: self.lead.epochs.view(),
            memory,
            works,
            revision,
            unix_ms,
        }))
    }

    fn config(&self) -> SessionConfig {
        let ca = self.shell.pki().ca();
        SessionConfig {
            cluster_uid: self.scope.cluster_uid().to_owned(),
            hub_id: self.shell.cfg.hub_id.clone(),
            heartbeat: self.shell.cfg.heartbeat,
            cursor_key: ca.cursor_key().clone(),
            numbers: Arc::clone(&self.lead.numbers),
            led_since: self.lead.since,
            trust_version: ca.bundle_version(),
        }
    }

    fn taken(&self) -> Input {
        Input::Drained {
            msgs: self.drained.msgs.swap(0, Ordering::Acquire),
            bytes: self.drained.bytes.swap(0, Ordering::Relaxed),
        }
    }

    fn report(&self, fact: Fact, lost: &mut &'static str) {
        let reports = &self.lead.reports;
        match fact {
            Fact::Open { mode, restarted } => {
                if restarted {
                    reports.forget_all(&self.scope);
                }
                reports.liveness(&self.scope, Liveness::Connected);
                tracing::info!(mode = mode.as_str_name(), "session is up");
            }
            Fact::Work(id, report) => reports.work(&self.scope, id, report),
            Fact::Settled { id, made_at } => {
                reports.settle(&self.scope, id, made_at);
                reports.forget_work(&self.scope, id);
            }
            Fact::Capacity(status) => reports.capacity(&self.scope, status),
            Fact::MemberApi { reachable, detail } => {
                tracing::info!(reachable, detail, "agent and its member's API");
            }
            Fact::Orphan(id, detail) => tracing::warn!(%id, detail, "a work nobody decided runs"),
            Fact::Reappeared(id, detail) => tracing::warn!(%id, detail, "an object came back"),
            Fact::HeldByAgent(id, detail) => tracing::warn!(%id, detail, "the agent holds a work"),
            Fact::Held { why, count } => tracing::warn!(?why, count, "held until released"),
            Fact::Recovered => tracing::info!("recovery of this cluster is over"),
            Fact::NotYours => tracing::debug!("report about no work of this cluster dropped"),
            Fact::Silent => *lost = "AgentSilent",
            Fact::RuleBroken(rule) => {
                *lost = "RuleBroken";
                tracing::warn!(rule, "agent broke a rule");
            }
            Fact::Ended(reason) => {
                if *lost == "ConnectionLost" {
                    *lost = "SessionEnded";
                }
                tracing::debug!(reason, "session ends");
            }
        }
    }
}

fn stop(reason: &'static str, last: bool) -> Woken {
    input(Input::Stop { reason, last })
}

fn input(input: Input) -> Woken {
    Woken::Input(Box::new(input))
}

async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn orders(seat: &mut Option<Seat>) -> Option<ReleaseOrder> {
    match seat {
        Some(seat) => seat.orders.recv().await,
        None => std::future::pending().await,
    }
}

async fn wait(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
