//! TLS for the hub's ports: 1.3 only, no tickets, no resumption, no early data.
//!
//! A resumed session would skip the client-certificate verifier, and with it revocation; hence none.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::scope::PeerLeaf;
use super::{LeafNames, Pki, PkiError, Revocations};

impl Pki {
    /// TLS for the fleet port. A client certificate is asked for and may be missing, since enrolment
    /// comes without one; one that is shown must be a leaf of ours that is not shut out.
    ///
    /// # Errors
    /// When a name fits no certificate.
    pub fn fleet_tls(&self, names: &[String]) -> Result<(Arc<ServerConfig>, u64), PkiError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.root().clone()).map_err(PkiError::Tls)?;
        let provider = Arc::new(ring::default_provider());
        let chain =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|_| PkiError::Stored("the root cannot verify clients"))?;
        let verifier = LeafVerifier {
            chain,
            names: self.names.clone(),
            revocations: Arc::clone(&self.revocations),
        };
        let server = self.issue_server(names)?;
        let not_after_unix = server.not_after_unix;
        let mut config = tls13(provider)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(server.chain, server.key)
            .map_err(PkiError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok((harden(config), not_after_unix))
    }

    /// TLS for webhooks: no client certificate.
    ///
    /// # Errors
    /// When a name fits no certificate.
    pub fn webhook_tls(&self, names: &[String]) -> Result<(Arc<ServerConfig>, u64), PkiError> {
        let server = self.issue_server(names)?;
        let not_after_unix = server.not_after_unix;
        let mut config = tls13(Arc::new(ring::default_provider()))?
            .with_no_client_auth()
            .with_single_cert(server.chain, server.key)
            .map_err(PkiError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((harden(config), not_after_unix))
    }
}

type Builder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

fn tls13(provider: Arc<CryptoProvider>) -> Result<Builder, PkiError> {
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(PkiError::Tls)
}

fn harden(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// Checks the chain, then that the leaf is ours and not shut out.
#[derive(Debug)]
struct LeafVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    names: LeafNames,
    revocations: Arc<Revocations>,
}

impl ClientCertVerifier for LeafVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        let leaf = PeerLeaf::read(&self.names, end_entity);
        let leaf = leaf.ok_or(CertificateError::ApplicationVerificationFailure)?;
        if self.revocations.denies(&leaf.cluster) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
