//! For operators: health, readiness, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::Shared;

/// Whether the node takes writes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    /// Whether it does.
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Entries.
    tree_size: u64,
    /// Entries that are in the public files.
    flushed_size: u64,
    /// Size of the published checkpoint.
    published_size: u64,
    /// Entries that wait in the pool.
    waiting: usize,
}

/// Liveness: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness: writes are taken.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(crate) async fn readyz(State(app): Shared) -> Response {
    let engine = app.node.engine();
    let reason = engine.latched().map(|_| "latched: restart the node".to_owned());
    let reason = reason.or_else(|| engine.is_low_on_space().then(|| "too little room on disk".to_owned()));
    let readiness = Readiness {
        ready: reason.is_none(),
        reason,
        tree_size: app.node.view().size().get(),
        flushed_size: engine.flushed().get(),
        published_size: app.node.published().map_or(0, |published| published.size.get()),
        waiting: engine.waiting().entries,
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-cache")], Json(readiness)).into_response()
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): Shared) -> Response {
    app.metrics.observe(&app.node);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}
