//! Every error that a client can get: its status, its code, its text and its hint. Nothing of it goes into a log line,
//! and no text of a log line into it.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::log::{EraseError, ReadError, SubmitError};
use crate::node::AppendError;
use crate::registry::{ChainEnd, Refusal};
use crate::soul::Code;
use crate::wire::{HeadJson, LinkReadError, MessageSignatureError, PROBLEM_MEDIA_TYPE, Problem};

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct HttpError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: Cow<'static, str>,
    at: Option<usize>,
    head: Option<HeadJson>,
    retry_after_seconds: Option<u64>,
}

/// Answers of a handler.
pub(crate) type HttpResult<T> = Result<T, HttpError>;

impl HttpError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        let (detail, hint) = (detail.into(), Cow::Borrowed(hint));
        Self { status, code, detail, hint, at: None, head: None, retry_after_seconds: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = hint.into();
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub(crate) fn at(mut self, at: usize) -> Self {
        self.at = Some(at);
        self
    }

    pub(crate) fn with_head(mut self, head: Option<HeadJson>) -> Self {
        self.head = head;
        self
    }

    /// A request that cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            detail,
            "compare the request with /openapi.json and docs/formats.md",
        )
    }

    pub(crate) fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_body", detail, hint_of(Code::BadBody))
    }

    pub(crate) fn unknown_identity(name: &str) -> Self {
        let detail = format!("this log has no agent {name:?}");
        Self::new(StatusCode::NOT_FOUND, "unknown_identity", detail, hint_of(Code::UnknownIdentity))
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            what,
            "see /docs for the routes, and /v1/log for the size of the log",
        )
    }

    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unsupported",
            detail,
            "this node does not do that; /openapi.json says what it does",
        )
    }

    pub(crate) fn media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported",
            "the request has a content type that this route does not read",
            "send application/json or application/vnd.soulchain.links",
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this route has no such method", "see /docs")
    }

    /// What a mirror leaves to its log.
    pub(crate) fn only_the_log(what: &str, log_url: &str) -> Self {
        let hint = format!("send it to the log itself: {log_url}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported", what, "").with_hint(hint)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the request is larger than {limit} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            detail,
            "send fewer links at a time; log large data by its digest",
        )
    }

    pub(crate) fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the request did not arrive in time",
            "send it without pauses",
        )
    }

    pub(crate) fn rate_limited(what: &str, wait_seconds: u64) -> Self {
        let detail = format!("too many {what} from here");
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            detail,
            "wait as Retry-After says, or send links in arrays",
        )
        .retry_after(wait_seconds.max(1))
    }

    pub(crate) fn unauthorised(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "unauthorised", detail, hint_of(Code::Unauthorised))
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something failed that should not; the operator finds it in the log",
            "try again; if it stays, tell the operator",
        )
    }

    pub(crate) fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "the node has no room for more at the moment",
            "try again",
        )
        .retry_after(1)
    }

    /// Why links were not appended. `head` is where the chain ends now.
    pub(crate) fn append(error: AppendError<Self>) -> Self {
        match error {
            AppendError::Refused { at, refusal, holds: false, .. } => Self::refused(&refusal).at(at),
            AppendError::Refused { at, refusal, .. } => {
                let hint = "sign it anew on `head` now: for 30 s nothing else gets into this chain before it";
                Self { hint: hint.into(), ..Self::refused(&refusal).at(at) }
            }
            AppendError::Held { at, wait_ms } => Self::held(wait_ms).at(at),
            AppendError::NotOneChain { at } => {
                Self::malformed("the links of a request are consecutive links of one chain").at(at)
            }
            AppendError::Engine(error) => Self::engine(&error),
            AppendError::Read(error) => Self::read(&error),
            AppendError::Denied(error) => error,
        }
    }

    fn held(wait_ms: u64) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "held",
            "the chain is held for a key event that was outrun by other links",
            "wait as Retry-After says, or until the key event is in; then build the link anew on the new head",
        )
        .retry_after(wait_ms.div_ceil(1_000).max(1))
    }

    /// A link breaks a rule.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let code = refusal.code();
        let head = match refusal {
            Refusal::Conflict(Some(end)) => Some(head_of(end)),
            _ => None,
        };
        Self::new(status_of(code), code.as_str(), refusal.to_string(), hint_of(code)).with_head(head)
    }

    fn engine(error: &SubmitError<std::convert::Infallible>) -> Self {
        let unavailable = |code, detail: &str, hint| Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail, hint);
        match error {
            SubmitError::Overloaded => Self::overloaded(),
            SubmitError::TooLarge => Self::too_large(crate::wire::MAX_REQUEST_LEN),
            SubmitError::NoSpace => {
                unavailable("overloaded", "the node has too little room on disk", "try again later").retry_after(30)
            }
            SubmitError::Latched { may_be_logged: true } => unavailable(
                "latched",
                "the node stopped while it wrote: the links may have been logged",
                "send the same links again: what is logged is answered with its first place",
            )
            .retry_after(10),
            SubmitError::Latched { may_be_logged: false } => unavailable(
                "latched",
                "the node takes no writes until it is started again",
                "send the same links again later",
            )
            .retry_after(30),
            SubmitError::Held => unavailable(
                "latched",
                "the node serves reads only until enough of its witnesses have ruled out that a later log exists",
                "send the same links again later",
            )
            .retry_after(5),
            SubmitError::ClockJumped => {
                unavailable("latched", "the clock of the node has jumped", "send the same links again later")
                    .retry_after(60)
            }
            SubmitError::Closed | SubmitError::Refused(_) => {
                unavailable("overloaded", "the node is shutting down", "send the same links again").retry_after(5)
            }
        }
    }

    /// What was there and was erased.
    pub(crate) fn gone() -> Self {
        Self::new(
            StatusCode::GONE,
            "gone",
            "the body of this link was erased, and its salt",
            "the link and its proof stand: they need no body",
        )
    }

    /// An erasure that takes longer than a request may.
    pub(crate) fn erasure_under_way() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "the body is not given out any more, but it is not yet gone from every file",
            "send the same request again: it answers when the body is gone",
        )
        .retry_after(2)
    }

    /// Why a body was not erased.
    pub(crate) fn erasure(error: &EraseError) -> Self {
        let unavailable = |code, detail: &str| {
            let hint = "send the same request again later: a body that is erased already is answered the same way";
            Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail, hint).retry_after(30)
        };
        match error {
            EraseError::NoBody => Self::not_found("the body of this link was never given to the log"),
            EraseError::Read(error) => Self::read(error),
            EraseError::Owed(error) => {
                tracing::error!(%error, "an erasure waits for the repair of a file");
                let detail = "the body is given to nobody any more, but its file is damaged: the order is kept until it \
                              is repaired";
                unavailable("internal", detail)
            }
            EraseError::Overloaded => Self::overloaded(),
            EraseError::NoSpace => unavailable("overloaded", "the node has too little room on disk"),
            EraseError::Stopped => {
                unavailable("latched", "the node has stopped writing: the body may be erased or not")
            }
        }
    }

    /// Something could not be read.
    pub(crate) fn read(error: &ReadError) -> Self {
        match error {
            ReadError::PastEnd => Self::not_found("the log is not that large"),
            ReadError::NotPublished => Self::not_found("no published checkpoint covers it yet").with_hint(
                "this node signs nothing itself: ask again in a moment, when it has the log's next checkpoint",
            ),
            ReadError::NoSuchProof => {
                Self::malformed("there is no such proof: a size is above an index, an old size below a new one")
            }
            ReadError::Damaged { .. } | ReadError::Storage(_) => {
                tracing::error!(%error, "a read failed");
                Self::internal()
            }
        }
    }

    fn problem(&self) -> Problem {
        Problem {
            kind: format!("about:blank#{}", self.code),
            title: self.code.replace('_', " "),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            hint: self.hint.clone().into_owned(),
            at: self.at,
            head: self.head.clone(),
        }
    }
}

