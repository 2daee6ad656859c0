//! The routes of a witness (C2SP tlog-witness), which has a server of its own.
//!
//! | route | answers |
//! |---|---|
//! | `POST /add-checkpoint` | 200, 400, 403, 404, 409 with the size, 422 |
//! | `POST /sign-subtree` | 200, 400, 403, 404, 422 |
//! | `GET /<origin hash>/checkpoint` | 200, 404 |
//! | `GET /healthz` `/metrics` | for the operator |
//!
//! Besides: 405, 408, 413, and 503 with Retry-After, after which the same request may be sent again. Texts are for
//! people. Which requests get which answer is decided in `witness`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::plain::{PLAIN, busy, note_body, text};
use crate::clock::{Clock, Reading};
use crate::encoding::{UnixMillis, hex_decode_32};
use crate::metrics::{
    LATCHED, MetricsHandle, WITNESS_COSIGNED, WITNESS_DROPPED_EVIDENCE, WITNESS_LOGS, WITNESS_NO_EVIDENCE,
    WITNESS_REMEMBERED, WITNESS_REQUESTS, WITNESS_SECONDS, WITNESS_UNWRITTEN_EVIDENCE,
};
use crate::tlog::{SIZE_CONTENT_TYPE, Timestamp, size_body};
use crate::witness::{Outcome, Submitted, Witness};

/// What the server of a witness serves.
pub struct WitnessApp {
    /// The witness; a thread of its own commits.
    pub witness: Witness,
    /// The time of its cosignatures.
    pub clock: Arc<dyn Clock>,
    /// What `/metrics` shows.
    pub metrics: MetricsHandle,
}

type Shared = State<Arc<WitnessApp>>;

/// How long an answer may wait for the disk.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Longest origin line that is shown to who sent it, in characters.
const MAX_SHOWN_ORIGIN: usize = 255;

/// The router of a witness.
pub fn witness_router(app: Arc<WitnessApp>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/sign-subtree", post(sign_subtree))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "there is no such route") })
        .method_not_allowed_fallback(|| async { text(StatusCode::METHOD_NOT_ALLOWED, "not with this method") })
        .with_state(app)
}

async fn add_checkpoint(State(app): Shared, request: Request) -> Response {
    let response = match note_body(request).await {
        Ok(body) => app.add_checkpoint(&body.bytes).await,
        Err(refusal) => refusal,
    };
    counted("add-checkpoint", response)
}

async fn sign_subtree(State(app): Shared, request: Request) -> Response {
    let response = match note_body(request).await {
        Ok(body) => answer(app.witness.sign_subtree(&body.bytes)),
        Err(refusal) => refusal,
    };
    counted("sign-subtree", response)
}

async fn checkpoint(State(app): Shared, Path(origin_hash): Path<String>) -> Response {
    let note = hex_decode_32(&origin_hash).and_then(|hash| app.witness.checkpoint(&hash));
    let response = note.map_or_else(
        || text(StatusCode::NOT_FOUND, "no checkpoint was cosigned of a log with this hash"),
        |note| (PLAIN, [(header::CACHE_CONTROL, "no-cache")], note).into_response(),
    );
    counted("checkpoint", response)
}

async fn healthz(State(app): Shared) -> Response {
    if app.witness.latched().is_some() {
        return answer(Outcome::Latched);
    }
    if let Err(trouble) = app.now() {
        return busy(&format!("clock: {trouble}"));
    }
    if app.witness.is_out_of_room() {
        return busy("disk: there is no room to write what was cosigned");
    }
    text(StatusCode::OK, "ok")
}

async fn metrics(State(app): Shared) -> Response {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let gauges = [
        (WITNESS_LOGS, app.witness.logs() as f64),
        (WITNESS_REMEMBERED, app.witness.remembered() as f64),
        (WITNESS_UNWRITTEN_EVIDENCE, app.witness.unwritten_evidence() as f64),
        (WITNESS_NO_EVIDENCE, if app.witness.keeps_evidence() { 0.0 } else { 1.0 }),
        (LATCHED, if app.witness.latched().is_some() { 1.0 } else { 0.0 }),
    ];
    for (name, value) in gauges {
        metrics::gauge!(name).set(value);
    }
    metrics::counter!(WITNESS_DROPPED_EVIDENCE).absolute(app.witness.dropped_evidence());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}

