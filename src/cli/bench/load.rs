//! The closed loop: connections that are kept, requests that are answered one after the other, and how long each took.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::prepared::Script;
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::Output;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    authority: String,
    address: String,
    path: String,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) elapsed: Duration,
    /// Of each answered request, in microseconds.
    pub(super) latencies: Vec<u32>,
    pub(super) entries: u64,
    /// Refused or unanswered requests, by status or reason.
    pub(super) errors: BTreeMap<String, u64>,
    /// Whether there was nothing left to send before the time was over.
    pub(super) used_up: bool,
}

/// The longest wait for an answer; a node that holds a request longer has failed it.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A connection in use.
type Connection = SendRequest<Whole>;

impl Target {
    pub(super) fn parse(node: &str, path: &str) -> CliResult<Self> {
        let wrong = || {
            CliError::usage(format!("`{node}` is not an address that bench can use"))
                .hint("http://HOST:PORT, without TLS")
        };
        let uri: Uri = node.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let prefix = uri.path().trim_end_matches('/');
        Ok(Self { authority: authority.to_string(), address, path: format!("{prefix}{path}") })
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.kind().to_string())?;
        stream.set_nodelay(true).map_err(|error| error.kind().to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Runs every script on a connection of its own, until the time is over or there is nothing left to send.
pub(super) async fn run(target: &Target, scripts: Vec<Script>, duration: Duration, out: &Output) -> CliResult<Run> {
    let answered = Arc::new(AtomicU64::new(0));
    let mut connections = Vec::with_capacity(scripts.len());
    for _ in &scripts {
        let failed = |error| CliError::unavailable(format!("{}: {error}", target.address)).hint("is the node running?");
        connections.push(target.connect().await.map_err(failed)?);
    }
    let (started, until) = (Instant::now(), Instant::now() + duration);
    let clients: Vec<_> = scripts.into_iter().zip(connections).collect();
    let running: Vec<_> = clients
        .into_iter()
        .map(|(script, connection)| {
            let (target, answered) = (target.clone(), Arc::clone(&answered));
            tokio::spawn(async move { client(&target, &script, connection, until, &answered).await })
        })
        .collect();
    let watching = tokio::spawn(watch(Arc::clone(&answered), duration, out.progress(duration.as_secs(), WATCHED)));
    let mut whole = Run::default();
    for client in running {
        whole.add(client.await.map_err(|error| CliError::failed(error.to_string()))?);
    }
    whole.elapsed = started.elapsed();
    watching.abort();
    Ok(whole)
}

const WATCHED: &str = "measuring  {bar:40} {pos}/{len} s  {msg}";

async fn watch(answered: Arc<AtomicU64>, duration: Duration, bar: indicatif::ProgressBar) {
    let mut before = 0;
    for _ in 0..duration.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = answered.load(Ordering::Relaxed);
        bar.inc(1);
        bar.set_message(format!("{} entries/s", now - before));
        before = now;
    }
    bar.finish_and_clear();
}

async fn client(
    target: &Target,
    script: &Script,
    mut connection: Connection,
    until: Instant,
    answered: &AtomicU64,
) -> Run {
    let mut run = Run::default();
    for at in 0.. {
        if Instant::now() >= until {
            break;
        }
        let Some(body) = script.body(at) else {
            run.used_up = true;
            break;
        };
        let sent = Instant::now();
        let exchange = exchange(target, script.media_type(), &mut connection, body);
        match timeout(MAX_WAIT, exchange).await.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(200..=299) => {
                run.latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                run.entries += script.entries() as u64;
                answered.fetch_add(script.entries() as u64, Ordering::Relaxed);
            }
            Ok(status) => run.fail(&status.to_string()),
            Err(reason) => {
                run.fail(&reason);
                match target.connect().await {
                    Ok(another) => connection = another,
                    Err(reason) => {
                        run.fail(&reason);
                        break;
                    }
                }
            }
        }
    }
    run
}

async fn exchange(target: &Target, media_type: &str, connection: &mut Connection, body: Bytes) -> Result<u16, String> {
    let request = Request::post(&*target.path)
        .header("host", &*target.authority)
        .header("content-type", media_type)
        .body(Whole(Some(body)))
        .map_err(|error| error.to_string())?;
    connection.ready().await.map_err(|error| error.to_string())?;
    let answer = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    drain(answer.into_body()).await?;
    Ok(status)
}

/// Reads an answer to its end, so that the connection is free again.
async fn drain(mut body: Incoming) -> Result<(), String> {
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame.map_err(|error| error.to_string())?;
    }
    Ok(())
}

impl Run {
    fn fail(&mut self, reason: &str) {
        *self.errors.entry(reason.into()).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.entries += other.entries;
        self.used_up |= other.used_up;
        for (reason, count) in other.errors {
            *self.errors.entry(reason).or_default() += count;
        }
    }
}

/// A body that is there as a whole.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
