//! A server, a plain client, and the audit.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use soulchain::encoding::b64_decode;
use soulchain::hash::Hash;
use soulchain::http::{App, LimitSettings, Limits, Recorder, ServerLimits, router, serve};
use soulchain::keyfile::KeyFile;
use soulchain::log::{PoolLimits, publish_every};
use soulchain::merkle::{LeafIndex, TreeSize, leaf_hash, verify_inclusion};
use soulchain::metrics::MetricsHandle;
use soulchain::node::{Node, NodeOptions, Platform, ViewStore};
use soulchain::registry::Replay;
use soulchain::soul::{ChainPosition, Curr, Identity, Link, Seqno};
use soulchain::tlog::{AcceptedCheckpoint, Policy, SignedCheckpoint, parse_bundle};
use soulchain::wire::{Appended, LINKS_MEDIA_TYPE, LinkJson, write_links};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::agent::{Agent, Signed};

pub(crate) const JSON: &str = "application/json";
pub(crate) const ORIGIN: &str = "log.example/server";

/// How a server is set up.
pub(crate) struct Setup {
    pub(crate) pool: PoolLimits,
    pub(crate) limits: LimitSettings,
    pub(crate) server: ServerLimits,
    pub(crate) publish: Duration,
    pub(crate) flush_after: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            pool: PoolLimits::default(),
            limits: LimitSettings {
                writes_per_minute: None,
                registrations_per_hour: None,
                links_per_second: None,
                key_events_per_minute: None,
                trusted_proxies: Vec::new(),
            },
            server: ServerLimits { drain_timeout: Duration::from_secs(5), ..ServerLimits::default() },
            publish: Duration::from_millis(20),
            // None but those that a test orders, and those of closing.
            flush_after: Duration::from_hours(1),
        }
    }
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) node: Node,
    pub(crate) directory: Arc<TempDir>,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
    publishing: JoinHandle<()>,
    runtime: Option<Runtime>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), setup)
    }

    pub(crate) fn open(directory: Arc<TempDir>, setup: Setup) -> Self {
        Self::open_on(directory, setup, Platform::default())
    }

    /// The same on a double of the clock or the disk.
    pub(crate) fn open_on(directory: Arc<TempDir>, setup: Setup, platform: Platform) -> Self {
        static METRICS: OnceLock<MetricsHandle> = OnceLock::new();
        let Setup { pool, limits, server, publish, flush_after } = setup;
        let options = NodeOptions {
            data: directory.path().join("data"),
            origin: Some(ORIGIN.into()),
            ml_dsa: false,
            passphrase: None,
            pool,
            confirm_newest: false,
            views: ViewStore::default(),
            flush_after,
        };
        let (node, _) = Node::open_on(options, platform).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let metrics = Recorder::new(METRICS.get_or_init(MetricsHandle::install).clone());
        let app = App { node: node.clone(), feeding: None, limits: Limits::new(&limits), metrics };
        let (stop, stopping) = watch::channel(false);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Some(runtime.spawn(serve(listener, router(Arc::new(app)), server, stopping)));
        let publishing = publish_every(node.engine().clone(), node.publication_signer(), publish);
        let publishing = runtime.spawn(publishing);
        Self { address, node, directory, stop, serving, publishing, runtime: Some(runtime) }
    }

    /// Stops it as `soulchain serve` does, and gives its directory.
    pub(crate) fn stop(mut self) -> Arc<TempDir> {
        self.end();
        Arc::clone(&self.directory)
    }

    fn end(&mut self) {
        let (Some(runtime), Some(serving)) = (self.runtime.take(), self.serving.take()) else { return };
        self.stop.send_replace(true);
        let ended = runtime.block_on(serving);
        self.publishing.abort();
        runtime.shutdown_timeout(Duration::from_secs(5));
        self.node.engine().close();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }

    /// The registrar, with its keys from the directory, where its chain ends.
    pub(crate) fn registrar(&self) -> Agent {
        let key = |name: &str| {
            let path = self.directory.path().join(format!("data/keys/registrar-{name}.key"));
            KeyFile::read(&path, None).unwrap().key.signing_key()
        };
        let view = self.json("/v1/agents/registrar");
        let curr = |member: &Value| Curr::from_hex(member.as_str().unwrap()).unwrap();
        let mut agent = Agent::new(self.node.log_id(), "registrar");
        (agent.admin, agent.act) = (key("admin"), key("act"));
        agent.position = ChainPosition {
            identity: Identity::from_hex(view["identity"].as_str().unwrap()).unwrap(),
            seqno: Seqno::new(view["head"]["seqno"].as_u64().unwrap() + 1),
            prev: curr(&view["head"]["curr"]),
            auth: curr(&view["head"]["auth"]),
        };
        agent
    }

    /// The record of an agent.
    pub(crate) fn record(&self, agent: &str) -> Value {
        self.json(&format!("/v1/agents/{agent}"))["record"].clone()
    }

    /// Sends links that have to be refused and to leave the log as it is.
    #[track_caller]
    pub(crate) fn refuses(&self, links: &[Signed], status: u16, code: &str) -> Value {
        let before = self.size_and_root();
        let problem = self.submit(links).problem(status, code);
        assert_eq!(self.size_and_root(), before, "{code}");
        problem
    }

    /// Publishes the newest checkpoint now.
    pub(crate) fn publish(&self) {
        let view = self.node.view();
        let note = (self.node.publication_signer())(view.size(), &view.root());
        self.runtime.as_ref().unwrap().block_on(self.node.engine().publish(&view, note)).unwrap();
    }

    /// Flushes what is appended now.
    pub(crate) fn flush(&self) {
        self.runtime.as_ref().unwrap().block_on(self.node.engine().flush()).unwrap();
    }

    /// The directory as a crash would leave it now, in another place.
    pub(crate) fn crashed(&self) -> Arc<TempDir> {
        let copy = tempfile::tempdir().unwrap();
        copy_all(self.directory.path(), copy.path());
        Arc::new(copy)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Any request.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(body) = body {
            head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        // A server that refuses a body may close before it has read all of it.
        let _ = stream.write_all(body.unwrap_or_default());
        read_answer(&mut stream)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], None)
    }

    /// The JSON of an answer 200.
    pub(crate) fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        answer.json()
    }

    pub(crate) fn post(&self, target: &str, media_type: &str, body: &[u8]) -> Answer {
        self.ask("POST", target, &[("content-type", media_type)], Some(body))
    }

    pub(crate) fn submit(&self, links: &[Signed]) -> Answer {
        self.post("/v1/links", JSON, &links_json(links))
    }

    /// Appends links, checks what is answered, and gives their indexes.
    pub(crate) fn append(&self, links: &[Signed]) -> Vec<u64> {
        let answer = self.submit(links);
        assert_eq!(answer.status, 201, "{answer:?}");
        self.check_appended(&answer, links)
    }

    pub(crate) fn append_binary(&self, links: &[Signed]) -> Answer {
        let bytes = write_links(links.iter().map(|(link, beside)| (link, beside.as_ref())));
        self.post("/v1/links", LINKS_MEDIA_TYPE, &bytes)
    }

    /// Checks the proofs of an answer by the instant key.
    pub(crate) fn check_appended(&self, answer: &Answer, links: &[Signed]) -> Vec<u64> {
        let appended: Appended = serde_json::from_slice(&answer.body).unwrap();
        let accepted = accept(self.node.instant_vkey(), appended.checkpoint.unwrap().as_bytes());
        let checkpoint = accepted.verified().checkpoint();
        assert_eq!(appended.links.len(), links.len());
        for (placed, (link, _)) in appended.links.iter().zip(links) {
            assert_eq!((placed.curr.clone(), placed.seqno), (link.curr().to_hex(), link.header().seqno.get()));
            let path = hashes(placed.path.as_ref().unwrap());
            let leaf = leaf_hash(link.entry());
            let index = LeafIndex::new(placed.index);
            verify_inclusion(&leaf, index, checkpoint.size(), &path, &checkpoint.root()).unwrap();
        }
        appended.links.iter().map(|placed| placed.index).collect()
    }

    /// Size and root that the log tells.
    pub(crate) fn size_and_root(&self) -> (u64, String) {
        let log = self.json("/v1/log");
        (log["tree_size"].as_u64().unwrap(), log["root"].as_str().unwrap().to_owned())
    }

    /// All entries, from the bundles.
    pub(crate) fn entries(&self) -> Vec<Vec<u8>> {
        let (size, _) = self.size_and_root();
        let mut entries = Vec::new();
        for bundle in 0..size.div_ceil(256) {
            let width = (size - bundle * 256).min(256);
            let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
            let answer = self.get(&format!("/tile/entries/{bundle:03}{partial}"));
            assert_eq!(answer.status, 200);
            entries.extend(parse_bundle(&answer.body).unwrap().into_iter().map(<[u8]>::to_vec));
        }
        entries
    }

    /// What anyone can check of a log that stands still: the entries lead to the root, and break no rule.
    pub(crate) fn audit(&self) {
        let (size, root) = self.size_and_root();
        let entries = self.entries();
        assert_eq!(entries.len() as u64, size);
        let mut replay = Replay::new(self.node.log_id());
        for entry in &entries {
            replay.push(entry).unwrap();
        }
        assert_eq!(replay.faults(), []);
        let frontier = entries.iter().fold(soulchain::merkle::Frontier::new(), |mut frontier, entry| {
            frontier.push(leaf_hash(entry));
            frontier
        });
        assert_eq!(hash(&root), frontier.root());
    }

    /// Waits until `/checkpoint` covers a size; gives the checkpoint.
    pub(crate) fn published(&self, size: u64) -> AcceptedCheckpoint {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            let answer = self.get("/checkpoint");
            if answer.status == 200 {
                let accepted = accept(self.node.log_vkey(), &answer.body);
                if accepted.verified().checkpoint().size() >= TreeSize::new(size) {
                    return accepted;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing was published up to {size}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Checks that this is a problem as documented; gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("about:blank#{code}"));
        for member in ["title", "detail", "hint"] {
            assert!(problem[member].as_str().is_some_and(|text| text.len() > 3), "{member}: {problem}");
        }
        problem
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Reads an answer to the end of the connection, or of the announced length.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(answer) = parse_answer(&bytes, false) {
            return answer;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return parse_answer(&bytes, true).unwrap_or_else(|| panic!("no answer: {bytes:?}")),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => {
                // The rest of a refused body makes the system reset the connection behind the answer.
                let answer = parse_answer(&bytes, true);
                return answer.unwrap_or_else(|| panic!("no answer: {error}, {} bytes", bytes.len()));
            }
        }
    }
}

