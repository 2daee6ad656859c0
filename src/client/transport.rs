//! Requests and answers: timeouts, bounds, repeats.
//!
//! Every request of this interface may be repeated: those that read, and those that append, since a log answers links
//! that it has with their place. So each is, a bounded number of times, where no answer came or the node asked for time.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Method, Response, Url};
use serde::de::DeserializeOwned;

use super::error::{ClientError, FalseAnswer, is_transient};
use crate::wire::{PROBLEM_MEDIA_TYPE, Problem};

/// Longest answer that is read, in bytes: a proof with all the key events that it may have.
pub const MAX_ANSWER_LEN: usize = 48 << 20;

/// How long to wait for what, and how often to try.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, from the request on.
    pub answer: Duration,
    /// How often a request is sent at most.
    pub attempts: u32,
    /// Longest wait that a node may ask for before the next attempt; where it asks for more, its refusal stands.
    pub pause: Duration,
}

/// A connection to a node; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    patience: Patience,
}

/// A request, as often as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    max_answer_len: usize,
}

/// What came back, whole.
pub(super) struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    is_problem: bool,
    pub(super) bytes: Vec<u8>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_SHOWN_TEXT: usize = 200;

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            attempts: 4,
            pause: Duration::from_secs(10),
        }
    }
}

impl Client {
    /// A client of the node at this URL.
    pub fn new(node_url: &str) -> Result<Self, ClientError> {
        Self::with_patience(node_url, Patience::default())
    }

    /// A client with other timeouts.
    pub fn with_patience(node_url: &str, patience: Patience) -> Result<Self, ClientError> {
        let address = || ClientError::Address(node_url.into());
        let base = Url::parse(node_url).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(address());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(patience.connect)
            .timeout(patience.answer)
            // Only the node that was named is believed to be it.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base, patience })
    }

    /// The address of the node.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The node's host and port as a request names them.
    pub(super) fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// A request for a path, given segment by segment.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> Request {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("soulchain/", env!("CARGO_PKG_VERSION"))));
        Request { method, url, headers, body: Vec::new(), max_answer_len: MAX_ANSWER_LEN }
    }

    pub(super) fn read(&self, segments: &[&str]) -> Request {
        self.request(Method::GET, segments)
    }

    /// Sends a request until it is answered, refused for good, or was tried often enough.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, ClientError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let last = attempt >= self.patience.attempts;
            match self.send_once(request).await {
                Ok(answer) if !is_transient(answer.status) => return answer.accepted(),
                Ok(answer) => {
                    pause = answer.retry_after.unwrap_or(pause);
                    if last || pause > self.patience.pause {
                        return answer.accepted();
                    }
                }
                Err(ClientError::Transport(error)) if !last && !error.is_builder() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        let answer = self.send(request).await?;
        serde_json::from_slice(&answer.bytes).map_err(|error| FalseAnswer::form("JSON", error))
    }

    pub(super) async fn text(&self, request: &Request) -> Result<String, ClientError> {
        let answer = self.send(request).await?;
        String::from_utf8(answer.bytes).map_err(|error| FalseAnswer::form("text", error))
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, ClientError> {
        let mut builder =
            self.http.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        Answer::read(builder.send().await?, request.max_answer_len).await
    }
}

impl Request {
    pub(super) fn query(mut self, name: &str, value: &impl ToString) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    pub(super) fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, &value),
            None => self,
        }
    }

    pub(super) fn accept(self, media_type: &'static str) -> Self {
        self.header(ACCEPT, HeaderValue::from_static(media_type))
    }

    pub(super) fn body(mut self, media_type: &'static str, bytes: Vec<u8>) -> Self {
        self.body = bytes;
        self.header(CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Reads no longer answer than this one.
    pub(super) const fn at_most(mut self, len: usize) -> Self {
        self.max_answer_len = len;
        self
    }

    /// The path as it is sent.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }
}

impl Answer {
    async fn read(mut response: Response, max_len: usize) -> Result<Self, ClientError> {
        let status = response.status().as_u16();
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let is_problem = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with(PROBLEM_MEDIA_TYPE));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > max_len {
                return Err(ClientError::False(FalseAnswer::TooLong));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self { status, retry_after, is_problem, bytes })
    }

    /// This answer, unless it is a refusal.
    fn accepted(self) -> Result<Self, ClientError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        if self.is_problem
            && let Ok(problem) = serde_json::from_slice::<Problem>(&self.bytes)
        {
            return Err(ClientError::Refused(Box::new(problem)));
        }
        let text = String::from_utf8_lossy(&self.bytes).chars().take(MAX_SHOWN_TEXT).collect();
        Err(ClientError::Status { status: self.status, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for bad in ["", "127.0.0.1:8080", "ftp://h", "unix:/x", "http://"] {
            assert!(matches!(Client::new(bad), Err(ClientError::Address(_))), "{bad}");
        }
        let client = Client::new("http://LOG.example:8080/prefix/").unwrap();
        assert_eq!(client.authority(), "log.example:8080");
        assert_eq!(client.read(&["v1", "agents", "a b/c"]).path(), "/prefix/v1/agents/a%20b%2Fc");
        assert_eq!(Client::new("https://log.example:443").unwrap().authority(), "log.example");
    }

    /// Answers one connection after the other, and says how many there were.
    fn server(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<usize>) {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                write!(stream, "HTTP/1.1 {answer}").unwrap();
            }
            answers.len()
        });
        (url, served)
    }

    fn ask(url: &str) -> Result<Vec<u8>, ClientError> {
        let patience = Patience { attempts: 3, ..Patience::default() };
        let client = Client::with_patience(url, patience).unwrap();
        let work = async { client.send(&client.read(&["x"])).await.map(|answer| answer.bytes) };
        tokio::runtime::Runtime::new().unwrap().block_on(work)
    }

    const BUSY: &str = "503 Busy\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const DONE: &str = "200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

    #[test]
    fn a_node_that_is_busy_is_asked_again_but_not_for_ever() {
        let (url, served) = server(&[BUSY, "", DONE]);
        assert_eq!(ask(&url).unwrap(), b"ok");
        assert_eq!(served.join().unwrap(), 3);
        let (url, served) = server(&[BUSY, BUSY, BUSY]);
        assert!(ask(&url).unwrap_err().is_unavailable());
        assert_eq!(served.join().unwrap(), 3);
    }

    #[test]
    fn a_node_that_asks_for_too_much_time_is_not_asked_again() {
        const LATER: &str = "429 Later\r\nretry-after: 3600\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let (url, served) = server(&[LATER]);
        assert!(matches!(ask(&url), Err(ClientError::Status { status: 429, .. })));
        assert_eq!(served.join().unwrap(), 1);
    }

    #[test]
    fn what_is_refused_is_said_as_the_node_says_it() {
        const NO: &str = "409 No\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: 105\r\n\r\n\
            {\"type\":\"about:blank#conflict\",\"title\":\"conflict\",\"status\":409,\"detail\":\"d\",\"code\":\"conflict\",\"hint\":\"h\"}";
        let (url, served) = server(&[NO]);
        let error = ask(&url).unwrap_err();
        assert_eq!((error.code(), error.hint().as_str(), error.is_unavailable()), ("conflict", "h", false));
        assert_eq!(served.join().unwrap(), 1);
    }
}
