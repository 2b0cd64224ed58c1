//! The server's own certificate authority, its serving certificate, and the admin's credential.
//!
//! One authority signs all of it; client certificates are optional and verified when they come.
//! With a directory everything is kept there and found again; without one it lives in memory.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

/// Ten years: the authority is renewed by making a new data directory.
const LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Clients whose clock is a little behind are served.
const LEEWAY: Duration = Duration::from_secs(3600);

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made or read.
    #[error("a certificate is not usable")]
    Certificate(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("a file of the authority is not usable")]
    File(#[from] io::Error),
    /// The pieces do not fit together.
    #[error("the TLS settings are refused: {0}")]
    Settings(String),
}

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root_der: CertificateDer<'static>,
    root_pem: String,
}

/// A credential of a client, as a kubeconfig holds it.
pub struct Credential {
    /// Certificate, PEM.
    pub certificate_pem: String,
    /// Private key, PEM.
    pub key_pem: String,
}

impl Authority {
    /// A new authority, or the one that the directory holds.
    pub fn open(directory: Option<&Path>) -> Result<Self, TlsError> {
        let Some(directory) = directory else {
            let (root_pem, key_pem) = new_root()?;
            return Self::read(root_pem, &key_pem);
        };
        let (root_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        if key_path.exists() {
            let root_pem = std::fs::read_to_string(root_path)?;
            return Self::read(root_pem, &std::fs::read_to_string(key_path)?);
        }
        let (root_pem, key_pem) = new_root()?;
        write_private(&root_path, &root_pem)?;
        write_private(&key_path, &key_pem)?;
        Self::read(root_pem, &key_pem)
    }

    fn read(root_pem: String, key_pem: &str) -> Result<Self, TlsError> {
        let root_der = CertificateDer::from_pem_slice(root_pem.as_bytes())
            .map_err(|error| TlsError::Settings(error.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(&root_der, KeyPair::from_pem(key_pem)?)?;
        Ok(Self {
            issuer,
            root_der,
            root_pem,
        })
    }

    /// The root, PEM: what clients trust.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// TLS of a server with these names and addresses: h2 and HTTP/1.1.
    pub fn server(&self, names: &[String]) -> Result<Arc<ServerConfig>, TlsError> {
        let refused = |error: &dyn std::fmt::Display| TlsError::Settings(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = self.sign(params, &key)?;
        let mut roots = RootCertStore::empty();
        roots
            .add(self.root_der.clone())
            .map_err(|error| refused(&error))?;
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|error| refused(&error))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![made.der().clone(), self.root_der.clone()], key)
            .map_err(|error| refused(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A client certificate that names a user and groups.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Credential, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let made = self.sign(params, &key)?;
        Ok(Credential {
            certificate_pem: made.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &KeyPair,
    ) -> Result<rcgen::Certificate, TlsError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params);
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// A kubeconfig for this server and bearer token; JSON, which is YAML too.
    #[must_use]
    pub fn kubeconfig(&self, server: &str, token: &str) -> String {
        let root = STANDARD.encode(&self.root_pem);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "kubeapi",
            "clusters": [{"name": "kubeapi", "cluster": {
                "server": server, "certificate-authority-data": root}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "kubeapi", "context": {"cluster": "kubeapi", "user": "admin"}}],
        });
        format!("{config:#}\n")
    }
}

/// Writes a file that only its owner may read, in one step.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let fresh = path.with_extension("new");
    // A left-over of a crash may have other rights.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let options = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh);
    io::Write::write_all(&mut options?, text.as_bytes())?;
    std::fs::rename(fresh, path)
}

fn new_root() -> Result<(String, String), TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "kubeapi-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn set_life(params: &mut CertificateParams) {
    let now = std::time::SystemTime::now();
    params.not_before = (now - LEEWAY).into();
    params.not_after = (now + LIFE).into();
}
