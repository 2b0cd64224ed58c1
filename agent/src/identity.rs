//! Who this agent is: an identity key that stays, a TLS key and a leaf that change, and whom it trusts.
//! One Secret of the member, written by compare-and-swap before anything in it is used.
//!
//! Decides when a leaf is renewed, and whether to join, renew or recover. `tls` dials, `enrol` asks.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_proto::join::JoinString;
use flotilla_proto::limits::LEAF_LIFE;
use flotilla_proto::v1;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::ledger::{Secrets, Stored};
use crate::member::MemberError;

pub mod enrol;
pub mod tls;

/// Name of the Secret.
const NAME: &str = "flotilla-identity";

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The member does not let us keep it.
    #[error("the identity cannot be kept in the member")]
    Member(#[from] MemberError),
    /// What is kept is broken, or a key cannot be made.
    #[error("identity: {0}")]
    Broken(String),
    /// Nothing is kept, and there is no join string.
    #[error(
        "this cluster has not joined yet: give the agent a join string \
         (--join-file FILE, or FLOTILLA_JOIN), made with `flotilla token create NAME`"
    )]
    NoJoinString,
    /// The hub cannot be reached or does not answer.
    #[error("{0}")]
    Hub(#[from] tls::DialError),
    /// The hub refuses.
    #[error("the hub refuses to {what}: {why}")]
    Refused {
        /// Join, renew or recover.
        what: &'static str,
        /// Its words.
        why: String,
        /// Trying again cannot help.
        last_word: bool,
    },
}

/// The identity as it is kept.
pub struct Identity {
    secrets: Secrets,
    stored: Stored,
}

fn broken(what: impl ToString) -> IdentityError {
    IdentityError::Broken(what.to_string())
}

impl Identity {
    /// Reads what is kept.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn load(secrets: Secrets) -> Result<Self, IdentityError> {
        let stored = secrets.read(NAME).await?;
        Ok(Self { secrets, stored })
    }

    /// Changes what is kept, durably.
    async fn keep(&mut self, changes: &[(&str, &[u8])]) -> Result<(), IdentityError> {
        let mut data: BTreeMap<String, Vec<u8>> = self.stored.data.clone();
        for (name, bytes) in changes {
            data.insert((*name).to_owned(), bytes.to_vec());
        }
        let swapped = self.secrets.swap(NAME, "identity", &mut self.stored, data);
        if let Err(error) = swapped.await {
            // Another process may have been faster, or an answer was lost: go on from what is kept.
            self.stored = self.secrets.read(NAME).await?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Makes the keys for a join string, unless they are those of this very join string already.
    ///
    /// # Errors
    /// When they cannot be made or kept.
    pub async fn prepare(&mut self, join: &JoinString) -> Result<(), IdentityError> {
        let token = format!("{}/{}", join.hub, join.token);
        if self.stored.text("token") == token && self.stored.data.contains_key("identity.key") {
            return Ok(());
        }
        let random = SystemRandom::new();
        let identity = Ed25519KeyPair::generate_pkcs8(&random).map_err(broken)?;
        let tls = new_tls_key()?;
        self.stored.data.clear();
        self.keep(&[
            ("identity.key", identity.as_ref()),
            ("tls.key", tls.as_bytes()),
            ("token", token.as_bytes()),
            ("hub", join.hub.as_bytes()),
            ("server-name", join.server_name.as_bytes()),
            ("counter", b"0"),
        ])
        .await
    }

    /// Whether a hub gave this agent a leaf.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.stored.data.contains_key("tls.crt")
    }

    /// Whether the join string was used already.
    #[must_use]
    pub fn has_joined_by(&self, join: &JoinString) -> bool {
        let token = format!("{}/{}", join.hub, join.token);
        self.has_joined() && self.stored.text("token") == token
    }

    /// Name of the cluster, as the hub knows it.
    #[must_use]
    pub fn cluster(&self) -> &str {
        self.stored.text("cluster")
    }

    /// Where the hub is, and the name in its certificate.
    #[must_use]
    pub fn hub(&self) -> (&str, &str) {
        (self.stored.text("hub"), self.stored.text("server-name"))
    }

    /// The leaf with its chain, its key, and the roots to trust; all PEM.
    #[must_use]
    pub fn credentials(&self) -> (&str, &str, &str) {
        (
            self.stored.text("tls.crt"),
            self.stored.text("tls.key"),
            self.stored.text("trust.crt"),
        )
    }

    /// How often the leaf was renewed.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.stored.text("counter").parse().unwrap_or(0)
    }

    /// When the leaf ends, in Unix seconds.
    #[must_use]
    pub fn not_after_unix(&self) -> u64 {
        self.stored.text("not-after").parse().unwrap_or(0)
    }

    /// How long until the leaf is to be renewed: half of its life.
    #[must_use]
    pub fn renew_in(&self, now_unix: u64) -> Duration {
        let issued = self
            .stored
            .text("issued")
            .parse()
            .unwrap_or_else(|_| self.not_after_unix().saturating_sub(LEAF_LIFE.as_secs()));
        let half = issued + self.not_after_unix().saturating_sub(issued) / 2;
        Duration::from_secs(half.saturating_sub(now_unix))
    }

    /// The public identity key.
    ///
    /// # Errors
    /// When what is kept is broken.
    pub fn public_key(&self) -> Result<Vec<u8>, IdentityError> {
        Ok(self.key()?.public_key().as_ref().to_vec())
    }

    fn key(&self) -> Result<Ed25519KeyPair, IdentityError> {
        let pkcs8 = self.stored.data.get("identity.key");
        let pkcs8 = pkcs8.ok_or_else(|| broken("the identity key is missing"))?;
        Ed25519KeyPair::from_pkcs8(pkcs8).map_err(broken)
    }

    /// Signs for the hub.
    ///
    /// # Errors
    /// When what is kept is broken.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        Ok(self.key()?.sign(message).as_ref().to_vec())
    }

    /// A request for a leaf for the current TLS key.
    ///
    /// # Errors
    /// When what is kept is broken.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        to_request(self.stored.text("tls.key"))
    }

    /// Makes the key of the next leaf and raises the counter, durably, before either is used. A key
    /// that is there already belongs to a renewal whose answer was lost.
    ///
    /// # Errors
    /// When it cannot be made or kept.
    pub async fn prepare_renewal(&mut self) -> Result<(Vec<u8>, u64), IdentityError> {
        if self.stored.text("next.key").is_empty() {
            let key = new_tls_key()?;
            let counter = (self.counter() + 1).to_string();
            self.keep(&[
                ("next.key", key.as_bytes()),
                ("counter", counter.as_bytes()),
            ])
            .await?;
        }
        let request = to_request(self.stored.text("next.key"))?;
        Ok((request, self.counter()))
    }

    /// Keeps a leaf that the hub gave.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn accept(&mut self, leaf: &v1::Leaf, now_unix: u64) -> Result<(), IdentityError> {
        let next = self.stored.text("next.key").to_owned();
        let key = if next.is_empty() {
            self.stored.text("tls.key").to_owned()
        } else {
            next
        };
        let (not_after, issued) = (leaf.not_after_unix.to_string(), now_unix.to_string());
        let version = leaf.trust_version.to_string();
        self.keep(&[
            ("tls.crt", leaf.chain.as_bytes()),
            ("tls.key", key.as_bytes()),
            ("next.key", b""),
            ("trust.crt", leaf.trust_bundle.as_bytes()),
            ("trust-version", version.as_bytes()),
            ("serial", leaf.serial.as_bytes()),
            ("not-after", not_after.as_bytes()),
            ("issued", issued.as_bytes()),
            ("cluster", leaf.cluster.as_bytes()),
        ])
        .await
    }

    /// Trusts other roots from now on; an older or unreadable bundle changes nothing.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn trust(&mut self, trust: &v1::Trust) -> Result<(), IdentityError> {
        let held: u64 = self.stored.text("trust-version").parse().unwrap_or(0);
        if trust.version <= held || tls::roots(&trust.bundle).is_err() {
            return Ok(());
        }
        let version = trust.version.to_string();
        self.keep(&[
            ("trust.crt", trust.bundle.as_bytes()),
            ("trust-version", version.as_bytes()),
        ])
        .await
    }
}

