//! The server beneath the routes: connections, their limits, and a graceful end.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use super::body_limit::BodyTimeout;
use super::connections::{CONNECTIONS_PER_ADDRESS, Client, HELD_MAX, PerAddress};
use super::events::Stopping;
use super::limits::PeerAddr;
use super::pieces::Pieces;
use super::problem::HttpError;
use super::stall::{StallBounded, WRITE_STALL};
use crate::metrics::{CONNECTIONS, CONNECTIONS_CLOSED, RESPONSES};

/// Limits of connections.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// Connections at once from one address; more are closed. `None` is no limit.
    pub connections_per_address: Option<NonZeroUsize>,
    /// Memory for what is under way: bodies and answers of more than 64 KiB. One address may hold a sixteenth of it.
    pub held_bytes: usize,
    /// Proxies, which may have any number. Where none is named, loopback may too.
    pub trusted_proxies: Vec<IpAddr>,
    /// Time for a request's head to arrive; also how long an idle connection is kept.
    pub head_timeout: Duration,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
    /// The time over which a rate is taken at which answers are read: 2 KiB a second, or the connection is closed.
    pub write_stall: Duration,
    /// Time for requests to end when the server stops.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: Some(CONNECTIONS_PER_ADDRESS),
            held_bytes: HELD_MAX,
            trusted_proxies: Vec::new(),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_stall: WRITE_STALL,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Longest head of a request.
const MAX_HEAD_LEN: usize = 32 << 10;

/// Serves until `stop` turns true; then takes no more connections and lets requests end.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let per_address =
        PerAddress::new(limits.connections_per_address, limits.held_bytes, limits.trusted_proxies.clone());
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
        let Some(counted) = per_address.count(peer.ip()) else {
            tracing::debug!(%peer, "a connection is closed: the address has too many");
            metrics::counter!(CONNECTIONS_CLOSED, "reason" => "address").increment(1);
            continue;
        };
        let client = Client(Arc::clone(&counted));
        let connection = connection(stream, (peer, client), router.clone(), &limits, stop.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            metrics::gauge!(CONNECTIONS).increment(1);
            // A client that breaks off is no event.
            let _ = connection.await;
            metrics::gauge!(CONNECTIONS).decrement(1);
            drop((slot, counted));
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

fn connection(
    stream: TcpStream,
    (peer, client): (SocketAddr, Client),
    router: Router,
    limits: &ServerLimits,
    stop: watch::Receiver<bool>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    let body_timeout = BodyTimeout(limits.body_timeout);
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, stop, client) = (router.clone(), stop.clone(), client.clone());
        async move {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(PeerAddr(peer));
            request.extensions_mut().insert(body_timeout);
            request.extensions_mut().insert(client.clone());
            request.extensions_mut().insert(Stopping(stop));
            let response = router.oneshot(request).await.map(|response| in_pieces(response, &client));
            if let Ok(response) = &response {
                metrics::counter!(RESPONSES, "class" => class(response.status().as_u16())).increment(1);
            }
            response
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    // Each answer is flushed by itself. With `pipeline_flush` those to all requests that were read would be held in
    // memory first: of one head's length, a thousand.
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout).max_buf_size(MAX_HEAD_LEN);
    builder.serve_connection(TokioIo::new(StallBounded::new(stream, limits.write_stall)), service)
}

/// The answer, or that there is no memory for it.
fn in_pieces(response: Response, Client(client): &Client) -> Response<Pieces> {
    let (parts, body) = response.into_parts();
    match Pieces::new(body, Arc::clone(client).held()) {
        Ok(body) => Response::from_parts(parts, body),
        Err(held) => HttpError::overloaded().into_response().map(|body| Pieces::small(body, held)),
    }
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
