//! The routes of a mirror (C2SP tlog-mirror): what it takes, what it serves with its cosignature, and how it does.
//!
//! | route | answers |
//! |---|---|
//! | `POST /add-checkpoint` | 200, 400, 403, 404, 409 with the size, 422 |
//! | `POST /add-entries` | 200 with signature lines; 202 and 409 with `text/x.tlog.mirror-info`; 400, 404, 422 |
//! | `GET /<origin hash>/checkpoint` `/tile/…` | the copy, its checkpoint cosigned by the mirror |
//! | `GET /checkpoint` `/tile/…` | the same, with the checkpoint as the log shows it |
//! | `GET /healthz` `/readyz` `/metrics` | for the operator |
//!
//! Of a log of agents the routes of its node that read are here as well (`routes`); those that write say where the log
//! is. Besides: 408, 413, 415, and 503 with Retry-After, after which the same may be sent again. Which requests get
//! which answer is decided in [`crate::mirror`].

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, watch};

use super::app::{App, takes_gzip};
use super::body_limit::{BODY_TIMEOUT, BodyTimeout};
use super::extract::InPath;
use super::measure::Recorder;
use super::mirror_health::{metrics, readyz};
use super::plain::{busy, note_body, text};
use super::problem::{HttpError, HttpResult};
use super::routes::{finished, reads};
use super::tlog::{note, serve_tile};
use super::tlog_log::tile_router;
use crate::log::{Machine, Opaque};
use crate::mirror::{CheckpointAnswer, Following, Mirror, Upload, UploadAnswer};
use crate::node::RegistryMachine;
use crate::tlog::{ADD_ENTRIES_CONTENT_TYPE, MIRROR_INFO_CONTENT_TYPE, SIZE_CONTENT_TYPE, TileId, size_body};

/// Uploads at once; each may hold the bytes of one package, 17 MB at most.
const MAX_UPLOADS: usize = 16;
/// How long an upload may take in all. Then it is answered for what has come.
const MAX_UPLOAD_TIME: Duration = Duration::from_mins(10);
/// Compressed bytes that are unpacked at once: they become a thousand times as many at most.
const GZIP_STEP: usize = 4 << 10;

/// What the server of a mirror serves.
pub struct MirrorApp<M: Machine> {
    /// The copy.
    pub(crate) mirror: Mirror<M>,
    /// How following goes.
    pub(crate) following: watch::Receiver<Following>,
    /// What `/metrics` shows.
    pub(crate) metrics: Recorder,
    /// Where the log is.
    pub(crate) log_url: String,
    uploads: Arc<Semaphore>,
}

type Shared<M> = State<Arc<MirrorApp<M>>>;

impl<M: Machine> MirrorApp<M> {
    /// What a server needs.
    pub fn new(
        mirror: Mirror<M>,
        following: watch::Receiver<Following>,
        metrics: Recorder,
        log_url: String,
    ) -> Arc<Self> {
        Arc::new(Self { mirror, following, metrics, log_url, uploads: Arc::new(Semaphore::new(MAX_UPLOADS)) })
    }
}

/// The router of a mirror of a log of agents.
pub fn agents_mirror_router(node: Arc<App>, app: Arc<MirrorApp<RegistryMachine>>) -> Router {
    let url: Arc<str> = app.log_url.as_str().into();
    let refused = |what: &'static str| {
        let url = Arc::clone(&url);
        move || {
            let problem = HttpError::only_the_log(what, &url);
            async move { problem }
        }
    };
    let bodies = {
        let url = Arc::clone(&url);
        move || {
            let hint = format!("who may read it asks the log itself: {url}");
            let problem = HttpError::not_found("bodies that are kept beside the log are not mirrored").with_hint(hint);
            async move { problem }
        }
    };
    let read_only = "a mirror takes no links";
    let more = Router::new()
        .route("/v1/links", post(refused(read_only)))
        .route("/v1/links/prepare", post(refused(read_only)))
        .route("/v1/agents/{agent}/links/{seqno}/body", get(bodies).delete(refused("a mirror keeps no bodies")))
        .merge(routes(app));
    finished(reads(), node, more)
}

/// The router of a mirror of any other log.
pub fn opaque_mirror_router(app: Arc<MirrorApp<Opaque>>) -> Router {
    let engine = app.mirror.engine().clone();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(routes(app))
        .merge(tile_router(engine))
        .fallback(|| async { HttpError::not_found("there is no such route") })
}

/// What every mirror has.
fn routes<M: Machine>(app: Arc<MirrorApp<M>>) -> Router {
    let own = format!("/{}", app.mirror.origin().hash_hex());
    let mut router = Router::new().route("/readyz", get(readyz::<M>)).route("/metrics", get(metrics::<M>));
    if app.mirror.cosigner().is_some() {
        router = router
            .route("/add-checkpoint", post(add_checkpoint::<M>))
            .route("/add-entries", post(add_entries::<M>))
            .route(&format!("{own}/checkpoint"), get(checkpoint::<M>))
            .route(&format!("{own}/tile/{{*path}}"), get(tile::<M>));
    }
    router.with_state(app)
}

async fn checkpoint<M: Machine>(State(app): Shared<M>, headers: HeaderMap) -> HttpResult<Response> {
    let mirrored = app.mirror.mirrored().ok_or_else(|| HttpError::not_found("nothing has been mirrored yet"))?;
    Ok(note(mirrored.to_string().as_bytes(), &headers))
}

