//! Dials the hub: TCP, TLS 1.3 with our own connector (so that a join can be tied to its connection),
//! HTTP/2 over it.
//!
//! Before the first join only the pin of the hub's root is known: the root comes with the chain and
//! must match it. Afterwards the kept bundle counts. A name must match in either case.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use flotilla_proto::limits::{EXPORTER_LABEL, HANDSHAKE_MAX};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// A name that does not resolve or an address that does not answer is given up after this.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The connection is checked this often when nothing is said.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// And is dead when the check is not answered in this time.
const KEEPALIVE_MAX: Duration = Duration::from_secs(10);
/// Room for one body on its way.
const WINDOW_BYTES: u32 = 1 << 20;

/// Why the hub was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection.
    #[error("hub {hub} cannot be reached: {why}")]
    Connect {
        /// Address.
        hub: String,
        /// Why.
        why: String,
    },
    /// No TLS: mostly a wrong certificate, on either side.
    #[error("hub {hub} is not who it should be, or refuses this agent's certificate: {why}")]
    Tls {
        /// Address.
        hub: String,
        /// Why.
        why: String,
    },
    /// Keys, certificates or names that are kept are broken.
    #[error("{0}")]
    Broken(String),
}

fn broken(what: impl fmt::Display) -> DialError {
    DialError::Broken(what.to_string())
}

/// A connection to the hub.
pub struct Dialled {
    /// HTTP/2 over it; does not reconnect.
    pub channel: Channel,
    /// Ties a join to this connection.
    pub exporter: [u8; 32],
    /// Why TLS ended, when the peer said so.
    pub alert: Alert,
}

/// The last TLS alert from the peer.
#[derive(Clone, Debug, Default)]
pub struct Alert(Arc<Mutex<Option<AlertDescription>>>);

impl Alert {
    /// The alert, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<AlertDescription> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, error: &std::io::Error) {
        let inner = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = inner {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(*alert);
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The roots of a bundle.
///
/// # Errors
/// When it holds none, or one that is broken.
pub fn roots(bundle_pem: &str) -> Result<RootCertStore, DialError> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle_pem.as_bytes()) {
        store.add(root.map_err(broken)?).map_err(broken)?;
    }
    if store.is_empty() {
        return Err(broken("the trust bundle holds no certificate"));
    }
    Ok(store)
}

/// For a session: the leaf, its key, and the kept roots.
///
/// # Errors
/// When any of them is broken.
pub fn session_config(chain: &str, key: &str, bundle: &str) -> Result<ClientConfig, DialError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(broken)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(broken)?
        .with_root_certificates(roots(bundle)?)
        .with_client_auth_cert(chain.map_err(broken)?, key)
        .map_err(broken)?;
    Ok(finish(config))
}

/// For a recovery: the kept roots, no leaf.
///
/// # Errors
/// When the bundle is broken.
pub fn recovery_config(bundle: &str) -> Result<ClientConfig, DialError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(broken)?
        .with_root_certificates(roots(bundle)?)
        .with_no_client_auth();
    Ok(finish(config))
}

/// For a join: pins of roots, no leaf.
///
/// # Errors
/// Only when the provider lacks TLS 1.3.
pub fn join_config(pins_hex: &[String]) -> Result<ClientConfig, DialError> {
    let pins = pins_hex
        .iter()
        .map(|pin| pin.to_ascii_lowercase())
        .collect();
    let provider = provider();
    let verifier = Arc::new(Pinned {
        pins,
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(finish(config))
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the hub's look at the client's certificate.
    config.resumption = Resumption::disabled();
    config
}

/// Accepts a chain whose root has one of the pins.
#[derive(Debug)]
struct Pinned {
    /// Lower-case hex.
    pins: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return false;
        };
        let spki = ring::digest::digest(&ring::digest::SHA256, parsed.public_key().raw);
        let spki: String = spki
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.pins.contains(&spki)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let root = intermediates.iter().find(|c| self.is_pinned(c));
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let root = root.ok_or_else(|| unknown.clone())?;
        let mut store = RootCertStore::empty();
        store.add(root.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
        let verifier = verifier.build().map_err(|_| unknown)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Connects to a hub.
///
/// # Errors
/// When there is no connection, no TLS, or no HTTP/2.
pub async fn dial(
    hub: &str,
    server_name: &str,
    config: ClientConfig,
) -> Result<Dialled, DialError> {
    let unreached = |why: &dyn fmt::Display| DialError::Connect {
        hub: hub.to_owned(),
        why: why.to_string(),
    };
    let untrusted = |why: &dyn fmt::Display| DialError::Tls {
        hub: hub.to_owned(),
        why: why.to_string(),
    };
    let tcp = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(hub)).await;
    let tcp = tcp.map_err(|e| unreached(&e))?.map_err(|e| unreached(&e))?;
    tcp.set_nodelay(true).map_err(|e| unreached(&e))?;
    let name = ServerName::try_from(server_name.to_owned()).map_err(broken)?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let tls = tokio::time::timeout(HANDSHAKE_MAX * 2, handshake).await;
    // A hub that stands by, or a broken network, just closes; only TLS itself says who is wrong.
    let told = |e: &std::io::Error| e.get_ref().is_some_and(|e| e.is::<rustls::Error>());
    let tls = tls.map_err(|e| unreached(&e))?.map_err(|e| {
        if told(&e) {
            untrusted(&e)
        } else {
            unreached(&e)
        }
    })?;
    let exporter = tls
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, None);
    let exporter = exporter.map_err(broken)?;
    let alert = Alert::default();
    let io = Io {
        inner: tls,
        alert: alert.clone(),
    };
    let channel = over(io, server_name).await;
    let channel = channel.map_err(|e| unreached(&e))?;
    Ok(Dialled {
        channel,
        exporter,
        alert,
    })
}

/// HTTP/2 over one connection; when it ends, it ends.
async fn over(io: Io, server_name: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{server_name}"))?
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES * 2)
        .buffer_size(64)
        .user_agent(concat!("flotilla-agent/", env!("CARGO_PKG_VERSION")))?;
    let mut once = Some(io);
    let connector = service_fn(move |_| {
        let io = once.take();
        async move {
            io.map(TokioIo::new)
                .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected))
        }
    });
    endpoint.connect_with_connector(connector).await
}

/// TLS that remembers why the peer ended it.
struct Io {
    inner: TlsStream<TcpStream>,
    alert: Alert,
}

impl Io {
    fn noted<T>(&self, result: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.alert.note(error);
        }
        result
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.noted(result)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.noted(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.noted(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
