//! HTTPS for the webhooks: a rustls acceptor in front of the router.
//!
//! Decides how long a handshake may take and how many connections there are. A connection that
//! fails ends alone.

use std::sync::Arc;

use axum::Router;
use flotilla_proto::limits::HANDSHAKE_MAX;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// API servers keep a few connections each; more is no API server.
const CONNECTIONS_MAX: usize = 256;

/// Serves a router over TLS until told to stop.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Cancel-safe: accept and join_next lose nothing when another arm wins.
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: let others end first.
            tokio::task::yield_now().await;
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls));
        let (router, shutdown) = (router.clone(), shutdown.clone());
        connections.spawn(async move {
            connection(stream, acceptor, router, shutdown).await;
            drop(slot);
        });
    }
    connections.shutdown().await;
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await else {
        return;
    };
    let builder = Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(router);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        served = served => {
            if let Err(error) = served {
                tracing::debug!(%error, "webhook connection ended");
            }
        }
    }
}
