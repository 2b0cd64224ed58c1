//! Join tokens: one cluster, one key, a short time.
//!
//! The object holds the hash of the secret only. Using a token up is one compare-and-swap on its status
//! that names the key; the same key may ask again within the token's life, for a lost answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::names::{is_cluster_name, is_object_name};
use super::records::{Enrolled, Standing, envelope, new_enrolment, text};
use super::{LeafParts, Pki, PkiError, Proof, hex, locked, random, sha256};
use crate::durable::{CLUSTER, DurableError, ENROLMENT, JOIN_TOKEN, Key};
use crate::fleet::share::ClusterName;

/// Wrong secrets that lock a token: a typing error is one or two, a guesser needs 2^255.
const FAILURES_MAX: u32 = 5;
/// Marks a token that is locked; survives a restart of the hub.
const LOCKED_ANNOTATION: &str = "fleet.flotilla.dev/locked";
/// UIDs are 36 characters; this leaves room and bounds what is stored.
const UID_CHARS_MAX: usize = 64;

/// What a joining agent asks.
pub struct JoinAsk<'a> {
    /// Name of the JoinToken.
    pub token: &'a str,
    /// The secret.
    pub secret: &'a [u8],
    /// The request whose public key the leaf gets.
    pub csr_der: &'a [u8],
    /// Ed25519 public key.
    pub identity_key: &'a [u8],
    /// UID of the member's kube-system namespace.
    pub cluster_uid: &'a str,
    /// That the identity key speaks on this connection.
    pub proof: Proof<'a>,
}

/// A token that may be used by this key.
struct Grant {
    object: Value,
    cluster: ClusterName,
    key_print: String,
    used: bool,
}

impl Pki {
    /// Uses a token up and gives its cluster a leaf.
    ///
    /// # Errors
    /// When the proof, the token, the name or the UID does not allow it.
    pub async fn join(&self, ask: &JoinAsk<'_>) -> Result<(ClusterName, LeafParts), PkiError> {
        if ask.cluster_uid.is_empty() || ask.cluster_uid.len() > UID_CHARS_MAX {
            return Err(PkiError::Bad("the cluster's UID is unfit"));
        }
        let proof = &ask.proof;
        proof.verify("join", ask.identity_key, ask.csr_der, ask.cluster_uid)?;
        let _one_at_a_time = self.joining.lock().await;
        let grant = self.grant(ask).await?;
        // The leaf is made first: a request that cannot be served must not use the token up.
        let name = self.names.of(&grant.cluster);
        self.ca.issue_leaf(&name, ask.csr_der, self.now_unix())?;
        self.check_uid_free(&grant, ask.cluster_uid).await?;
        if !grant.used {
            self.consume(&grant, ask.cluster_uid).await?;
        }
        self.ensure_cluster(&grant, ask.cluster_uid).await?;
        self.ensure_enrolment(&grant, ask).await?;
        let leaf = self.issue(&grant.cluster, ask.csr_der, |_| Ok(())).await?;
        Ok((grant.cluster, leaf))
    }

    async fn grant(&self, ask: &JoinAsk<'_>) -> Result<Grant, PkiError> {
        let found = if is_object_name(ask.token) {
            let key = Key::global(JOIN_TOKEN, ask.token);
            self.durable.get(&key).await?
        } else {
            None
        };
        // An unknown token costs the same comparison as a known one.
        let dummy = "0".repeat(64);
        let stored = found
            .as_ref()
            .and_then(|o| o["spec"]["secretHash"].as_str());
        let right = same_secret(stored.unwrap_or(&dummy), ask.secret)?;
        let object = found.ok_or(PkiError::NoSuchToken)?;
        if is_locked(&object) || self.failures_of(ask.token) >= FAILURES_MAX {
            return Err(PkiError::TokenLocked);
        }
        if !right {
            return Err(self.count_failure(ask.token, object).await);
        }
        let key_print = hex(sha256(ask.identity_key).as_ref());
        let used_by = text(&object["status"]["usedBy"]);
        let used_uid = text(&object["status"]["clusterUid"]);
        let mine = used_by == key_print && used_uid == ask.cluster_uid;
        if !used_by.is_empty() && !mine {
            return Err(PkiError::Used);
        }
        let expires_at = text(&object["spec"]["expiresAt"]);
        let expires_at: jiff::Timestamp = expires_at.parse().map_err(|_| PkiError::Expired)?;
        if u64::try_from(expires_at.as_second()).unwrap_or(0) <= self.now_unix() {
            return Err(PkiError::Expired);
        }
        let cluster = text(&object["spec"]["clusterName"]);
        if !is_cluster_name(&cluster) {
            return Err(PkiError::Bad("the token names no cluster"));
        }
        Ok(Grant {
            cluster: ClusterName::new(&cluster),
            used: mine,
            object,
            key_print,
        })
    }

    fn failures_of(&self, token: &str) -> u32 {
        locked(&self.failures).get(token).copied().unwrap_or(0)
    }

    /// Counts a wrong secret for a token that exists, and locks it for good after too many.
    async fn count_failure(&self, token: &str, mut object: Value) -> PkiError {
        let count = {
            let mut failures = locked(&self.failures);
            let count = failures.entry(token.to_owned()).or_default();
            *count = count.saturating_add(1);
            *count
        };
        if count >= FAILURES_MAX {
            let why = format!("{count} wrong secrets");
            object["metadata"]["annotations"][LOCKED_ANNOTATION] = why.into();
            // A lost race leaves the lock in memory, which counts for this reign.
            let key = Key::global(JOIN_TOKEN, token);
            if let Err(error) = self.durable.replace(&key, object).await {
                tracing::warn!(token, %error, "join token could not be marked as locked");
            }
        }
        PkiError::NoSuchToken
    }

