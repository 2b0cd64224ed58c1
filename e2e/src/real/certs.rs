//! The keys and certificates of one control plane.
//!
//! It decides which identities exist: a CA, the API server's serving certificate, the key pair of
//! service accounts, a front-proxy CA with its client, and client certificates for whoever a test
//! asks for. It never reads or reuses keys of another control plane.

use super::{RealError, Workdir};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use std::path::PathBuf;

const ORGANIZATION_OID: [u64; 4] = [2, 5, 4, 10];

/// Names that the serving certificate is good for; the last is the first address of the service
/// range, where Pods would find the API server.
const SERVING_NAMES: [&str; 6] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "127.0.0.1",
    "10.96.0.1",
];

/// A certificate with its private key, both as PEM text.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

/// Where the files that the programs read are.
#[derive(Debug, Clone)]
pub(super) struct PkiFiles {
    pub(super) ca: PathBuf,
    pub(super) ca_key: PathBuf,
    pub(super) serving: PathBuf,
    pub(super) serving_key: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) service_account_public: PathBuf,
    pub(super) front_proxy_ca: PathBuf,
    pub(super) front_proxy: PathBuf,
    pub(super) front_proxy_key: PathBuf,
}

/// The certificate authority of one control plane, and the files written from it.
pub(super) struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    files: PkiFiles,
}

impl Pki {
    /// Makes all keys and certificates and writes them into `workdir`.
    pub(super) fn create(workdir: &Workdir) -> Result<Self, RealError> {
        let (ca_pem, issuer) = authority("flotilla-e2e-ca")?;
        let (front_proxy_ca_pem, front_proxy_issuer) = authority("flotilla-e2e-front-proxy-ca")?;
        let serving = serving_leaf(&issuer)?;
        let front_proxy = client_leaf(&front_proxy_issuer, "front-proxy-client", &[])?;
        let service_account = KeyPair::generate()?;
        let files = PkiFiles {
            ca: workdir.write("ca.crt", &ca_pem)?,
            ca_key: workdir.write("ca.key", &issuer.key().serialize_pem())?,
            serving: workdir.write("serving.crt", &serving.certificate_pem)?,
            serving_key: workdir.write("serving.key", &serving.key_pem)?,
            service_account_key: workdir
                .write("service-account.key", &service_account.serialize_pem())?,
            service_account_public: workdir
                .write("service-account.pub", &service_account.public_key_pem())?,
            front_proxy_ca: workdir.write("front-proxy-ca.crt", &front_proxy_ca_pem)?,
            front_proxy: workdir.write("front-proxy.crt", &front_proxy.certificate_pem)?,
            front_proxy_key: workdir.write("front-proxy.key", &front_proxy.key_pem)?,
        };
        Ok(Self {
            ca_pem,
            issuer,
            files,
        })
    }

    /// Where the files are.
    pub(super) fn files(&self) -> &PkiFiles {
        &self.files
    }

    /// The certificate of the authority, as PEM text.
    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A client certificate for `user` in `groups`.
    pub(super) fn client(&self, user: &str, groups: &[&str]) -> Result<Leaf, RealError> {
        client_leaf(&self.issuer, user, groups)
    }

    /// The text of a kubeconfig for `user` in `groups` at `server`.
    pub(super) fn kubeconfig(
        &self,
        server: &str,
        user: &str,
        groups: &[&str],
    ) -> Result<String, RealError> {
        let leaf = self.client(user, groups)?;
        // JSON is YAML, so no YAML writer with its own ideas of quoting is needed.
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": {
                "server": server,
                "certificate-authority-data": BASE64.encode(&self.ca_pem),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": BASE64.encode(leaf.certificate_pem),
                "client-key-data": BASE64.encode(leaf.key_pem),
            }}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": user}}],
            "current-context": "real",
        });
        Ok(format!("{kubeconfig:#}\n"))
    }
}

fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>), RealError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(params, key)))
}

fn serving_leaf(issuer: &Issuer<'static, KeyPair>) -> Result<Leaf, RealError> {
    let mut params = CertificateParams::new(SERVING_NAMES.map(str::to_owned).to_vec())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(params, issuer)
}

fn client_leaf(
    issuer: &Issuer<'static, KeyPair>,
    user: &str,
    groups: &[&str],
) -> Result<Leaf, RealError> {
    // rcgen holds one value per attribute type; the same type under its number is a second one.
    let places = [
        DnType::OrganizationName,
        DnType::CustomDnType(ORGANIZATION_OID.to_vec()),
    ];
    if groups.len() > places.len() {
        return Err(RealError::TooManyGroups {
            user: user.to_owned(),
            count: groups.len(),
        });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    for (place, group) in places.into_iter().zip(groups) {
        params.distinguished_name.push(place, *group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(params, issuer)
}

fn signed(
    mut params: CertificateParams,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<Leaf, RealError> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate_pem = params.signed_by(&key, issuer)?.pem();
    Ok(Leaf {
        certificate_pem,
        key_pem: key.serialize_pem(),
    })
}
