//! How the feeder reaches a witness: over HTTP, or in a simulation.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{RequestBuilder, Url};

/// Longest answer of a witness that is read: a checkpoint with as many post-quantum signatures as a note may have.
pub const MAX_REPLY_LEN: usize = crate::tlog::MAX_NOTE_LEN;
/// How long a connection to a witness may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A witness, as the feeder talks to it.
pub trait Transport: Send + Sync + 'static {
    /// `POST <prefix>/add-checkpoint`.
    fn add_checkpoint(&self, request: String) -> impl Future<Output = Result<Reply, NoReply>> + Send;

    /// `GET <prefix>/<origin hash>/checkpoint`.
    fn checkpoint(&self, origin_hash: &str) -> impl Future<Output = Result<Reply, NoReply>> + Send;
}

/// An answer, read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Its status code.
    pub status: u16,
    /// Its media type, without parameters.
    pub media_type: String,
    /// At most [`MAX_REPLY_LEN`] bytes.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoReply(pub String);

/// A witness at a submission prefix. Connections are kept.
#[derive(Clone, Debug)]
pub struct HttpWitness {
    http: reqwest::Client,
    prefix: Url,
}

impl HttpWitness {
    /// The witness at a URL, which is both its submission and its monitoring prefix.
    pub fn new(prefix: &str, patience: Duration) -> Result<Self, NoReply> {
        let no_url = || NoReply("a witness's URL is http or https, without user or query".into());
        let mut prefix = Url::parse(prefix).map_err(|_| no_url())?;
        let names_user = !prefix.username().is_empty() || prefix.password().is_some();
        if !matches!(prefix.scheme(), "http" | "https") || prefix.query().is_some() || names_user {
            return Err(no_url());
        }
        if !prefix.path().ends_with('/') {
            let path = format!("{}/", prefix.path());
            prefix.set_path(&path);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, prefix })
    }

    fn url(&self, path: &str) -> Result<Url, NoReply> {
        self.prefix.join(path).map_err(|error| NoReply(error.to_string()))
    }

    async fn send(request: RequestBuilder) -> Result<Reply, NoReply> {
        let request = request.header(USER_AGENT, concat!("soulchain/", env!("CARGO_PKG_VERSION")));
        let mut response = request.send().await?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_REPLY_LEN {
                return Err(NoReply("its answer is too long".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status: response.status().as_u16(), media_type, body })
    }
}

impl Transport for HttpWitness {
    async fn add_checkpoint(&self, request: String) -> Result<Reply, NoReply> {
        Self::send(self.http.post(self.url("add-checkpoint")?).body(request)).await
    }

    async fn checkpoint(&self, origin_hash: &str) -> Result<Reply, NoReply> {
        Self::send(self.http.get(self.url(&format!("{origin_hash}/checkpoint"))?)).await
    }
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoReply {}

/// Without the URL, which may hold a secret.
impl From<reqwest::Error> for NoReply {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        Self(text)
    }
}
