//! What tlog-witness and tlog-mirror routes have in common: errors as a line of text, and requests of one bound.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body_limit::{BodyError, WholeBody, read_whole};
use crate::tlog::MAX_WITNESS_REQUEST_LEN;

pub(super) const PLAIN: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// An error, for people.
pub(super) fn text(status: StatusCode, why: &str) -> Response {
    (status, PLAIN, format!("{why}\n")).into_response()
}

/// Not now: the same request may be sent again.
pub(super) fn busy(why: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Reads a body, bounded in length and time.
pub(super) async fn note_body(request: Request) -> Result<WholeBody, Response> {
    read_whole(request, MAX_WITNESS_REQUEST_LEN).await.map(|(_, body)| body).map_err(|error| match error {
        BodyError::TooLarge => {
            text(StatusCode::PAYLOAD_TOO_LARGE, &format!("a request has at most {MAX_WITNESS_REQUEST_LEN} bytes"))
        }
        BodyError::BrokenOff => text(StatusCode::BAD_REQUEST, "the body did not arrive whole"),
        BodyError::Late => text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        BodyError::NoRoom => busy("there is no room for more at the moment: send the same again"),
    })
}
