//! The fleet port: TCP, TLS and what is known of a peer, before any message is read.
//!
//! Does the handshake itself, one task per connection with a time limit, because the TLS layer of the
//! gRPC library knows no revocation and no rotation. Only failed and unauthenticated handshakes count
//! against an address: many agents share one.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use flotilla_proto::limits::{EXPORTER_LABEL, HANDSHAKE_MAX};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Handshakes under way at once; more wait in the kernel's backlog.
const HANDSHAKES_MAX: usize = 256;
/// An accept that fails for want of descriptors would otherwise spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Failed or unauthenticated handshakes that one address may make at once.
const STRIKES_MAX: u32 = 64;
/// One of them is forgiven in this time.
const STRIKE_LIFE: Duration = Duration::from_secs(1);
/// Addresses that are remembered; the oldest goes first.
const ADDRESSES_MAX: usize = 4096;
/// How long a nonce may be answered.
const NONCE_LIFE: Duration = Duration::from_secs(60);

/// Challenges of one connection. Each request for an identity costs the front door a read, and a new
/// connection costs its address a strike.
const CHALLENGES_MAX: u32 = 8;

/// The nonce that was given out last, and how many were.
#[derive(Debug, Default)]
struct Given {
    nonce: Option<([u8; 32], Instant)>,
    count: u32,
}

/// What is known of a peer from its TLS channel alone.
#[derive(Clone)]
pub struct Peer {
    certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
    exporter: [u8; 32],
    address: SocketAddr,
    nonce: Arc<Mutex<Given>>,
}

impl Peer {
    /// Its certificates, which TLS has checked against our root; none when it showed none.
    #[must_use]
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.certificates.as_deref().map(Vec::as_slice)
    }

    /// The exporter value of this connection.
    #[must_use]
    pub fn exporter(&self) -> &[u8; 32] {
        &self.exporter
    }

    /// Where it calls from.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Remembers a nonce that was given out; the one before it is worth nothing any more. False when
    /// this connection had enough of them.
    pub(super) fn give_nonce(&self, nonce: [u8; 32]) -> bool {
        let mut given = self.lock();
        given.count = given.count.saturating_add(1);
        given.nonce = Some((nonce, Instant::now()));
        given.count <= CHALLENGES_MAX
    }

    /// Uses up the nonce of this connection, if it is this one.
    pub(super) fn take_nonce(&self, answered: &[u8]) -> Option<[u8; 32]> {
        let (nonce, given) = self.lock().nonce.take()?;
        (nonce == answered && given.elapsed() < NONCE_LIFE).then_some(nonce)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Given> {
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An accepted connection, as the gRPC server takes it.
pub struct Channel {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for Channel {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Accepts connections until stopped.
pub struct Acceptor {
    listener: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    strikes: Arc<Strikes>,
}

impl Acceptor {
    /// Over a bound port; `tls` may be changed while it runs.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Arc<ArcSwap<ServerConfig>>) -> Self {
        Self {
            listener,
            tls,
            strikes: Arc::default(),
        }
    }

    /// Feeds accepted connections to a gRPC server.
    pub async fn run(self, accepted: mpsc::Sender<Channel>, shutdown: CancellationToken) {
        let mut handshakes = JoinSet::new();
        loop {
            let room = handshakes.len() < HANDSHAKES_MAX;
            tokio::select! {
                biased;
                // Cancel-safe: nothing is lost by not waiting on.
                () = shutdown.cancelled() => break,
                // Cancel-safe: a handshake that is not joined now is joined later.
                Some(_) = handshakes.join_next() => {}
                // Cancel-safe, as `accept` says itself.
                next = self.listener.accept(), if room => match next {
                    Ok((stream, address)) => {
                        if self.strikes.is_out(address.ip(), Instant::now()) {
                            tracing::debug!(%address, "too many failed handshakes, connection refused");
                            continue;
                        }
                        let acceptor = TlsAcceptor::from(self.tls.load_full());
                        let strikes = Arc::clone(&self.strikes);
                        handshakes.spawn(handshake(acceptor, stream, address, strikes, accepted.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        handshakes.shutdown().await;
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    strikes: Arc<Strikes>,
    accepted: mpsc::Sender<Channel>,
) {
    // Small frames must not wait for company.
    let _ = stream.set_nodelay(true);
    let done = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = done else {
        strikes.count(address.ip(), Instant::now());
        tracing::debug!(%address, "handshake failed");
        return;
    };
    let Some(peer) = peer_of(&stream, address) else {
        return strikes.count(address.ip(), Instant::now());
    };
    if peer.certificates.is_none() {
        strikes.count(address.ip(), Instant::now());
    }
    let _ = accepted.send(Channel { stream, peer }).await;
}

fn peer_of(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Option<Peer> {
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(b"h2") {
        return None;
    }
    let exporter = session.export_keying_material([0; 32], EXPORTER_LABEL, None);
    let certificates = session.peer_certificates();
    Some(Peer {
        certificates: certificates
            .map(|list| Arc::new(list.iter().map(|c| c.clone().into_owned()).collect())),
        exporter: exporter.ok()?,
        address,
        nonce: Arc::default(),
    })
}

/// Strikes per address: a bucket that empties with time, in a table that does not grow.
#[derive(Debug, Default)]
struct Strikes {
    table: Mutex<BTreeMap<IpAddr, (u32, Instant)>>,
}

impl Strikes {
    fn is_out(&self, address: IpAddr, now: Instant) -> bool {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = table.get_mut(&address) else {
            return false;
        };
        forgive(entry, now);
        entry.0 >= STRIKES_MAX
    }

    fn count(&self, address: IpAddr, now: Instant) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= ADDRESSES_MAX && !table.contains_key(&address) {
            let oldest = table.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                table.remove(&oldest);
            }
        }
        let entry = table.entry(address).or_insert((0, now));
        forgive(entry, now);
        entry.0 = entry.0.saturating_add(1);
    }
}

fn forgive((strikes, at): &mut (u32, Instant), now: Instant) {
    let lives = now.saturating_duration_since(*at).as_secs() / STRIKE_LIFE.as_secs();
    if lives > 0 {
        *strikes = strikes.saturating_sub(u32::try_from(lives).unwrap_or(u32::MAX));
        *at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_out_for_a_while_and_others_are_not() {
        let strikes = Strikes::default();
        let (bad, good) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        for _ in 0..STRIKES_MAX {
            assert!(!strikes.is_out(bad, start));
            strikes.count(bad, start);
        }
        assert!(strikes.is_out(bad, start) && !strikes.is_out(good, start));
        assert!(!strikes.is_out(bad, start + STRIKE_LIFE));
        for n in 0..2 * ADDRESSES_MAX {
            let n = u32::try_from(n).expect("small");
            strikes.count(IpAddr::from(n.to_be_bytes()), start);
        }
        assert!(strikes.table.lock().expect("alone").len() <= ADDRESSES_MAX);
    }
}
