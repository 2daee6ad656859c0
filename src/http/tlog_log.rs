//! The C2SP read routes of any log, for programs that embed the engine without the registry.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::app::takes_gzip;
use super::extract::InPath;
use super::problem::{HttpError, HttpResult};
use super::tlog::{note, serve_tile};
use crate::log::{Engine, Machine};
use crate::tlog::TileId;

/// `GET /checkpoint` and `GET /tile/…` of a log.
pub fn tile_router<M: Machine>(engine: Engine<M>) -> Router {
    Router::new().route("/checkpoint", get(checkpoint::<M>)).route("/tile/{*path}", get(tile::<M>)).with_state(engine)
}

async fn checkpoint<M: Machine>(State(engine): State<Engine<M>>, headers: HeaderMap) -> HttpResult<Response> {
    let published = engine.published().ok_or_else(|| HttpError::not_found("nothing has been published yet"))?;
    Ok(note(&published.note, &headers))
}

async fn tile<M: Machine>(
    State(engine): State<Engine<M>>,
    InPath(path): InPath<String>,
    headers: HeaderMap,
) -> HttpResult<Response> {
    let id =
        TileId::parse_path(&format!("tile/{path}")).map_err(|_| HttpError::not_found("this is no path of a tile"))?;
    let view = engine.view();
    serve_tile(engine.reader(&view), &id, takes_gzip(&headers))
}
