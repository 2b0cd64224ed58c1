//! The CA: its root, kept in one Secret, and the certificates it writes.
//!
//! Every field of a certificate is written here; of a request only the public key is read. A hub that
//! loses the race to make the root reads the winner's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use super::{PkiError, WallClock, hex, random, sha256, unix};
use crate::durable::{Durable, DurableError, Key, SECRET};

/// Where the root is kept.
const NAMESPACE: &str = "flotilla-system";
const SECRET_NAME: &str = "flotilla-ca";
/// A root outlives the machines of its day; rotation is a person's step.
const ROOT_LIFE_SECS: u64 = 10 * 365 * 24 * 3600;
/// Made again at each start, so only a hub that runs this long renews it.
pub(super) const SERVER_LIFE_SECS: u64 = 90 * 24 * 3600;
/// Clocks of members may be behind by this much.
const BACK_DATE_SECS: u64 = 300;
/// A CSR for a P-256 or Ed25519 key is a few hundred bytes; an RSA monster is not worth parsing.
const CSR_BYTES_MAX: usize = 4 << 10;

/// The key that proves that a cursor is ours.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// From bytes, as tests need it.
    #[must_use]
    pub fn from_array(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The root and what else of the hub's secrets lasts.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root_der: CertificateDer<'static>,
    root_pem: String,
    spki_pin: [u8; 32],
    cursor_key: CursorKey,
    leaf_life: Duration,
}

/// A certificate for one of the hub's own ports.
pub struct IssuedServer {
    /// Leaf first, then the root, so that a peer that knows only the pin finds the root in it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// End of its life, in Unix seconds.
    pub not_after_unix: u64,
}

/// A leaf for an agent.
#[derive(Clone, Debug)]
pub struct LeafParts {
    /// PEM, leaf first.
    pub chain_pem: String,
    /// Lower-case hex without leading zeros.
    pub serial: String,
    /// End of its life, in Unix seconds.
    pub not_after_unix: u64,
}

impl Ca {
    /// Reads the root; makes it when there is none.
    pub(super) async fn open(
        durable: &dyn Durable,
        clock: &WallClock,
        leaf_life: Duration,
    ) -> Result<Self, PkiError> {
        let key = Key::namespaced(SECRET, NAMESPACE, SECRET_NAME);
        if let Some(stored) = durable.get(&key).await? {
            return Self::read(&stored, leaf_life);
        }
        let made = new_root(unix(clock()))?;
        match durable.create(&key, made).await {
            Ok(stored) => Self::read(&stored, leaf_life),
            Err(DurableError::Conflict { .. }) => {
                let stored = durable.get(&key).await?;
                let stored = stored.ok_or(PkiError::Stored("it went away while it was read"))?;
                Self::read(&stored, leaf_life)
            }
            Err(other) => Err(other.into()),
        }
    }

    fn read(secret: &Value, leaf_life: Duration) -> Result<Self, PkiError> {
        let field = |name: &str| {
            let text = secret["data"][name].as_str();
            text.and_then(|text| STANDARD.decode(text).ok())
        };
        let pem = |name: &str| field(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let root_pem = pem("ca.crt").ok_or(PkiError::Stored("ca.crt is missing"))?;
        let key_pem = pem("ca.key").ok_or(PkiError::Stored("ca.key is missing"))?;
        let cursor_key = field("cursor.key").and_then(|bytes| bytes.try_into().ok());
        let key = KeyPair::from_pem(&key_pem).map_err(PkiError::Certificate)?;
        let spki_pin = pin(&key);
        let root_der = CertificateDer::from_pem_slice(root_pem.as_bytes())
            .map_err(|_| PkiError::Stored("ca.crt is no certificate"))?;
        if spki_of(&root_der) != Some(spki_pin) {
            return Err(PkiError::Stored("ca.key does not belong to ca.crt"));
        }
        let issuer = Issuer::from_ca_cert_der(&root_der, key).map_err(PkiError::Certificate)?;
        Ok(Self {
            issuer,
            root_der,
            root_pem,
            spki_pin,
            leaf_life,
            cursor_key: CursorKey(
                cursor_key.ok_or(PkiError::Stored("cursor.key is not 32 bytes"))?,
            ),
        })
    }

    /// The root, PEM: what agents, and webhooks' `caBundle`, trust.
    #[must_use]
    pub fn bundle_pem(&self) -> &str {
        &self.root_pem
    }

    /// Moves with each change of the bundle.
    #[must_use]
    pub fn bundle_version(&self) -> u64 {
        1
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root_der
    }

    /// SHA-256 of the root's public key info: the pin in a join string.
    #[must_use]
    pub fn spki_pin(&self) -> [u8; 32] {
        self.spki_pin
    }

    /// The key for cursors.
    #[must_use]
    pub fn cursor_key(&self) -> &CursorKey {
        &self.cursor_key
    }

    pub(super) fn issue_server(
        &self,
        names: &[String],
        now_unix: u64,
    ) -> Result<IssuedServer, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Certificate)?;
        let mut params = CertificateParams::new(names).map_err(PkiError::Certificate)?;
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
        let not_after_unix = now_unix + SERVER_LIFE_SECS;
        set_life(&mut params, now_unix, not_after_unix);
        let made = params.signed_by(&key, &self.issuer);
        let made = made.map_err(PkiError::Certificate)?;
        Ok(IssuedServer {
            chain: vec![made.der().clone(), self.root_der.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            not_after_unix,
        })
    }