fn new_tls_key() -> Result<String, IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
    Ok(key.serialize_pem())
}

fn to_request(key_pem: &str) -> Result<Vec<u8>, IdentityError> {
    let key = KeyPair::from_pem(key_pem).map_err(broken)?;
    let params = rcgen::CertificateParams::new(Vec::<String>::new()).map_err(broken)?;
    let request = params.serialize_request(&key).map_err(broken)?;
    Ok(request.der().to_vec())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::member::memory::{Fault, MemoryMember};

    fn mk_join() -> JoinString {
        JoinString {
            hub: "hub:1".into(),
            server_name: "hub".into(),
            root_spki_sha256: vec!["a7".repeat(32)],
            token: "t".into(),
            secret: [0; 32],
        }
    }

    fn mk_leaf(serial: &str) -> v1::Leaf {
        v1::Leaf {
            chain: "chain".into(),
            serial: serial.into(),
            not_after_unix: 1000 + 86_400,
            cluster: "edge".into(),
            ..v1::Leaf::default()
        }
    }

    #[test]
    fn keys_are_kept_before_they_are_used_and_survive_lost_answers() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let member = MemoryMember::default();
            let secrets = Secrets::new(Arc::new(member.clone()), "flotilla-system");
            let load = || Identity::load(secrets.clone());
            let mut identity = load().await.expect("reads");
            assert!(!identity.has_joined());
            identity.prepare(&mk_join()).await.expect("keeps");
            let (key, request) = (identity.public_key(), identity.request());
            let mut again = load().await.expect("reads");
            again.prepare(&mk_join()).await.expect("keeps nothing new");
            assert_eq!(again.public_key().expect("key"), key.expect("key"));
            assert!(!request.expect("request").is_empty());
            again.accept(&mk_leaf("1"), 1000).await.expect("keeps");
            assert!(again.has_joined_by(&mk_join()));
            assert_eq!(again.renew_in(1000), Duration::from_secs(43_200));

            member.set_fault(Some(Fault::After(0)));
            assert!(again.prepare_renewal().await.is_err());
            member.set_fault(None);
            let mut third = load().await.expect("reads");
            let (first, counter) = third.prepare_renewal().await.expect("kept already");
            assert_eq!(counter, 1);
            let tls_key = third.credentials().1.to_owned();
            third.accept(&mk_leaf("2"), 2000).await.expect("keeps");
            assert_ne!(third.credentials().1, tls_key);
            let (second, counter) = third.prepare_renewal().await.expect("keeps");
            assert!(counter == 2 && second != first);
        });
    }
}
