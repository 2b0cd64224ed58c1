//! The shell around a session's link: dials, carries frames both ways, waits before trying again,
//! renews the leaf. Moves values only; what is said is the machine's business.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flotilla_proto::limits::{BACKOFF_MAX, BACKOFF_MIN, DECODE_BYTES_MAX, QUEUE_MSGS_MAX};
use flotilla_proto::v1;
use flotilla_proto::v1::fleet_client::FleetClient;
use rustls::AlertDescription;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::Input;
use crate::identity::tls::Dialled;
use crate::identity::{Identity, IdentityError, enrol, tls};
use crate::retry::Retry;

/// A stream that held this long begins the back-off anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// A renewal that failed is tried again after this; the leaf has half of its life left.
const RENEW_RETRY: Duration = Duration::from_secs(150);
/// No timer is longer, so that a wrong clock is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// What the engine holds of an open stream.
#[derive(Debug)]
pub struct Handle {
    /// Frames to the hub.
    pub frames: mpsc::Sender<v1::AgentFrame>,
    /// Closes it; the value says not to come back before.
    pub close: oneshot::Sender<Option<Duration>>,
}

/// What a link tells the engine.
#[derive(Debug)]
pub enum Event {
    /// A stream is open.
    Up(Handle),
    /// Something for the session.
    Input(Box<Input>),
    /// There will be no stream any more.
    Over(String),
}

/// What a link needs.
pub struct Linking {
    /// Who this agent is.
    pub identity: Identity,
    /// UID of the member.
    pub cluster_uid: String,
    /// Fence of this leader.
    pub fence: u64,
    /// Where news go.
    pub events: mpsc::Sender<Event>,
    /// Roots that the hub announced.
    pub trust: mpsc::Receiver<v1::Trust>,
    /// Seed of jitter.
    pub seed: u64,
}

enum End {
    /// Try again after the back-off.
    Lost(String),
    /// Try again, not before this.
    After(Option<Duration>),
    /// At once: the leaf is new.
    Renewed,
    /// The leaf is not accepted: recover it.
    Leafless(String),
    /// Never again.
    Final(String),
}

