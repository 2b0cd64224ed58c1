//! Proofs, renewal and recovery: how a key that is enrolled gets its next leaf.
//!
//! A lower counter with a lower fence is an agent that was replaced; a lower counter with a current fence
//! is the same identity in two places, and both are shut out until a person decides.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::names::is_cluster_name;
use super::records::{Enrolled, Standing};
use super::{ClusterScope, LeafParts, Pki, PkiError, locked, sha256};
use crate::fleet::share::ClusterName;

/// Recoveries of one cluster per day: an agent needs one after each long absence.
const RECOVERIES_MAX: usize = 10;
const DAY_SECS: u64 = 24 * 3600;

/// A signature by the identity key, tied to one TLS connection.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// What the hub gave out on this connection, once.
    pub nonce: &'a [u8; 32],
    /// TLS exporter value of this connection.
    pub exporter: &'a [u8; 32],
    /// Ed25519 signature.
    pub signature: &'a [u8],
}

impl Proof<'_> {
    /// Checks it against a key and what it is said to cover.
    pub(super) fn verify(
        &self,
        what: &str,
        identity_key: &[u8],
        csr_der: &[u8],
        cluster_uid: &str,
    ) -> Result<(), PkiError> {
        let mut message = format!("flotilla {what} v1").into_bytes();
        message.extend_from_slice(self.nonce);
        message.extend_from_slice(self.exporter);
        message.extend_from_slice(sha256(csr_der).as_ref());
        message.extend_from_slice(cluster_uid.as_bytes());
        UnparsedPublicKey::new(&ED25519, identity_key)
            .verify(&message, self.signature)
            .map_err(|_| PkiError::Signature)
    }
}

/// What an agent asks for before its leaf ends.
pub struct RenewAsk<'a> {
    /// The request whose public key the leaf gets.
    pub csr_der: &'a [u8],
    /// How many renewals the agent has asked for, this one included.
    pub counter: u64,
    /// Its leader's fence.
    pub fence: u64,
}

/// What an agent asks for after its leaf ended.
pub struct RecoverAsk<'a> {
    /// Name it was given.
    pub cluster: &'a str,
    /// UID of its kube-system namespace.
    pub cluster_uid: &'a str,
    /// Counter, fence and request.
    pub renew: RenewAsk<'a>,
    /// That the identity key speaks on this connection.
    pub proof: Proof<'a>,
}

impl Pki {
    /// A new leaf for the cluster that speaks on this channel.
    ///
    /// # Errors
    /// When the agent is outdated or a clone.
    pub async fn renew(
        &self,
        scope: &ClusterScope,
        ask: &RenewAsk<'_>,
    ) -> Result<LeafParts, PkiError> {
        self.next_leaf(scope.cluster(), Some(scope.serial()), ask)
            .await
    }

    /// A new leaf for a cluster whose leaf ended, by proof of its identity key.
    ///
    /// # Errors
    /// When the key does not fit, or the agent is outdated, a clone, or asks too often.
    pub async fn recover(
        &self,
        ask: &RecoverAsk<'_>,
    ) -> Result<(ClusterName, LeafParts), PkiError> {
        if !is_cluster_name(ask.cluster) {
            return Err(PkiError::NotEnrolled);
        }
        let cluster = ClusterName::new(ask.cluster);
        let read = self.enrolments.read(&cluster).await?;
        let (_, enrolled) = read.ok_or(PkiError::NotEnrolled)?;
        let key = STANDARD.decode(&enrolled.identity_key);
        let key = key.map_err(|_| PkiError::NotEnrolled)?;
        let proven = ask
            .proof
            .verify("recover", &key, ask.renew.csr_der, ask.cluster_uid);
        if proven.is_err() || enrolled.cluster_uid != ask.cluster_uid {
            return Err(PkiError::NotEnrolled);
        }
        self.count_recovery(ask.cluster)?;
        let leaf = self.next_leaf(&cluster, None, &ask.renew).await?;
        Ok((cluster, leaf))
    }

    /// Takes a cluster's right away, at once and for good.
    ///
    /// # Errors
    /// When it is not enrolled or the front door fails.
    pub async fn revoke(&self, cluster: &ClusterName) -> Result<(), PkiError> {
        self.enrolments
            .set_standing(cluster, Standing::Revoked)
            .await
    }

    async fn next_leaf(
        &self,
        cluster: &ClusterName,
        serial: Option<&str>,
        ask: &RenewAsk<'_>,
    ) -> Result<LeafParts, PkiError> {
        let used = self.enrolments.newest_was_used(cluster);
        let check = |enrolled: &mut Enrolled| check(cluster, enrolled, serial, used, ask);
        let issued = self.issue(cluster, ask.csr_der, check).await;
        if matches!(issued, Err(PkiError::Cloned { .. })) {
            self.enrolments
                .set_standing(cluster, Standing::Locked)
                .await?;
        }
        issued
    }

    fn count_recovery(&self, cluster: &str) -> Result<(), PkiError> {
        let now = self.now_unix();
        let mut recoveries = locked(&self.recoveries);
        let times = recoveries.entry(cluster.to_owned()).or_default();
        times.retain(|t| t + DAY_SECS > now);
        if times.len() >= RECOVERIES_MAX {
            return Err(PkiError::TooOften {
                name: cluster.to_owned(),
            });
        }
        times.push(now);
        Ok(())
    }
}

/// May this agent have the next leaf? An equal counter is the same request again after a lost answer;
/// it is a clone's when the answer was not lost, that is when the leaf it carried was used.
fn check(
    cluster: &ClusterName,
    enrolled: &mut Enrolled,
    serial: Option<&str>,
    newest_was_used: bool,
    ask: &RenewAsk<'_>,
) -> Result<(), PkiError> {
    let name = cluster.to_string();
    if enrolled.standing != Standing::Active {
        return Err(PkiError::NotActive {
            name,
            standing: enrolled.standing.word(),
        });
    }
    let by_an_older_leaf = serial.is_some_and(|s| enrolled.serials.last().is_none_or(|n| n != s));
    let lost_answer = ask.counter == enrolled.counter && !(by_an_older_leaf && newest_was_used);
    if ask.counter > enrolled.counter || lost_answer {
        enrolled.counter = ask.counter;
        enrolled.fence = enrolled.fence.max(ask.fence);
        return Ok(());
    }
    if ask.fence < enrolled.fence {
        return Err(PkiError::Outdated { name });
    }
    Err(PkiError::Cloned { name })
}
