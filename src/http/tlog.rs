//! The C2SP routes: checkpoint, tiles, entry bundles (tlog-tiles).

use std::io::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::app::{Shared, takes_gzip};
use super::extract::InPath;
use super::problem::{HttpError, HttpResult};
use crate::hash::{Hash, sha256};
use crate::log::LogReader;
use crate::tlog::{TileId, TileKind};

/// What never changes may be kept for a year.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The published checkpoint.
#[utoipa::path(get, path = "/checkpoint", tag = "tlog",
    responses((status = 200, content_type = "text/plain", description = "Signed note (C2SP tlog-checkpoint)"),
        (status = 304, description = "Unchanged"), (status = 404, description = "Nothing published yet")))]
pub(crate) async fn checkpoint(State(app): Shared, headers: HeaderMap) -> HttpResult<Response> {
    let published = app.node.published().ok_or_else(|| HttpError::not_found("nothing has been published yet"))?;
    Ok(note(&published.note, &headers))
}

/// A note with its ETag, which changes with its cosignatures too.
pub(crate) fn note(note: &[u8], headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", Hash::from_bytes(sha256(&[note])));
    let seen = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut seen = seen.flat_map(|list| list.split(',')).map(str::trim);
    // A weak comparison (RFC 9110, section 13.1.2).
    let unchanged = seen.any(|seen| seen == "*" || seen.strip_prefix("W/").unwrap_or(seen) == etag);
    let caching = [(header::CACHE_CONTROL, "no-cache".to_owned()), (header::ETAG, etag)];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (StatusCode::OK, caching, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note.to_vec()).into_response()
}

/// A tile of hashes or an entry bundle.
#[utoipa::path(get, path = "/tile/{path}", tag = "tlog",
    params(("path" = String, Path, description = "`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]` (C2SP tlog-tiles)")),
    responses((status = 200, content_type = "application/octet-stream", description = "Hashes, or length-prefixed entries"),
        (status = 404, description = "Past the end of the log")))]
pub(crate) async fn tile(State(app): Shared, InPath(path): InPath<String>, headers: HeaderMap) -> HttpResult<Response> {
    let id =
        TileId::parse_path(&format!("tile/{path}")).map_err(|_| HttpError::not_found("this is no path of a tile"))?;
    let node = app.node.clone();
    let view = node.view();
    serve_tile(node.reader(&view), &id, takes_gzip(&headers))
}

/// Reads and answers a tile.
pub(crate) fn serve_tile(log: LogReader<'_>, id: &TileId, gzip: bool) -> HttpResult<Response> {
    let width = usize::from(id.width());
    let bytes = match id.kind() {
        TileKind::Hashes(level) => log.tile(level, id.index(), width)?,
        TileKind::Entries => log.bundle(id.index(), width)?,
    };
    let is_bundle = id.kind() == TileKind::Entries;
    let mut response = if is_bundle && gzip {
        ([(header::CONTENT_ENCODING, "gzip")], compressed(&bytes)).into_response()
    } else {
        bytes.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(IMMUTABLE));
    if is_bundle {
        headers.insert(header::VARY, header::HeaderValue::from_static("accept-encoding"));
    }
    Ok(response)
}

fn compressed(bytes: &Bytes) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}
