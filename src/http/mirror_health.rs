//! How a mirror does, for its operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::mirror::MirrorApp;
use crate::log::Machine;
use crate::merkle::TreeSize;
use crate::metrics::{
    FLUSHED_SIZE, LATCHED, MIRRORED_SIZE, PUBLISHED_SIZE, TREE_SIZE, UPSTREAM_REACHABLE, UPSTREAM_REFUSED,
    UPSTREAM_SIZE,
};
use crate::mirror::Trouble;

/// Whether the mirror serves the log and goes on with it.
#[derive(Debug, Serialize)]
struct MirrorReadiness {
    /// Whether it does. A log that cannot be reached for now changes nothing.
    ready: bool,
    /// `following`, `unreachable`, `refused` or `stopped`.
    following: &'static str,
    /// Why, where it is not `following`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    /// Size of the checkpoint that the log showed last; 0 before the first.
    upstream_size: u64,
    /// Entries.
    tree_size: u64,
    /// Entries that are in the public files.
    flushed_size: u64,
    /// Size of the published checkpoint.
    published_size: u64,
    /// Size of the checkpoint that the mirror has cosigned.
    mirrored_size: u64,
}

type Shared<M> = State<Arc<MirrorApp<M>>>;

/// Readiness: something is served, and the log is not refused.
pub(super) async fn readyz<M: Machine>(State(app): Shared<M>) -> Response {
    let status = app.following.borrow().clone();
    let engine = app.mirror.engine();
    let (following, mut ready) = match &status.trouble {
        None => ("following", true),
        Some(Trouble::Unreachable(_)) => ("unreachable", true),
        Some(Trouble::Refused(_)) => ("refused", false),
        Some(Trouble::Stopped(_)) => ("stopped", false),
    };
    ready &= engine.latched().is_none() && engine.published().is_some();
    let readiness = MirrorReadiness {
        ready,
        following,
        trouble: status.trouble.as_ref().map(|trouble| trouble.text().to_owned()),
        upstream_size: status.upstream.map_or(0, TreeSize::get),
        tree_size: engine.view().size().get(),
        flushed_size: engine.flushed().get(),
        published_size: engine.published().map_or(0, |published| published.size.get()),
        mirrored_size: app.mirror.mirrored().map_or(0, |mirrored| mirrored.claim().size().get()),
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [(header::CACHE_CONTROL, "no-cache")], Json(readiness)).into_response()
}

/// Prometheus metrics.
pub(super) async fn metrics<M: Machine>(State(app): Shared<M>) -> Response {
    let status = app.following.borrow().clone();
    let engine = app.mirror.engine();
    let is_refused = matches!(status.trouble, Some(Trouble::Refused(_) | Trouble::Stopped(_)));
    let is_reachable = !matches!(status.trouble, Some(Trouble::Unreachable(_)));
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let gauges = [
        (TREE_SIZE, engine.view().size().get() as f64),
        (FLUSHED_SIZE, engine.flushed().get() as f64),
        (PUBLISHED_SIZE, engine.published().map_or(0, |published| published.size.get()) as f64),
        (MIRRORED_SIZE, app.mirror.mirrored().map_or(0, |mirrored| mirrored.claim().size().get()) as f64),
        (UPSTREAM_SIZE, status.upstream.map_or(0, TreeSize::get) as f64),
        (UPSTREAM_REFUSED, f64::from(u8::from(is_refused))),
        (UPSTREAM_REACHABLE, f64::from(u8::from(is_reachable))),
        (LATCHED, f64::from(u8::from(engine.latched().is_some()))),
    ];
    for (name, value) in gauges {
        metrics::gauge!(name).set(value);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}
