//! The server beneath the routes: connections, their limits, and a graceful end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use super::body_limit::BodyTimeout;
use super::events::Stopping;
use super::limits::PeerAddr;
use crate::metrics::{CONNECTIONS, RESPONSES};

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// Time for a request's head to arrive; also how long an idle connection is kept.
    pub head_timeout: Duration,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Time for requests to end when the server stops.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Longest head of a request.
const MAX_HEAD_LEN: usize = 32 << 10;

/// Serves until `stop` turns true; then takes no more connections and lets requests end.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        // Also where no slot is free, the end is seen at once.
        let (slot, accepted) = tokio::select! {
            accepted = accept => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: others will be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let connection = connection(stream, peer, router.clone(), limits, stop.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            metrics::gauge!(CONNECTIONS).increment(1);
            // A client that breaks off is no event.
            let _ = connection.await;
            metrics::gauge!(CONNECTIONS).decrement(1);
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ServerLimits,
    stop: watch::Receiver<bool>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, stop) = (router.clone(), stop.clone());
        async move {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(PeerAddr(peer));
            request.extensions_mut().insert(BodyTimeout(limits.body_timeout));
            request.extensions_mut().insert(Stopping(stop));
            let response = router.oneshot(request).await;
            if let Ok(response) = &response {
                metrics::counter!(RESPONSES, "class" => class(response.status().as_u16())).increment(1);
            }
            response
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_LEN)
        .pipeline_flush(true);
    builder.serve_connection(TokioIo::new(stream), service)
}

const fn class(status: u16) -> &'static str {
    match status / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