    /// Refuses a member that is another cluster already, and a name that is another member's.
    async fn check_uid_free(&self, grant: &Grant, cluster_uid: &str) -> Result<(), PkiError> {
        let name = grant.cluster.as_str().to_owned();
        for cluster in self.durable.list(CLUSTER, "").await? {
            let other = text(&cluster["metadata"]["name"]);
            let uid = text(&cluster["spec"]["id"]);
            if other == name && !uid.is_empty() && uid != cluster_uid {
                return Err(PkiError::NameTaken { name });
            }
            if other != name && uid == cluster_uid {
                return Err(PkiError::UidTaken { name, other });
            }
        }
        let Some((_, enrolled)) = self.enrolments.read(&grant.cluster).await? else {
            return Ok(());
        };
        match enrolled.standing {
            Standing::Active => Ok(()),
            other => Err(PkiError::NotActive {
                name,
                standing: other.word(),
            }),
        }
    }

    async fn consume(&self, grant: &Grant, cluster_uid: &str) -> Result<(), PkiError> {
        let mut object = grant.object.clone();
        let now = i64::try_from(self.now_unix()).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_second(now).unwrap_or(jiff::Timestamp::MAX);
        object["status"]["usedBy"] = json!(grant.key_print);
        object["status"]["usedAt"] = json!(now.to_string());
        object["status"]["clusterUid"] = json!(cluster_uid);
        let key = Key::global(JOIN_TOKEN, &text(&object["metadata"]["name"]));
        match self.durable.replace_status(&key, object).await {
            Ok(_) => Ok(()),
            // Whoever won may have been us, by way of another hub: the agent asks again.
            Err(DurableError::Conflict { .. }) => Err(PkiError::Used),
            Err(other) => Err(other.into()),
        }
    }

    /// The Cluster, with what the token's maker said about it; one that a person made first keeps its
    /// own labels and gets the UID only.
    async fn ensure_cluster(&self, grant: &Grant, cluster_uid: &str) -> Result<(), PkiError> {
        let key = Key::global(CLUSTER, grant.cluster.as_str());
        let Some(mut existing) = self.durable.get(&key).await? else {
            let made = new_cluster(grant, cluster_uid);
            self.durable.create(&key, made).await?;
            return Ok(());
        };
        if text(&existing["spec"]["id"]) == cluster_uid {
            return Ok(());
        }
        existing["spec"]["id"] = json!(cluster_uid);
        self.durable.replace(&key, existing).await?;
        Ok(())
    }

    /// The Enrolment with this identity key. A new token for an enrolled cluster replaces the key, and
    /// with it every leaf of the old one.
    async fn ensure_enrolment(&self, grant: &Grant, ask: &JoinAsk<'_>) -> Result<(), PkiError> {
        let key = Key::global(ENROLMENT, grant.cluster.as_str());
        let identity_key = STANDARD.encode(ask.identity_key);
        let Some((mut object, enrolled)) = self.enrolments.read(&grant.cluster).await? else {
            let made = new_enrolment(grant.cluster.as_str(), ask.cluster_uid, &identity_key);
            self.durable.create(&key, made).await?;
            return Ok(());
        };
        if enrolled.identity_key == identity_key && enrolled.cluster_uid == ask.cluster_uid {
            return Ok(());
        }
        object["spec"]["identityKey"] = json!(identity_key);
        object["spec"]["clusterUid"] = json!(ask.cluster_uid);
        self.durable.replace(&key, object).await?;
        let forget = |enrolled: &mut Enrolled| {
            enrolled.serials.clear();
            enrolled.counter = 0;
            enrolled.fence = 0;
            Ok(())
        };
        self.enrolments.update(&grant.cluster, forget).await
    }

    /// Writes a leaf for an enrolled cluster and its serial into the enrolment; `change` may refuse.
    pub(super) async fn issue(
        &self,
        cluster: &ClusterName,
        csr_der: &[u8],
        mut change: impl FnMut(&mut Enrolled) -> Result<(), PkiError>,
    ) -> Result<LeafParts, PkiError> {
        let name = self.names.of(cluster);
        let leaf = self.ca.issue_leaf(&name, csr_der, self.now_unix())?;
        let serial = leaf.serial.clone();
        let record = |enrolled: &mut Enrolled| {
            change(enrolled)?;
            enrolled.push_serial(serial.clone());
            Ok(())
        };
        self.enrolments.update(cluster, record).await?;
        Ok(leaf)
    }
}

fn is_locked(token: &Value) -> bool {
    token["metadata"]["annotations"][LOCKED_ANNOTATION].is_string()
}

/// Compares in constant time: both sides go through a MAC with a fresh key.
fn same_secret(stored_hex: &str, secret: &[u8]) -> Result<bool, PkiError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?);
    let given = hmac::sign(&key, hex(sha256(secret).as_ref()).as_bytes());
    Ok(hmac::verify(&key, stored_hex.as_bytes(), given.as_ref()).is_ok())
}

fn new_cluster(grant: &Grant, cluster_uid: &str) -> Value {
    let said = &grant.object["spec"];
    let mut spec = json!({ "id": cluster_uid, "syncMode": "Pull" });
    for field in ["provider", "region", "zones"] {
        if !said[field].is_null() {
            spec[field] = said[field].clone();
        }
    }
    let mut object = envelope(CLUSTER, grant.cluster.as_str(), spec);
    if !said["labels"].is_null() {
        object["metadata"]["labels"] = said["labels"].clone();
    }
    object
}