impl From<LinkReadError> for HttpError {
    fn from(error: LinkReadError) -> Self {
        let malformed = Self::malformed(error.to_string());
        match error {
            LinkReadError::At(at, _) => malformed.at(at),
            _ => malformed,
        }
    }
}

impl From<MessageSignatureError> for HttpError {
    fn from(error: MessageSignatureError) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "bad_signature",
            error.to_string(),
            "sign the request by RFC 9421: ed25519, keyid = kid, over @method @authority @path, created now",
        )
    }
}

impl From<ReadError> for HttpError {
    fn from(error: ReadError) -> Self {
        Self::read(&error)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Where a chain ends, for the wire.
pub(crate) fn head_of(end: &ChainEnd) -> HeadJson {
    HeadJson {
        seqno: end.head.seqno.get(),
        curr: end.head.curr.to_hex(),
        index: end.head.index.get(),
        auth: end.auth.to_hex(),
    }
}

const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadSignature => StatusCode::UNAUTHORIZED,
        Code::Unauthorised | Code::Revoked => StatusCode::FORBIDDEN,
        Code::UnknownIdentity => StatusCode::NOT_FOUND,
        Code::Conflict | Code::NameTaken | Code::KeyInUse | Code::TooManyKeys => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

const fn hint_of(code: Code) -> &'static str {
    match code {
        Code::Malformed => "build the 274-byte header as docs/formats.md §2 says, or use POST /v1/links/prepare",
        Code::WrongLog => "log_id is the SHA-256 of this log's origin: see GET /v1/log",
        Code::BadBody => "the body is canonical JSON (RFC 8785, integers only) with the fields of docs/formats.md §4",
        Code::UnknownIdentity => "register first with a genesis link; GET /v1/agents lists who is there",
        Code::Revoked => {
            "the identity is revoked. Its next key may `recover` it, unless that key revoked it or 30 days have passed"
        }
        Code::Conflict => {
            "build the link anew on `head`: its seqno is one more, prev is its curr, auth the newest key event"
        }
        Code::Unauthorised => "sign with a live key of the identity that has the role for this type",
        Code::BadSignature => {
            "sign the exact 274 bytes of the header with Ed25519; every added key signs its proof of possession"
        }
        Code::NameTaken => {
            "choose another name: a handle is held for ever, a domain name until the registrar releases it"
        }
        Code::KeyInUse => {
            "make a fresh key: one that was ever listed in this log, or signed as `recovery`, is never listed again; nor is a `next`"
        }
        Code::TooManyKeys => {
            "wait, or `recover`: a `keys` event may leave at most 32 keys retired in 30 days, a `recover` 128"
        }
        Code::Clock => {
            "set the clock: ctime_ms is not before the previous link's, and at most 5 minutes ahead of the log's"
        }
        Code::BadAnchor => "anchor to size and root of a checkpoint of this log, or leave both zero",
        Code::BadReference => "what the body names must be there, as docs/formats.md §4 says",
    }
}
