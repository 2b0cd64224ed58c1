//! Logs, health and metrics: what an operator sees of the hub without its API.
//!
//! Ready means data has arrived: each dependency holds a guard and the hub is ready when the last one
//! is dropped. Decides nothing else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. A second call keeps the first.
pub fn init_logs(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Fails only when logs are already initialised, as in tests.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}

/// Which dependencies are not there yet.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    waiting: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// Held by a dependency until its data has arrived.
#[derive(Debug)]
pub struct NotReady {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Makes the hub wait for a dependency, until the guard is dropped.
    #[must_use]
    pub fn wait_for(&self, name: &'static str) -> NotReady {
        self.lock().insert(name);
        NotReady {
            name,
            readiness: self.clone(),
        }
    }

    /// Names of what is not there yet; empty = ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NotReady {
    fn drop(&mut self) {
        self.readiness.lock().remove(self.name);
    }
}

#[derive(Clone)]
struct Shown {
    readiness: Readiness,
    registry: Arc<Registry>,
}

/// Serves `/healthz`, `/readyz` and `/metrics` until told to stop.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    addr: SocketAddr,
    readiness: Readiness,
    registry: Arc<Registry>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Shown {
            readiness,
            registry,
        });
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn ready(State(shown): State<Shown>) -> (StatusCode, String) {
    let waiting = shown.readiness.waiting();
    if waiting.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {}\n", waiting.join(", ")),
        )
    }
}

async fn metrics(State(shown): State<Shown>) -> Result<String, StatusCode> {
    let mut text = String::new();
    encode(&mut text, &shown.registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_guard_is_dropped() {
        let readiness = Readiness::default();
        let first = readiness.wait_for("index");
        let second = readiness.wait_for("epoch");
        assert_eq!(readiness.waiting(), ["epoch", "index"]);
        drop(first);
        assert_eq!(readiness.waiting(), ["epoch"]);
        drop(second);
        assert!(readiness.waiting().is_empty());
    }
}