/// The answer that these bytes begin with, if it is there as a whole.
pub(crate) fn parse_answer(bytes: &[u8], at_end: bool) -> Option<Answer> {
    let head_len = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_len]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).unwrap())
        .collect();
    let rest = &bytes[head_len + 4..];
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let body = if let Some(len) = find("content-length") {
        let len: usize = len.parse().unwrap();
        (at_end || rest.len() >= len).then(|| rest[..len.min(rest.len())].to_vec())?
    } else if find("transfer-encoding") == Some("chunked") {
        dechunk(rest, at_end)?
    } else {
        at_end.then(|| rest.to_vec())?
    };
    Some(Answer { status, headers, body })
}

fn dechunk(mut rest: &[u8], at_end: bool) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return at_end.then_some(body);
        };
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if len == 0 {
            return Some(body);
        }
        let Some(chunk) = rest.get(line + 2..line + 2 + len) else { return at_end.then_some(body) };
        body.extend_from_slice(chunk);
        rest = rest.get(line + 4 + len..)?;
    }
}

/// One link as an object, several as an array.
pub(crate) fn links_json(links: &[Signed]) -> Vec<u8> {
    let shapes: Vec<LinkJson> = links.iter().map(|(link, beside)| LinkJson::of(link, beside.as_ref())).collect();
    match &shapes[..] {
        [one] => serde_json::to_vec(one).unwrap(),
        all => serde_json::to_vec(all).unwrap(),
    }
}

