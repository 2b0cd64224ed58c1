//! The admin port: health, readiness, metrics, a summary. Read-only, on localhost by default.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::view::View;

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    view: Arc<View>,
}

/// Serves until told to stop.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(
    address: SocketAddr,
    metrics: &Metrics,
    view: Arc<View>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let admin = Admin {
        registry: Arc::new(registry),
        view,
    };
    let router = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/state", get(state))
        .with_state(admin);
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.view.is_ready() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no hub has answered yet")
    }
}

async fn metrics_text(State(admin): State<Admin>) -> Result<String, StatusCode> {
    let mut text = String::new();
    encode(&mut text, &admin.registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(text)
}

async fn state(State(admin): State<Admin>) -> axum::Json<serde_json::Value> {
    axum::Json(admin.view.to_json())
}