async fn tile<M: Machine>(
    State(app): Shared<M>,
    InPath(path): InPath<String>,
    headers: HeaderMap,
) -> HttpResult<Response> {
    let id =
        TileId::parse_path(&format!("tile/{path}")).map_err(|_| HttpError::not_found("this is no path of a tile"))?;
    let view = app.mirror.engine().view();
    serve_tile(app.mirror.engine().reader(&view), &id, takes_gzip(&headers))
}

async fn add_checkpoint<M: Machine>(State(app): Shared<M>, request: Request) -> Response {
    let body = match note_body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    // A task of its own: who goes away leaves nothing half done.
    let mirror = app.mirror.clone();
    match tokio::spawn(async move { mirror.add_checkpoint(&body.bytes).await }).await {
        Ok(CheckpointAnswer::Pending) => StatusCode::OK.into_response(),
        Ok(CheckpointAnswer::Malformed(why)) => text(StatusCode::BAD_REQUEST, &why),
        Ok(CheckpointAnswer::NotSigned(why)) => text(StatusCode::FORBIDDEN, &why),
        Ok(CheckpointAnswer::UnknownLog(why)) => text(StatusCode::NOT_FOUND, &why),
        Ok(CheckpointAnswer::Conflict(size)) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)], size_body(size)).into_response()
        }
        Ok(CheckpointAnswer::Unprocessable(why)) => text(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Ok(CheckpointAnswer::Failed(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

async fn add_entries<M: Machine>(State(app): Shared<M>, request: Request) -> Response {
    let Ok(place) = Arc::clone(&app.uploads).try_acquire_owned() else {
        return busy("there are as many uploads as the mirror takes at once");
    };
    let (parts, body) = request.into_parts();
    let named = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    if named(header::CONTENT_TYPE) != Some(ADD_ENTRIES_CONTENT_TYPE) {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is application/octet-stream");
    }
    let unpack = match named(header::CONTENT_ENCODING) {
        None | Some("identity") => None,
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => Some(MultiGzDecoder::new(Vec::new())),
        Some(_) => return with_coding(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is plain or in gzip")),
    };
    let pause = parts.extensions.get().map_or(BODY_TIMEOUT, |BodyTimeout(timeout)| *timeout);
    let mirror = app.mirror.clone();
    let answered = tokio::spawn(async move {
        let mut arriving = Arriving { upload: Upload::new(mirror), unpack };
        let answer = tokio::time::timeout(MAX_UPLOAD_TIME, arriving.all(body, pause)).await.ok().flatten();
        let answer = match answer {
            Some(answer) => answer,
            None => arriving.upload.end().await,
        };
        drop(place);
        answer
    });
    with_coding(answered.await.map_or_else(|error| failed(&error), answer))
}

/// An upload whose body arrives.
struct Arriving<M: Machine> {
    upload: Upload<M>,
    unpack: Option<MultiGzDecoder<Vec<u8>>>,
}

impl<M: Machine> Arriving<M> {
    /// Reads the body until the upload is answered. `None` where it ends, breaks off or pauses before that.
    async fn all(&mut self, body: Body, pause: Duration) -> Option<UploadAnswer> {
        let mut chunks = body.into_data_stream();
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(pause, chunks.next()).await {
            if let Some(answer) = self.chunk(&chunk).await? {
                return Some(answer);
            }
        }
        None
    }

    /// Takes a piece of the body. `None` where it cannot be unpacked.
    async fn chunk(&mut self, chunk: &[u8]) -> Option<Option<UploadAnswer>> {
        let Some(unpack) = &mut self.unpack else { return Some(self.upload.push(chunk).await) };
        for piece in chunk.chunks(GZIP_STEP) {
            unpack.write_all(piece).and_then(|()| unpack.flush()).ok()?;
            let plain = std::mem::take(unpack.get_mut());
            if let Some(answer) = self.upload.push(&plain).await {
                return Some(Some(answer));
            }
        }
        Some(None)
    }
}

/// Statuses of all answers to uploads.
fn answer(answer: UploadAnswer) -> Response {
    let info = |status, info: &crate::tlog::MirrorInfo| {
        (status, [(header::CONTENT_TYPE, MIRROR_INFO_CONTENT_TYPE)], info.to_string()).into_response()
    };
    match answer {
        UploadAnswer::Done(lines) => (PLAIN, lines).into_response(),
        UploadAnswer::Accepted(at) => info(StatusCode::ACCEPTED, &at),
        UploadAnswer::Conflict(at) => info(StatusCode::CONFLICT, &at),
        UploadAnswer::Malformed(why) => text(StatusCode::BAD_REQUEST, &why),
        UploadAnswer::UnknownLog(why) => text(StatusCode::NOT_FOUND, &why),
        UploadAnswer::Unprocessable(why) => text(StatusCode::UNPROCESSABLE_ENTITY, &why),
        UploadAnswer::Failed(error) => failed(&error),
    }
}

/// Says what codings a body may have (RFC 9110, section 12.5.3).
fn with_coding(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

const PLAIN: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

fn failed(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "a submission could not be kept");
    busy("the mirror could not keep it; the operator finds why in its log")
}
