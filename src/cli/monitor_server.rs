//! What a monitor serves: how it is, and what it has cosigned.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use super::error::{CliError, CliResult};
use crate::http::{ServerLimits, serve};
use crate::monitor::{Answer, Board, Desk};
use crate::tlog::{AddCheckpointRequest, MAX_WITNESS_REQUEST_LEN, SIZE_CONTENT_TYPE, size_body};

/// How long a request to cosign waits for the replay.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at once, and of these at most from one address.
const CONNECTIONS: usize = 1024;
const CONNECTIONS_PER_ADDRESS: NonZeroUsize = NonZeroUsize::new(CONNECTIONS / 8).expect("an eighth is some");

/// A server; it stops when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

struct Shared {
    board: Arc<Board>,
    desk: Arc<Desk>,
    dropped: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Server {
    pub(super) fn start(
        listen: SocketAddr,
        board: Arc<Board>,
        desk: Arc<Desk>,
        dropped: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> CliResult<Self> {
        let failed = |error: std::io::Error| CliError::unavailable(format!("{listen}: {error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind(listen)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopping) = watch::channel(false);
        let routes = Router::new()
            .route("/healthz", get(healthz))
            .route("/metrics", get(metrics))
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{origin_hash}/checkpoint", get(checkpoint))
            .with_state(Arc::new(Shared { board, desk, dropped }));
        runtime.spawn(serve(listener, routes, limits(), stopping));
        Ok(Self { address, stop, runtime: Some(runtime) })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

fn limits() -> ServerLimits {
    let connections_per_address = Some(CONNECTIONS_PER_ADDRESS);
    ServerLimits { connections: CONNECTIONS, connections_per_address, ..ServerLimits::default() }
}

async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.board.is_well() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "a log is not followed any more: its state cannot be kept\n").into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.board.render((shared.dropped)())).into_response()
}

async fn checkpoint(State(shared): State<Arc<Shared>>, Path(origin_hash): Path<String>) -> Response {
    match shared.desk.checkpoint(&origin_hash) {
        Some(note) => (text(), note).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing is cosigned of this log\n").into_response(),
    }
}

async fn add_checkpoint(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let Ok(body) = to_bytes(body, MAX_WITNESS_REQUEST_LEN).await else {
        return (StatusCode::BAD_REQUEST, "the request is too long\n").into_response();
    };
    let request = match shared.desk.read(&body) {
        Ok(request) => request,
        Err(answer) => return respond(answer),
    };
    // From before it is taken up: no change is missed.
    let changes = shared.desk.changes();
    let answer = match shared.desk.add_checkpoint(&request) {
        Answer::NotYet => timeout(PATIENCE, outcome(&shared.desk, &request, changes)).await.unwrap_or(Answer::NotYet),
        answer => answer,
    };
    respond(answer)
}

/// What has become of it, once that is known.
async fn outcome(desk: &Desk, request: &AddCheckpointRequest, mut changes: watch::Receiver<()>) -> Answer {
    loop {
        if let Some(outcome) = desk.outcome(request) {
            return outcome;
        }
        if changes.changed().await.is_err() {
            return Answer::NotYet;
        }
    }
}

fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Cosigned(lines) => (text(), lines).into_response(),
        Answer::Conflict(size) => {
            let head = [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)];
            (StatusCode::CONFLICT, head, size_body(size)).into_response()
        }
        Answer::Refused(status, why) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, format!("{why}\n")).into_response()
        }
        Answer::NotYet => {
            let head = [(header::RETRY_AFTER, "5")];
            (StatusCode::SERVICE_UNAVAILABLE, head, "not replayed yet, or a larger one was offered\n").into_response()
        }
    }
}

const fn text() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8")]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One address leaves seven eighths to the others.
    #[test]
    fn one_address_does_not_have_all_connections() {
        let limits = limits();
        let of_one = limits.connections_per_address.unwrap().get();
        assert!(of_one * 8 <= limits.connections, "{of_one} of {}", limits.connections);
    }
}
