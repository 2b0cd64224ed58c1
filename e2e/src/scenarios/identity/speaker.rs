//! Speaks to the hub as a cluster's agent, with that cluster's own leaf, and keeps all that it hears.
//!
//! Uses the agent's own way to dial and says nothing that an agent would not.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flotilla_agent::identity::tls;
use flotilla_proto::convert::body::decompress;
use flotilla_proto::digest::{BUCKETS, Digest};
use flotilla_proto::limits::{VERSION_MAX, VERSION_MIN};
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::delta::Op;
use flotilla_proto::v1::fleet_client::FleetClient;
use flotilla_proto::v1::hub_frame::Frame as FromHub;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::scenario::Stage;
use crate::world::WorldError;

/// The hub answers sooner, or something is wrong.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const SECRET: (&str, &str) = ("v1", "Secret");

pub(super) struct Speaker {
    frames_tx: mpsc::Sender<v1::AgentFrame>,
    frames_rx: Streaming<v1::HubFrame>,
    /// All frames and bodies, as text.
    pub(super) heard: String,
}

fn said(what: impl ToString) -> WorldError {
    WorldError::Expected(what.to_string())
}

impl Speaker {
    /// Opens the stream with the leaf of `member`; its agent must not run.
    pub(super) async fn open(stage: &Stage<'_>, member: &str) -> Result<Self, WorldError> {
        let objects = stage.member(member).await?;
        let secret = objects
            .get(SECRET, ("flotilla-system", "flotilla-identity"))
            .await?;
        let secret = secret.ok_or_else(|| said("the member has no identity"))?;
        let field = |name: &str| text(&secret, name);
        let (chain, key, trust) = (field("tls.crt")?, field("tls.key")?, field("trust.crt")?);
        let config = tls::session_config(&chain, &key, &trust).map_err(said)?;
        let dialled = tls::dial(&field("hub")?, &field("server-name")?, config).await;
        let mut client = FleetClient::new(dialled.map_err(said)?.channel);
        let (frames_tx, frames) = mpsc::channel(64);
        let opened = client.session(ReceiverStream::new(frames)).await;
        Ok(Self {
            frames_tx,
            frames_rx: opened.map_err(said)?.into_inner(),
            heard: String::new(),
        })
    }

    pub(super) async fn hello(&self, cluster_uid: &str, fence: u64) {
        self.say(ToHub::Hello(v1::Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            cluster_uid: cluster_uid.to_owned(),
            fence,
            ..v1::Hello::default()
        }))
        .await;
    }

    async fn say(&self, frame: ToHub) {
        let frame = v1::AgentFrame { frame: Some(frame) };
        // A stream that the hub has closed shows at the next read.
        let _ = self.frames_tx.send(frame).await;
    }

    /// The next frame; none when the stream ended.
    pub(super) async fn next(&mut self) -> Result<Option<FromHub>, WorldError> {
        let next = timeout(ANSWER_MAX, self.frames_rx.message()).await;
        let frame = next.map_err(|_| said("the hub says nothing"))?;
        let frame = frame.ok().flatten().and_then(|f| f.frame);
        self.heard.push_str(&format!("{frame:?}\n"));
        Ok(frame)
    }

    /// Says that it has nothing, and takes in everything up to the checkpoint: digests of all bodies.
    pub(super) async fn sync(&mut self) -> Result<BTreeSet<Digest>, WorldError> {
        let mut digests = BTreeSet::new();
        while let Some(frame) = self.next().await? {
            match frame {
                FromHub::Welcome(_) => {
                    let digests = vec![0; BUCKETS * 32].into();
                    self.say(ToHub::Buckets(v1::Buckets { digests })).await;
                }
                FromHub::BucketWant(_) => {
                    let (items, last) = (Vec::new(), true);
                    self.say(ToHub::Inventory(v1::Inventory { items, last }))
                        .await;
                }
                FromHub::Delta(v1::Delta {
                    op: Some(Op::Upsert(upsert)),
                    ..
                }) => {
                    let both = [&upsert.template_digest, &upsert.overrides_digest];
                    digests.extend(both.into_iter().filter_map(|d| Digest::from_wire(d)));
                }
                FromHub::Checkpoint(_) => return Ok(digests),
                FromHub::Goaway(goaway) => return Err(said(format!("{goaway:?}"))),
                _ => {}
            }
        }
        Err(said("the stream ended before a checkpoint"))
    }

    /// Asks for a body: whether the hub gave it.
    pub(super) async fn body(&mut self, digest: Digest) -> Result<bool, WorldError> {
        let want = v1::BodyWant {
            digest: digest.to_wire(),
            offset: 0,
        };
        self.say(ToHub::BodyWant(want)).await;
        let mut whole = Vec::new();
        while let Some(frame) = self.next().await? {
            let FromHub::BodyChunk(chunk) = frame else {
                continue;
            };
            if chunk.missing {
                return Ok(false);
            }
            whole.extend_from_slice(&chunk.bytes);
            if chunk.last {
                let raw = decompress(&Bytes::from(whole), digest).map_err(said)?;
                self.heard.push_str(&String::from_utf8_lossy(&raw));
                return Ok(true);
            }
        }
        Err(said("the stream ended within a body"))
    }

    /// Whether the hub ends the stream for good before it says anything else.
    pub(super) async fn is_sent_away(&mut self) -> Result<bool, WorldError> {
        Ok(match self.next().await? {
            Some(FromHub::Goaway(goaway)) => goaway.r#final,
            other => other.is_none(),
        })
    }
}

fn text(secret: &Value, name: &str) -> Result<String, WorldError> {
    let encoded = secret["data"][name].as_str().unwrap_or("");
    let bytes = STANDARD.decode(encoded).map_err(said)?;
    String::from_utf8(bytes).map_err(said)
}
