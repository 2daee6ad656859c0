//! All routes, and the OpenAPI document that is made from them.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, header};
use axum::middleware::from_fn;
use axum::routing::get;
use bytes::Bytes;
use tower_http::cors::{Any, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::app::App;
use super::body_limit::whole_body;
use super::problem::HttpError;
use super::{about, agents, bodies, events, links, log, ops, tlog};

#[derive(OpenApi)]
#[openapi(
    info(title = "Soulchain", description = "A transparency log for AI agents. Formats: docs/formats.md"),
    // Its route takes a path of several parts, which the document cannot say.
    paths(tlog::tile),
    tags(
        (name = "links", description = "Append signed links"),
        (name = "agents", description = "Agents and their chains"),
        (name = "proofs", description = "Proofs that are checked offline"),
        (name = "log", description = "The log itself"),
        (name = "tlog", description = "C2SP tiled log"),
        (name = "operation", description = "For operators"),
    )
)]
struct Document;

/// The router of a node.
pub fn router(app: Arc<App>) -> Router {
    finished(described(), app, Router::new())
}

/// A router with its document, and with routes that have a state of their own.
pub(super) fn finished(described: OpenApiRouter<Arc<App>>, app: Arc<App>, more: Router) -> Router {
    let (router, document) = described.split_for_parts();
    // Written once: it is long.
    let document = Bytes::from(document.to_json().expect("a description is maps with text keys"));
    let described = ([(header::CONTENT_TYPE, "application/json")], document);
    router
        .route("/openapi.json", get(|| async move { described }))
        .merge(SwaggerUi::new("/docs").config(Config::from("/openapi.json")))
        .with_state(app)
        .merge(more)
        .fallback(|| async { HttpError::not_found("there is no such route") })
        .method_not_allowed_fallback(|| async { HttpError::method_not_allowed() })
        .layer(cors())
}

/// The OpenAPI document.
pub fn openapi_json() -> String {
    described().split_for_parts().1.to_pretty_json().expect("a description is maps with text keys")
}

fn described() -> OpenApiRouter<Arc<App>> {
    let writes = OpenApiRouter::new()
        .routes(routes!(links::append))
        .routes(routes!(links::prepare))
        // The one limit is that of `whole_body`.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(whole_body));
    reads()
        .merge(writes)
        .routes(routes!(bodies::body))
        .routes(routes!(bodies::erase))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
}

/// What a mirror answers as its log does.
pub(super) fn reads() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tlog::checkpoint))
        .route("/tile/{*path}", get(tlog::tile))
        .routes(routes!(agents::directory))
        .routes(routes!(agents::agent))
        .routes(routes!(agents::state_proof))
        .routes(routes!(agents::chain))
        .routes(routes!(agents::link))
        .routes(routes!(about::about))
        .routes(routes!(agents::link_proof))
        .routes(routes!(log::log))
        .routes(routes!(log::entry))
        .routes(routes!(log::inclusion))
        .routes(routes!(log::consistency))
        .routes(routes!(events::events))
        .routes(routes!(ops::healthz))
}

/// Reads, appends and erases from any page: there are no cookies that could be misused, and what is signed is signed by
/// who has the key.
fn cors() -> CorsLayer {
    let signed = [HeaderName::from_static("signature-input"), HeaderName::from_static("signature")];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, header::ACCEPT].into_iter().chain(signed).collect::<Vec<_>>())
        .expose_headers([header::ETAG, header::RETRY_AFTER])
}
