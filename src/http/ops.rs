//! For operators: health, readiness, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::{App, Shared};
use crate::tlog::PolicyName;
use crate::witness::WitnessStatus;

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
    /// Ordered erasures that wait for the repair of a damaged file, and where the damage is; the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owed_erasures: Vec<String>,
    /// Where the log has witnesses: how they do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<WitnessHealth>,
}

/// How many owed erasures an answer names; the metric counts all.
const MAX_OWED_TOLD: usize = 16;

/// How one witness does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WitnessHealth {
    /// Its name in the policy.
    name: String,
    /// Whether its last answer was a cosignature.
    cosigned: bool,
    /// Why it does not cosign.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
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
    let reason = reason.or_else(|| {
        let why = "reads only: too few witnesses have answered to rule out that a later log exists";
        engine.is_held().then(|| why.to_owned())
    });
    let readiness = Readiness {
        ready: reason.is_none(),
        witnesses: witnesses(&app),
        reason,
        tree_size: app.node.view().size().get(),
        flushed_size: engine.flushed().get(),
        published_size: app.node.published().map_or(0, |published| published.size.get()),
        waiting: engine.waiting().entries,
        owed_erasures: engine.owed_erasures().iter().take(MAX_OWED_TOLD).map(ToString::to_string).collect(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-cache")], Json(readiness)).into_response()
}

fn witnesses(app: &App) -> Vec<WitnessHealth> {
    let Some(feeding) = &app.feeding else { return Vec::new() };
    let health = |(name, status): &(PolicyName, WitnessStatus)| WitnessHealth {
        name: name.to_string(),
        cosigned: status.has_cosigned(),
        trouble: status.trouble().map(Into::into),
    };
    feeding.borrow().witnesses.iter().map(health).collect()
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): Shared) -> Response {
    app.metrics.observe(&app.node);
    if let Some(feeding) = &app.feeding {
        app.metrics.observe_witnesses(&feeding.borrow());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}
