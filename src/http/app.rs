//! What all handlers share, and the ways in which they answer.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::watch;

use super::limits::Limits;
use super::measure::Recorder;
use super::problem::{HttpError, HttpResult};
use crate::encoding::b64_encode;
use crate::hash::Hash;
use crate::node::{AgentKey, Node, View};
use crate::registry::IdentityState;
use crate::witness::Feeding;

/// What a server serves.
pub struct App {
    /// The log.
    pub node: Node,
    /// How feeding its witnesses goes, where it has any.
    pub feeding: Option<watch::Receiver<Feeding>>,
    /// Request rates.
    pub limits: Limits,
    /// What `/metrics` shows.
    pub metrics: Recorder,
}

/// Shared by all handlers.
pub(crate) type Shared = axum::extract::State<Arc<App>>;

impl App {
    /// The agent that a path names, in a view.
    pub(crate) fn agent(&self, view: &View, text: &str) -> HttpResult<Arc<IdentityState>> {
        self.node.agent(view, &AgentKey::parse(text)).ok_or_else(|| HttpError::unknown_identity(text))
    }
}

/// JSON that must not be cached: it is of now.
pub(crate) fn fresh<T: Serialize>(value: T) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], Json(value)).into_response()
}

/// A `.tlog-proof`.
pub(crate) fn tlog_proof(proof: Vec<u8>, name: &str) -> Response {
    let disposition = HeaderValue::from_str(&format!("inline; filename=\"{name}.tlog-proof\""));
    let mut response = (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")],
        proof,
    )
        .into_response();
    if let Ok(value) = disposition {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Whether the client takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    accepted.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(is_zero_weight)
    })
}

/// `q=0`, `q=0.`, to `q=0.000` (RFC 9110, section 12.4.2).
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or(parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
}

/// Hashes as base64.
pub(crate) fn b64_hashes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| b64_encode(hash.as_bytes())).collect()
}
