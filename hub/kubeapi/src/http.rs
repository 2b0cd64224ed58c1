//! The listener: TLS, HTTP/1.1 and h2, limits, authentication, and the way of a request.
//!
//! [`Server::serve`] runs until its token is cancelled and then drains. It decides who asks and
//! whether they may; what is answered is decided by discovery and the REST layer.

pub mod accept;
pub mod answer;
pub mod body;
pub mod path;
pub mod query;
mod route;
pub mod tls;

pub(crate) use self::route::{header_text, not_found};

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::answer::Body;
use crate::auth::User;
use crate::rest::Engine;

/// What a server takes on at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's body; a real server's limit.
    pub body_bytes_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
    /// Connections at a time; more wait in the listener's queue.
    pub connections_max: usize,
    /// Requests at a time on one h2 connection.
    pub streams_max: u32,
    /// Time for a TLS handshake, and for the headers of a request.
    pub handshake: Duration,
    /// Time for running requests after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 3 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            connections_max: 4_096,
            streams_max: 1_000,
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// One request, as the audit log sees it.
#[derive(Debug)]
pub struct Audited<'a> {
    /// Who asked, after impersonation.
    pub user: &'a User,
    /// Who asked in fact, when they acted as somebody else.
    pub impersonator: Option<&'a User>,
    /// HTTP method.
    pub method: &'a str,
    /// Path, with its query.
    pub target: &'a str,
    /// HTTP code of the answer.
    pub code: u16,
}

/// Hears of every request that was answered.
pub trait Audit: Send + Sync {
    /// One request was answered; called before the body is sent.
    fn answered(&self, request: &Audited<'_>);
}

/// Writes audit lines to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogAudit;

impl Audit for LogAudit {
    fn answered(&self, request: &Audited<'_>) {
        let Audited {
            user,
            impersonator,
            method,
            target,
            code,
        } = request;
        let by = impersonator.map(|user| user.name.as_str());
        tracing::debug!(target: "audit", user = user.name, by, method, target, code, "answered");
    }
}

/// A server over an engine.
pub struct Server {
    /// What answers.
    pub engine: Arc<Engine>,
    /// What it takes on.
    pub limits: Limits,
    /// Who hears of requests.
    pub audit: Arc<dyn Audit>,
}

impl Server {
    /// Serves until `stop` is cancelled, then drains and returns.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        stop: CancellationToken,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut connections = JoinSet::new();
        loop {
            // Cancel-safe: a permit or a connection that was not taken stays where it was.
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    note(ended);
                    continue;
                }
                accepted = accept(&listener, &places) => accepted,
            };
            match accepted {
                Ok((socket, place)) => {
                    let connection =
                        Arc::clone(&self).connection(socket, acceptor.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    // Out of descriptors, most likely: closing connections makes room.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                note(ended);
            }
        };
        if tokio::time::timeout(self.limits.drain, drained)
            .await
            .is_err()
        {
            tracing::warn!("requests were cut at the end of the drain");
        }
    }

    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        acceptor: TlsAcceptor,
        stop: CancellationToken,
    ) {
        let _ = socket.set_nodelay(true);
        let handshake = tokio::time::timeout(self.limits.handshake, acceptor.accept(socket));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
            Err(_) => return tracing::debug!("handshake took too long"),
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let certificate: Option<Arc<[u8]>> = certificates
            .and_then(<[_]>::first)
            .map(|certificate| Arc::from(certificate.as_ref()));
        let service = service_fn(|request: Request<Incoming>| {
            let server = Arc::clone(&self);
            let (certificate, stop) = (certificate.clone(), stop.clone());
            async move {
                let answer = server.answer(request, certificate.as_deref(), stop).await;
                Ok::<Response<Body>, Infallible>(answer)
            }
        });
        let builder = self.builder();
        let mut connection =
            std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        // Cancel-safe: the connection is pinned and polled on after the stop.
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let limits = self.limits;
        let header_list = u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake)
            .max_buf_size(limits.header_bytes_max);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .max_header_list_size(header_list)
            .max_concurrent_streams(limits.streams_max);
        builder
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, place))
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