impl WitnessApp {
    /// The time of a cosignature, or why there is none.
    fn now(&self) -> Result<Timestamp, String> {
        let Reading::Time(now) = self.clock.read(UnixMillis::ZERO) else {
            return Err("the clock of the witness has jumped".into());
        };
        let now =
            Timestamp::new(now.get() / 1000).ok_or("the clock of the witness shows no time that can be signed")?;
        self.witness.check_clock(now).map_err(|doubt| doubt.to_string())?;
        Ok(now)
    }

    async fn add_checkpoint(&self, request: &[u8]) -> Response {
        let started = Instant::now();
        let now = match self.now() {
            Ok(now) => now,
            Err(trouble) => return busy(&format!("{trouble}: nothing is cosigned until its operator has looked")),
        };
        let outcome = match self.witness.submit(request, now) {
            Submitted::Answered(outcome) => outcome,
            Submitted::Pending(pending) => match tokio::time::timeout(MAX_WAIT, pending.answered()).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    return busy("the disk of the witness takes too long; the checkpoint may have been remembered");
                }
            },
        };
        if matches!(outcome, Outcome::Signed(_)) {
            metrics::counter!(WITNESS_COSIGNED).increment(1);
        }
        metrics::histogram!(WITNESS_SECONDS).record(started.elapsed().as_secs_f64());
        answer(outcome)
    }
}

/// Statuses and texts of all answers.
fn answer(outcome: Outcome) -> Response {
    let (status, why) = match outcome {
        Outcome::Signed(lines) => return (PLAIN, lines).into_response(),
        Outcome::Conflict { cosigned } => {
            return (StatusCode::CONFLICT, SIZE, size_body(cosigned)).into_response();
        }
        Outcome::Overloaded => return busy("too much waits to be written: send the same again"),
        Outcome::LogOverloaded => return busy("too much of this log waits to be written: send the same again"),
        Outcome::Latched => return busy("a write failed: nothing is cosigned until the witness is restarted"),
        Outcome::Malformed(error) => (StatusCode::BAD_REQUEST, format!("malformed request: {error}")),
        Outcome::OldSizeAbove { old, size } => {
            (StatusCode::BAD_REQUEST, format!("the old size {old} is greater than that of the checkpoint, {size}"))
        }
        Outcome::NotSigned(error) => (StatusCode::FORBIDDEN, error.to_string()),
        Outcome::UnknownLog(origin) => {
            let shown: String = origin.chars().take(MAX_SHOWN_ORIGIN).collect();
            (StatusCode::NOT_FOUND, format!("the log {shown} is not known here"))
        }
        Outcome::NoSubtreeKey => (StatusCode::NOT_FOUND, "this witness has no key that signs subtrees".into()),
        Outcome::EmptyRoot => (StatusCode::UNPROCESSABLE_ENTITY, "not the root of the empty tree".into()),
        Outcome::ProofFromNothing => {
            (StatusCode::UNPROCESSABLE_ENTITY, "from an old size of 0 there is nothing to prove: send no proof".into())
        }
        Outcome::OtherRoot { size } => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("another root was cosigned at size {size}"))
        }
        Outcome::Inconsistent(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("the proof does not hold: {error}")),
    };
    text(status, &why)
}

const SIZE: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)];

/// Counts an answer, by a closed set of statuses.
fn counted(route: &'static str, response: Response) -> Response {
    let status = match response.status().as_u16() {
        200 => "200",
        400 => "400",
        403 => "403",
        404 => "404",
        408 => "408",
        409 => "409",
        413 => "413",
        422 => "422",
        503 => "503",
        _ => "other",
    };
    metrics::counter!(WITNESS_REQUESTS, "route" => route, "status" => status).increment(1);
    response
}