    /// A leaf with exactly this DNS name for the public key of a request.
    pub(super) fn issue_leaf(
        &self,
        dns_name: &str,
        csr_der: &[u8],
        now_unix: u64,
    ) -> Result<LeafParts, PkiError> {
        let key = public_key_of(csr_der)?;
        let name = dns_name
            .try_into()
            .map_err(|_| PkiError::Bad("the name of the cluster fits no certificate"))?;
        let serial = random::<16>()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let not_after_unix = now_unix + self.leaf_life.as_secs();
        set_life(&mut params, now_unix, not_after_unix);
        let made = params.signed_by(&key, &self.issuer);
        let made = made.map_err(PkiError::Certificate)?;
        Ok(LeafParts {
            chain_pem: made.pem(),
            serial: serial_text(&serial),
            not_after_unix,
        })
    }
}

/// A serial as records hold it: DER may put a zero before it, hex may not depend on that.
pub(super) fn serial_text(bytes: &[u8]) -> String {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    hex(bytes.get(start..).unwrap_or_default())
}

/// The public key of a request: the one thing that is read from it.
fn public_key_of(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, PkiError> {
    if csr_der.len() > CSR_BYTES_MAX {
        return Err(PkiError::Bad("the certificate request is too long"));
    }
    let unreadable = PkiError::Bad("the certificate request cannot be read");
    let Ok((rest, csr)) = X509CertificationRequest::from_der(csr_der) else {
        return Err(unreadable);
    };
    if !rest.is_empty() {
        return Err(unreadable);
    }
    let key = SubjectPublicKeyInfo::from_der(csr.certification_request_info.subject_pki.raw);
    let key = key.ok().filter(|key| {
        let algorithm = rcgen::PublicKeyData::algorithm(key);
        algorithm == &PKCS_ECDSA_P256_SHA256 || algorithm == &PKCS_ED25519
    });
    let key = key.ok_or(PkiError::Bad("the key must be P-256 or Ed25519"))?;
    csr.verify_signature()
        .map_err(|_| PkiError::Bad("the certificate request is not signed by its key"))?;
    Ok(key)
}

fn new_root(now_unix: u64) -> Result<Value, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Certificate)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = format!("flotilla root {}", hex(&random::<4>()?));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
    set_life(&mut params, now_unix, now_unix + ROOT_LIFE_SECS);
    let root = params.self_signed(&key).map_err(PkiError::Certificate)?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": SECRET_NAME, "namespace": NAMESPACE },
        "type": "Opaque",
        "data": {
            "ca.crt": STANDARD.encode(root.pem()),
            "ca.key": STANDARD.encode(key.serialize_pem()),
            "cursor.key": STANDARD.encode(random::<32>()?),
        },
    }))
}

fn set_life(params: &mut CertificateParams, now_unix: u64, not_after_unix: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now_unix.saturating_sub(BACK_DATE_SECS));
    params.not_after = epoch + Duration::from_secs(not_after_unix);
}

fn pin(key: &KeyPair) -> [u8; 32] {
    let spki = rcgen::PublicKeyData::subject_public_key_info(key);
    to_array(sha256(&spki))
}

/// SHA-256 of a certificate's public key info.
fn spki_of(der: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(to_array(sha256(certificate.public_key().raw)))
}

fn to_array(digest: ring::digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
