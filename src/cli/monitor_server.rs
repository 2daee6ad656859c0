//! What a monitor serves: how it is, and what it has cosigned.

use std::net::SocketAddr;
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

use super::error::{CliError, CliResult};
use crate::http::{ServerLimits, serve};
use crate::monitor::{Answer, Board, Desk};
use crate::tlog::{MAX_WITNESS_REQUEST_LEN, SIZE_CONTENT_TYPE, size_body};

/// How long a request to cosign waits for the replay.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// Connections at once.
const CONNECTIONS: usize = 1024;

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
        let limits = ServerLimits { connections: CONNECTIONS, ..ServerLimits::default() };
        runtime.spawn(serve(listener, routes, limits, stopping));
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
    let mut answer = shared.desk.add_checkpoint(&body);
    let until = tokio::time::Instant::now() + PATIENCE;
    while answer == Answer::NotYet && tokio::time::Instant::now() < until {
        match shared.desk.outcome(&body) {
            Some(Answer::NotYet) => break,
            Some(outcome) => answer = outcome,
            None => tokio::time::sleep(PAUSE).await,
        }
    }
    respond(answer)
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