pub(crate) fn hash(b64: &str) -> Hash {
    Hash::from_bytes(b64_decode(b64).unwrap().try_into().unwrap())
}

pub(crate) fn hashes(path: &[String]) -> Vec<Hash> {
    path.iter().map(|text| hash(text)).collect()
}

/// Judges a checkpoint by one key alone.
pub(crate) fn accept(vkey: &soulchain::tlog::Vkey, note: &[u8]) -> AcceptedCheckpoint {
    let policy = Policy::parse(format!("log {vkey}\nquorum none\n").as_bytes()).unwrap();
    policy.verify_checkpoint(&SignedCheckpoint::parse(note).unwrap()).unwrap()
}

/// A link without a body beside the log.
pub(crate) fn bare(link: Link) -> Signed {
    (link, None)
}

/// How many of these byte strings, each of two bytes at least, are found in any file below a directory.
pub(crate) fn found_in_files(directory: &Path, needles: &[&[u8]]) -> usize {
    let pair = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut begins = vec![false; 1 << 16];
    for needle in needles {
        begins[pair(needle)] = true;
    }
    let mut found = vec![false; needles.len()];
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            // A journal is zeros for the most part.
            for (page, _) in bytes.chunks(512).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
                let end = bytes.len().saturating_sub(1).min((page + 1) * 512);
                for at in ((page * 512).saturating_sub(64)..end).filter(|at| begins[pair(&bytes[*at..])]) {
                    for (needle, found) in needles.iter().zip(&mut found) {
                        *found |= bytes[at..].starts_with(needle);
                    }
                }
            }
        }
    }
    found.into_iter().filter(|found| *found).count()
}
