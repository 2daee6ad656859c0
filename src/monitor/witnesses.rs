//! What witnesses show of a log (tlog-witness, "Monitor Retrieval Mechanism").

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::encoding::hex_encode;
use crate::tlog::{MAX_NOTE_LEN, Origin};

/// How witnesses are asked.
pub trait Witnesses: Send + Sync {
    /// The checkpoint that the witness with this monitoring prefix shows of a log; `None` where it has none. An error says
    /// that it does not answer, in words.
    fn checkpoint(&self, prefix: &str, origin: &Origin) -> Result<Option<Vec<u8>>, String>;

    /// How many may be asked at once: [`MAX_ASKED`] where nothing else is said. With 1 they are asked in their order, and
    /// before the log; with more, side by side and beside the log.
    fn at_once(&self) -> usize {
        MAX_ASKED
    }
}

/// Most witnesses that are asked at once.
pub const MAX_ASKED: usize = 16;

/// What a witness answers.
pub(super) type Asked = Result<Option<Vec<u8>>, String>;

/// Over HTTP.
#[derive(Debug)]
pub struct HttpWitnesses {
    http: reqwest::Client,
    runtime: Runtime,
}

/// For a connection and an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

impl HttpWitnesses {
    /// A client.
    pub fn new() -> Result<Self, String> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self { http: http.map_err(|e| e.to_string())?, runtime: runtime.map_err(|e| e.to_string())? })
    }

    async fn fetch(&self, url: String) -> Result<Option<Vec<u8>>, String> {
        let text = |error: reqwest::Error| error.to_string();
        let mut answer = self.http.get(url).send().await.map_err(text)?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            status => return Err(format!("status {status}")),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(text)? {
            if bytes.len() + chunk.len() > MAX_NOTE_LEN {
                return Err("the answer is too long".into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}

impl Witnesses for HttpWitnesses {
    fn checkpoint(&self, prefix: &str, origin: &Origin) -> Result<Option<Vec<u8>>, String> {
        let url = format!("{}/{}/checkpoint", prefix.trim_end_matches('/'), hex_encode(&origin.hash()));
        self.runtime.block_on(self.fetch(url))
    }
}
