//! Bounded reading of request bodies: a length, and a time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::HttpError;
use crate::wire::MAX_REQUEST_LEN;

/// Time for a whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the whole body before the handler sees the request.
pub(crate) async fn whole_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()).map(str::parse::<u64>);
    if matches!(announced, Some(Ok(len)) if len > MAX_REQUEST_LEN as u64) {
        return HttpError::too_large(MAX_REQUEST_LEN).into_response();
    }
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_REQUEST_LEN)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        // The one error besides a broken connection, and then nobody reads this.
        Ok(Err(_)) => HttpError::too_large(MAX_REQUEST_LEN).into_response(),
        Err(_) => HttpError::timeout().into_response(),
    }
}
