//! Bounded reading of request bodies: a length, and a time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;

use super::problem::{HttpError, HttpResult};
use crate::wire::MAX_REQUEST_LEN;

/// Time for a whole body to arrive; put into each request by the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyTimeout(pub(crate) Duration);

/// Where no server has put one.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the whole body before the handler sees the request.
pub(crate) async fn whole_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()).map(str::parse::<u64>);
    if matches!(announced, Some(Ok(len)) if len > MAX_REQUEST_LEN as u64) {
        return HttpError::too_large(MAX_REQUEST_LEN).into_response();
    }
    let timeout = parts.extensions.get().map_or(BODY_TIMEOUT, |BodyTimeout(timeout)| *timeout);
    match tokio::time::timeout(timeout, read(body)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(error)) => error.into_response(),
        Err(_) => HttpError::timeout().into_response(),
    }
}

async fn read(body: Body) -> HttpResult<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| HttpError::malformed("the body did not arrive whole"))?;
        if bytes.len() + chunk.len() > MAX_REQUEST_LEN {
            return Err(HttpError::too_large(MAX_REQUEST_LEN));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
