//! `ClusterScope`: the right to act for one cluster, made from the peer certificate of a TLS channel and
//! from nothing else.
//!
//! Its fields are private and its constructor is seen in `pki` alone, so that no handler can make one
//! from a message.

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca::serial_text;
use super::{LeafNames, Pki, PkiError, Standing};
use crate::fleet::share::ClusterName;

/// The right to act for one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterScope {
    cluster: ClusterName,
    cluster_uid: String,
    enrolment_uid: String,
    serial: String,
    not_after_unix: u64,
}

impl ClusterScope {
    pub(in crate::pki) fn new(leaf: PeerLeaf, cluster_uid: String, enrolment_uid: String) -> Self {
        Self {
            cluster: leaf.cluster,
            cluster_uid,
            enrolment_uid,
            serial: leaf.serial,
            not_after_unix: leaf.not_after_unix,
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// UID of its kube-system namespace, as enrolled.
    #[must_use]
    pub fn cluster_uid(&self) -> &str {
        &self.cluster_uid
    }

    /// UID of its Enrolment.
    #[must_use]
    pub fn enrolment_uid(&self) -> &str {
        &self.enrolment_uid
    }

    /// Serial of the leaf that the peer showed.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// End of the leaf's life, in Unix seconds.
    #[must_use]
    pub fn not_after_unix(&self) -> u64 {
        self.not_after_unix
    }
}

/// Why a peer gets no scope. Says nothing about any cluster but its own.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// No client certificate.
    #[error("a client certificate is needed")]
    NoCertificate,
    /// Not one of our leaves.
    #[error("the client certificate is no leaf of this hub")]
    NotALeaf,
    /// Its life has ended.
    #[error("the client certificate has ended")]
    Ended,
    /// Not enrolled, replaced, locked or revoked.
    #[error("the client certificate may not connect (any more)")]
    Denied,
    /// The front door failed.
    #[error("the enrolment could not be read")]
    Read(#[source] PkiError),
}

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pki) struct PeerLeaf {
    pub(in crate::pki) cluster: ClusterName,
    serial: String,
    not_after_unix: u64,
}

impl PeerLeaf {
    /// Reads a certificate whose chain TLS has checked.
    pub(in crate::pki) fn read(names: &LeafNames, der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok()??;
        let [GeneralName::DNSName(name)] = alternatives.value.general_names.as_slice() else {
            return None;
        };
        let usage = certificate.extended_key_usage().ok()??.value;
        let client_only = usage.client_auth && !usage.server_auth && !usage.any;
        if !rest.is_empty() || !client_only {
            return None;
        }
        Some(Self {
            cluster: names.read(name)?,
            serial: serial_text(certificate.raw_serial()),
            not_after_unix: certificate
                .validity()
                .not_after
                .timestamp()
                .try_into()
                .ok()?,
        })
    }
}

impl Pki {
    /// The scope of a TLS peer: exactly one DNS name, an Active enrolment of that exact name, and one of
    /// its last two serials.
    ///
    /// # Errors
    /// When any of that does not hold.
    pub async fn scope(
        &self,
        peer: Option<&[CertificateDer<'static>]>,
    ) -> Result<ClusterScope, ScopeError> {
        let der = peer.and_then(<[_]>::first);
        let der = der.ok_or(ScopeError::NoCertificate)?;
        let leaf = PeerLeaf::read(&self.names, der).ok_or(ScopeError::NotALeaf)?;
        if leaf.not_after_unix <= self.now_unix() {
            return Err(ScopeError::Ended);
        }
        if self.revocations.denies(&leaf.cluster) {
            return Err(ScopeError::Denied);
        }
        let enrolled = self.enrolments.with_serial(&leaf.cluster, &leaf.serial);
        let enrolled = enrolled.await.map_err(ScopeError::Read)?;
        let enrolled = enrolled.ok_or(ScopeError::Denied)?;
        if enrolled.standing != Standing::Active {
            return Err(ScopeError::Denied);
        }
        self.enrolments.seen(&leaf.cluster, &leaf.serial);
        Ok(ClusterScope::new(leaf, enrolled.cluster_uid, enrolled.uid))
    }

    /// Whether a scope's leaf is past its end: its agent may come back with another.
    #[must_use]
    pub fn has_expired(&self, scope: &ClusterScope) -> bool {
        scope.not_after_unix <= self.now_unix()
    }

    /// Whether a scope still holds: asked for each message and by the sweep.
    #[must_use]
    pub fn holds(&self, scope: &ClusterScope) -> bool {
        !self.revocations.denies(&scope.cluster)
            && scope.not_after_unix > self.now_unix()
            && self.enrolments.still(scope)
    }
}
