//! What handlers take from a request's path and query; what cannot be read becomes a problem like every other error.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::{HttpError, HttpResult};
use crate::soul::LinkType;

/// Rows of a page where none is asked for.
const PAGE: usize = 50;

/// The variable parts of a path.
pub(crate) struct InPath<T>(pub(crate) T);

/// The query.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error))
                if matches!(error.kind(), ErrorKind::InvalidUtf8InPathParam { .. }) =>
            {
                Err(HttpError::malformed("the path is not UTF-8"))
            }
            Err(error) => Err(HttpError::malformed(error.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InQuery<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|error| HttpError::malformed(error.body_text()))
    }
}

/// `limit`: how many rows of a page are asked for.
pub(super) fn limit(asked: Option<usize>, most: usize) -> HttpResult<usize> {
    let limit = Some(asked.unwrap_or(PAGE)).filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| HttpError::malformed(format!("`limit` is 1 to {most}")))
}

/// `type`: links of which type are asked for.
pub(super) fn link_type(asked: Option<&str>) -> HttpResult<Option<LinkType>> {
    let found = |name: &str| {
        LinkType::from_name(name).ok_or_else(|| {
            HttpError::malformed(
                "`type` is a link type: action, attest, feedback, notice, receipt and the others of formats.md §4",
            )
        })
    };
    asked.map(found).transpose()
}