/// Now, in Unix seconds.
#[must_use]
pub fn now_unix() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Linking {
    /// Keeps a stream to the hub until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        // Cancel-safe: nothing of a stream outlives the task.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut retry = Retry::new(BACKOFF_MIN, BACKOFF_MAX, self.seed);
        loop {
            let started = Instant::now();
            let end = self.once().await;
            if started.elapsed() > HEALTHY {
                retry.reset();
            }
            let wait = match end {
                End::Renewed => Duration::ZERO,
                End::Lost(why) => {
                    let wait = retry.next_wait();
                    tracing::warn!(%why, wait_ms = wait.as_millis(), "no stream to the hub");
                    wait
                }
                End::After(after) => retry.next_wait().max(after.unwrap_or_default()),
                End::Leafless(why) => match self.recover(&why).await {
                    Ok(()) => Duration::ZERO,
                    Err(End::Final(why)) => return self.over(why).await,
                    Err(_) => retry.next_wait(),
                },
                End::Final(why) => return self.over(why).await,
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn over(&self, why: String) {
        self.events.send(Event::Over(why)).await.ok();
    }

    async fn recover(&mut self, why: &str) -> Result<(), End> {
        tracing::info!(%why, "asking for a new leaf by the identity key");
        let recovered = enrol::recover(
            &mut self.identity,
            &self.cluster_uid,
            self.fence,
            now_unix(),
        );
        match recovered.await {
            Ok(()) => Ok(()),
            Err(IdentityError::Refused {
                why,
                last_word: true,
                ..
            }) => Err(End::Final(format!(
                "the hub does not accept this cluster any more ({why}); to join again, make a new \
                 join string with `flotilla token create NAME`"
            ))),
            Err(error) => {
                tracing::warn!(%error, "no new leaf");
                Err(End::Lost(error.to_string()))
            }
        }
    }

    /// One connection, from dialling to its end.
    async fn once(&mut self) -> End {
        if self.identity.not_after_unix() <= now_unix() {
            return End::Leafless("the leaf has ended".to_owned());
        }
        let (chain, key, bundle) = self.identity.credentials();
        let (hub, server_name) = self.identity.hub();
        let config = match tls::session_config(chain, key, bundle) {
            Ok(config) => config,
            Err(error) => return End::Leafless(error.to_string()),
        };
        let dialled = match tls::dial(hub, server_name, config).await {
            Ok(dialled) => dialled,
            Err(error) => return End::Lost(error.to_string()),
        };
        let alert = dialled.alert.clone();
        let end = self.stream(dialled).await;
        match (end, alert.get()) {
            (End::Lost(_), Some(alert)) => by_alert(alert),
            (end, _) => end,
        }
    }

    async fn stream(&mut self, dialled: Dialled) -> End {
        let (frames, outbound) = mpsc::channel(QUEUE_MSGS_MAX);
        let (close, mut closed) = oneshot::channel();
        let mut client = FleetClient::new(dialled.channel.clone())
            .max_decoding_message_size(DECODE_BYTES_MAX)
            .max_encoding_message_size(DECODE_BYTES_MAX);
        // The hub answers only to a Hello, so the machine must be able to say it first.
        let up = Event::Up(Handle { frames, close });
        if self.events.send(up).await.is_err() {
            return End::Lost("the agent ends".to_owned());
        }
        let answer = client.session(ReceiverStream::new(outbound)).await;
        let end = match answer {
            Ok(answer) => {
                let inbound = answer.into_inner();
                self.carry(inbound, &mut closed, dialled).await
            }
            Err(status) => by_status(&status),
        };
        let down = Event::Input(Box::new(Input::LinkDown));
        self.events.send(down).await.ok();
        end
    }

    async fn carry(
        &mut self,
        mut inbound: Streaming<v1::HubFrame>,
        closed: &mut oneshot::Receiver<Option<Duration>>,
        dialled: Dialled,
    ) -> End {
        // Moments, not spans: frames arrive all the time, and none of them may put a renewal off.
        let look_at = |wait: Duration| Instant::now() + wait.min(LOOK_EVERY);
        let mut look = look_at(self.identity.renew_in(now_unix()));
        loop {
            // Cancel-safe: a frame that is not taken stays in the stream, and so do the others.
            tokio::select! {
                frame = inbound.message() => match frame {
                    Ok(Some(frame)) => {
                        let input = Event::Input(Box::new(Input::FromHub(frame)));
                        if self.events.send(input).await.is_err() {
                            return End::Lost("the agent ends".to_owned());
                        }
                    }
                    Ok(None) => return End::Lost("the hub ended the stream".to_owned()),
                    Err(status) => return by_status(&status),
                },
                after = &mut *closed => return End::After(after.ok().flatten()),
                Some(trust) = self.trust.recv() => {
                    if let Err(error) = self.identity.trust(&trust).await {
                        tracing::warn!(%error, "new roots cannot be kept");
                    }
                }
                () = tokio::time::sleep_until(look) => {
                    let left = self.identity.renew_in(now_unix());
                    if !left.is_zero() {
                        look = look_at(left);
                        continue;
                    }
                    match self.renew(&dialled).await {
                        Ok(()) => return End::Renewed,
                        Err(Some(end)) => return end,
                        Err(None) => look = look_at(RENEW_RETRY),
                    }
                }
            }
        }
    }

    async fn renew(&mut self, dialled: &Dialled) -> Result<(), Option<End>> {
        let channel = dialled.channel.clone();
        match enrol::renew(&mut self.identity, channel, self.fence, now_unix()).await {
            Ok(()) => {
                tracing::info!(
                    not_after_unix = self.identity.not_after_unix(),
                    "leaf renewed"
                );
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "leaf is not renewed");
                Err(None)
            }
        }
    }
}

/// What the hub's refusal at the handshake means.
fn by_alert(alert: AlertDescription) -> End {
    let why = format!("the hub refuses this agent's certificate ({alert:?})");
    match alert {
        AlertDescription::CertificateRevoked | AlertDescription::AccessDenied => {
            End::Final(format!("{why}: this cluster was revoked"))
        }
        AlertDescription::CertificateExpired
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown => End::Leafless(why),
        _ => End::Lost(why),
    }
}

/// What the end of a stream means; the one border to the transport's codes.
fn by_status(status: &Status) -> End {
    let why = status.message().to_owned();
    match status.code() {
        Code::PermissionDenied => End::Final(why),
        Code::Unauthenticated => End::Leafless(why),
        _ => End::Lost(format!("{:?}: {why}", status.code())),
    }
}
