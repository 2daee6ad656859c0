//! Bounded reading of request bodies: a length, a time, and the memory for all of them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;

use super::connections::{Client, HeldBytes};
use super::problem::HttpError;
use crate::wire::MAX_REQUEST_LEN;

/// Time for a whole body to arrive; put into each request by the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyTimeout(pub(super) Duration);

/// Where no server has put one.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body is not there.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyError {
    TooLarge,
    BrokenOff,
    Late,
    /// The memory for bodies and answers under way is used up.
    NoRoom,
}

/// A whole body. Its memory counts for as long as this lives.
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    _held: Option<HeldBytes>,
}

/// Reads the whole body before the handler sees the request.
pub(crate) async fn whole_body(request: Request, next: Next) -> Response {
    let (parts, body) = match read_whole(request, MAX_REQUEST_LEN).await {
        Ok(read) => read,
        Err(BodyError::TooLarge) => return HttpError::too_large(MAX_REQUEST_LEN).into_response(),
        Err(BodyError::BrokenOff) => return HttpError::malformed("the body did not arrive whole").into_response(),
        Err(BodyError::Late) => return HttpError::timeout().into_response(),
        Err(BodyError::NoRoom) => return HttpError::overloaded().into_response(),
    };
    next.run(Request::from_parts(parts, Body::from(body.bytes.clone()))).await
}

/// The head of a request, and its body of `max` bytes at most.
pub(super) async fn read_whole(
    request: Request,
    max: usize,
) -> Result<(axum::http::request::Parts, WholeBody), BodyError> {
    let (parts, body) = request.into_parts();
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()).map(str::parse::<u64>);
    if matches!(announced, Some(Ok(len)) if len > max as u64) {
        return Err(BodyError::TooLarge);
    }
    let timeout = parts.extensions.get().map_or(BODY_TIMEOUT, |BodyTimeout(timeout)| *timeout);
    let held = parts.extensions.get().map(|Client(client)| client.clone().held());
    let body = tokio::time::timeout(timeout, read(body, max, held)).await.map_err(|_| BodyError::Late)??;
    Ok((parts, body))
}

async fn read(body: Body, max: usize, mut held: Option<HeldBytes>) -> Result<WholeBody, BodyError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| BodyError::BrokenOff)?;
        let len = bytes.len() + chunk.len();
        if len > max {
            return Err(BodyError::TooLarge);
        }
        if held.as_mut().is_some_and(|held| !held.hold(len)) {
            return Err(BodyError::NoRoom);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(WholeBody { bytes: bytes.into(), _held: held })
}
