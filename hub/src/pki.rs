//! Who speaks for a cluster: the CA, join tokens, enrolments, leaves and their revocation.
//!
//! Decides every field of every certificate, and is the only maker of a `ClusterScope`. Never believes a
//! name that a peer writes: names come from tokens that people made, and from enrolments.

mod ca;
mod enrolments;
mod join;
mod names;
mod records;
mod revocations;
mod scope;
mod tokens;
mod verifier;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use flotilla_proto::limits::LEAF_LIFE;
use ring::rand::{SecureRandom, SystemRandom};

use crate::durable::{Durable, DurableError};

pub use ca::{Ca, CursorKey, IssuedServer, LeafParts};
pub use join::{Proof, RecoverAsk, RenewAsk};
pub use names::LeafNames;
pub use records::Standing;
pub use revocations::Revocations;
pub use scope::{ClusterScope, ScopeError};
pub use tokens::JoinAsk;

/// Reads the wall clock; certificates and tokens alone need it.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Why an identity was not given. The text is for the person who runs the agent.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Unknown token or wrong secret: one answer for both, so that nobody learns which tokens exist.
    #[error(
        "the join token is unknown or its secret is wrong; make a new one with `flotilla token create`"
    )]
    NoSuchToken,
    /// Past its time.
    #[error("the join token has expired; make a new one with `flotilla token create`")]
    Expired,
    /// Used with another key.
    #[error(
        "the join token was used by another agent; make a new one with `flotilla token create`"
    )]
    Used,
    /// Too many wrong secrets.
    #[error("the join token is locked after too many wrong secrets; make a new one")]
    TokenLocked,
    /// The same member under another name.
    #[error(
        "this member already is cluster {other}; it cannot join as {name} too (unjoin it first)"
    )]
    UidTaken {
        /// Name of the token.
        name: String,
        /// Name it has already.
        other: String,
    },
    /// Another member under this name.
    #[error("cluster {name} is another member; unjoin it first, or make a token with another name")]
    NameTaken {
        /// Name of the token.
        name: String,
    },
    /// A person took the right away.
    #[error("the enrolment of cluster {name} is {standing}; a person must decide about it")]
    NotActive {
        /// Name of the cluster.
        name: String,
        /// Its standing.
        standing: &'static str,
    },
    /// The same identity in two places.
    #[error("the identity of cluster {name} is in use twice; it is locked until a person decides")]
    Cloned {
        /// Name of the cluster.
        name: String,
    },
    /// Counter and fence of an agent that was replaced.
    #[error("this agent is older than the one that speaks for cluster {name}")]
    Outdated {
        /// Name of the cluster.
        name: String,
    },
    /// Too many recoveries.
    #[error("cluster {name} asked for recovery too often; a person must approve, or wait a day")]
    TooOften {
        /// Name of the cluster.
        name: String,
    },
    /// No such enrolment, or another key: one answer for both.
    #[error("no enrolment fits this key")]
    NotEnrolled,
    /// A field of the request is unfit.
    #[error("{0}")]
    Bad(&'static str),
    /// The proof of the identity key does not hold on this connection.
    #[error("the signature does not fit this connection")]
    Signature,
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[source] rcgen::Error),
    /// The stored CA cannot be read.
    #[error("the stored CA cannot be read: {0}")]
    Stored(&'static str),
    /// The system gives no random bits.
    #[error("the system gives no random bits")]
    Random,
    /// The TLS library refused our own parts.
    #[error("the TLS library refused the hub's own certificate")]
    Tls(#[source] rustls::Error),
    /// The front door failed.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

/// How identities are named and dated.
#[derive(Clone)]
pub struct PkiConfig {
    /// Domain under which leaves are named.
    pub hub_domain: String,
    /// Life of an agent's leaf.
    pub leaf_life: Duration,
    /// Reads the wall clock.
    pub clock: WallClock,
}

impl PkiConfig {
    /// With the system's clock and leaves of a day.
    #[must_use]
    pub fn new(hub_domain: &str) -> Self {
        Self {
            hub_domain: hub_domain.to_owned(),
            leaf_life: LEAF_LIFE,
            clock: Arc::new(SystemTime::now),
        }
    }
}

/// Everything about identity, over what lasts at the front door.
pub struct Pki {
    durable: Arc<dyn Durable>,
    clock: WallClock,
    ca: Ca,
    names: LeafNames,
    revocations: Arc<Revocations>,
    enrolments: enrolments::Table,
    /// One join at a time: the check that a UID is free and the write of the Cluster are two requests.
    joining: tokio::sync::Mutex<()>,
    /// Wrong secrets per token that exists.
    failures: Mutex<BTreeMap<String, u32>>,
    /// Times of recoveries per cluster, in Unix seconds.
    recoveries: Mutex<BTreeMap<String, Vec<u64>>>,
}

impl Pki {
    /// Reads the CA from the front door; makes it when there is none.
    ///
    /// # Errors
    /// When the front door fails or the stored CA is broken.
    pub async fn open(durable: Arc<dyn Durable>, cfg: PkiConfig) -> Result<Self, PkiError> {
        let ca = Ca::open(durable.as_ref(), &cfg.clock, cfg.leaf_life).await?;
        let revocations = Arc::new(Revocations::default());
        Ok(Self {
            names: LeafNames::new(&cfg.hub_domain),
            enrolments: enrolments::Table::new(Arc::clone(&durable), Arc::clone(&revocations)),
            durable,
            clock: cfg.clock,
            ca,
            revocations,
            joining: tokio::sync::Mutex::new(()),
            failures: Mutex::default(),
            recoveries: Mutex::default(),
        })
    }

    /// The CA.
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// What is known about clusters' standing.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Reads all enrolments again, as a new leader must before it serves.
    ///
    /// # Errors
    /// When the front door fails.
    pub async fn reload(&self) -> Result<(), PkiError> {
        self.enrolments.reload().await
    }

    /// A certificate for one of the hub's own ports, made by our CA.
    ///
    /// # Errors
    /// When a name is no DNS name or address, or the key cannot be made.
    pub fn issue_server(&self, names: &[String]) -> Result<IssuedServer, PkiError> {
        self.ca.issue_server(names, self.now_unix())
    }

    /// Whether half of a server certificate's life is over.
    #[must_use]
    pub fn is_due(&self, not_after_unix: u64) -> bool {
        self.now_unix() + ca::SERVER_LIFE_SECS / 2 > not_after_unix
    }

    fn now_unix(&self) -> u64 {
        unix((self.clock)())
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| PkiError::Random)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn sha256(bytes: &[u8]) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, bytes)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
