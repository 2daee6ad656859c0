//! A log of another maker, which does as it is told, also what no log should; and a mirror of it in this process.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use soulchain::audit::HttpSource;
use soulchain::clock::SystemClock;
use soulchain::hash::Hash;
use soulchain::http::{MirrorApp, Recorder, ServerLimits, opaque_mirror_router, serve};
use soulchain::keyfile::KeyAlg;
use soulchain::log::Opaque;
use soulchain::merkle::{
    NodeId, Subtree, TreeSize, consistency_plan, leaf_hash, root_of_perfect, subtree_consistency_plan,
};
use soulchain::metrics::MetricsHandle;
use soulchain::mirror::{Follower, Mirror, MirrorOptions, OpenedMirror, open};
use soulchain::tlog::{
    AddCheckpointRequest, AddEntriesHeader, BundleWriter, Checkpoint, Cosigner, Ed25519Signer, KeyName, NoteVerifier,
    Origin, Package, PackageRange, SignedCheckpoint, TileId, TileKind, sign_checkpoint,
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::{Answer, parse_answer};

pub(crate) const ORIGIN: &str = "plain.example/log";
pub(crate) const NAME: &str = "mirror.example/m1";

/// Entries, and all that follows from them; slow and plain.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) entries: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
}

/// How a server of the log lies.
#[derive(Clone, Default)]
pub(crate) struct Lies {
    /// Bytes that are served in the place of others, by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The note at `/checkpoint`.
    pub(crate) note: Option<Vec<u8>>,
    /// Nothing is answered.
    pub(crate) is_away: bool,
}

/// The log and its server.
pub(crate) struct Log {
    pub(crate) signer: Ed25519Signer,
    pub(crate) address: SocketAddr,
    shown: Arc<Mutex<(Tree, u64, Lies)>>,
    /// What was asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn entry(index: u64, branch: &str) -> Vec<u8> {
    let mut entry = format!("{branch} entry {index} ").into_bytes();
    entry.resize(entry.len() + (index % 37) as usize, b'.');
    entry
}

impl Tree {
    pub(crate) fn new(size: u64, branch: &str) -> Self {
        Self::of((0..size).map(|index| entry(index, branch)).collect())
    }

    pub(crate) fn of(entries: Vec<Vec<u8>>) -> Self {
        let leaves = entries.iter().map(|entry| leaf_hash(entry)).collect();
        Self { entries, leaves }
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        root_of_perfect(&self.leaves[..size as usize])
    }

    fn node(&self, node: NodeId) -> Hash {
        let first = (node.index << node.level) as usize;
        root_of_perfect(&self.leaves[first..first + (1 << node.level)])
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let plan = consistency_plan(TreeSize::new(old), TreeSize::new(new)).unwrap();
        plan.path(|node| Ok::<_, ()>(self.node(node))).unwrap()
    }

    fn subtree_proof(&self, subtree: Subtree, size: u64) -> Vec<Hash> {
        let plan = subtree_consistency_plan(subtree, TreeSize::new(size)).unwrap();
        plan.path(|node| Ok::<_, ()>(self.node(node))).unwrap()
    }

    /// A package of an upload that leads to a size.
    pub(crate) fn package(&self, range: PackageRange, size: u64) -> Vec<u8> {
        let entries = &self.entries[range.start().get() as usize..range.end().get() as usize];
        let proof = self.subtree_proof(range.subtree(), size);
        Package::new(range, entries.iter().map(|entry| &entry[..]).collect(), proof).unwrap().to_bytes()
    }

    /// A whole upload.
    pub(crate) fn upload(&self, start: u64, end: u64) -> Vec<u8> {
        self.upload_some(start, end, usize::MAX)
    }

    /// The first packages of an upload.
    pub(crate) fn upload_some(&self, start: u64, end: u64, packages: usize) -> Vec<u8> {
        let header = header(ORIGIN, start, end);
        let mut bytes = header.to_bytes();
        for range in header.packages().take(packages) {
            bytes.extend(self.package(range, end));
        }
        bytes
    }

    fn tile(&self, tile: TileId, size: u64) -> Option<Vec<u8>> {
        if !tile.is_in(TreeSize::new(size)) {
            return None;
        }
        let numbers = tile.first()..tile.first() + u64::from(tile.width());
        Some(match tile.kind() {
            TileKind::Entries => {
                let mut bundle = BundleWriter::default();
                for entry in &self.entries[numbers.start as usize..numbers.end as usize] {
                    bundle.push(entry).unwrap();
                }
                bundle.into_bytes()
            }
            TileKind::Hashes(level) => {
                numbers.flat_map(|index| *self.node(NodeId { level: level * 8, index }).as_bytes()).collect()
            }
        })
    }
}

pub(crate) fn header(origin: &str, start: u64, end: u64) -> AddEntriesHeader {
    let start = TreeSize::new(start).next_index();
    AddEntriesHeader::new(Origin::parse(origin).unwrap(), start, TreeSize::new(end), Vec::new()).unwrap()
}

pub(crate) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[seed; 32])
}

pub(crate) fn sign(signer: &Ed25519Signer, size: u64, root: Hash) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::new(size), root).unwrap();
    sign_checkpoint(&checkpoint, signer).unwrap()
}

impl Log {
    pub(crate) fn start(tree: Tree, shown: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new((tree, shown, Lies::default())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Self { signer: signer(1), address, shown: Arc::clone(&shown), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shown, asked) = (Arc::clone(&shown), Arc::clone(&asked));
                std::thread::spawn(move || answer(stream, &shown, &asked));
            }
        });
        log
    }

    /// Shows another size.
    pub(crate) fn show(&self, size: u64) {
        self.shown.lock().unwrap().1 = size;
    }

    /// Shows another tree.
    pub(crate) fn become_tree(&self, tree: Tree, size: u64) {
        let mut shown = self.shown.lock().unwrap();
        (shown.0, shown.1) = (tree, size);
    }

    pub(crate) fn lie(&self, lies: Lies) {
        self.shown.lock().unwrap().2 = lies;
    }

    pub(crate) fn tree(&self) -> Tree {
        self.shown.lock().unwrap().0.clone()
    }

    pub(crate) fn checkpoint(&self, size: u64) -> SignedCheckpoint {
        sign(&self.signer, size, self.tree().root(size))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn policy(&self) -> Vec<u8> {
        format!("log {}\nquorum none\n", self.signer.vkey()).into_bytes()
    }
}

fn answer(mut stream: TcpStream, shown: &Mutex<(Tree, u64, Lies)>, asked: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    let (tree, size, lies) = shown.lock().unwrap().clone();
    if lies.is_away {
        return;
    }
    asked.lock().unwrap().push(path.clone());
    let body = match lies.files.get(&path) {
        Some(bytes) => Some(bytes.clone()),
        None if path == "checkpoint" => {
            let signed = sign(&signer(1), size, tree.root(size)).to_string().into_bytes();
            Some(lies.note.unwrap_or(signed))
        }
        None => TileId::parse_path(&path).ok().and_then(|tile| tree.tile(tile, size)),
    };
    let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

/// A mirror in this process, with its server.
pub(crate) struct Copy {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) mirror: Mirror<Opaque>,
    pub(crate) follower: Follower<Opaque>,
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
}

pub(crate) fn options(dir: &TempDir, log: &Log, alg: KeyAlg) -> MirrorOptions {
    MirrorOptions {
        data: dir.path().join("mirror"),
        url: log.url(),
        policy: log.policy(),
        name: Some(KeyName::parse(NAME).unwrap()),
        alg,
        passphrase: None,
        clock: Arc::new(SystemClock::new()),
        confirm_newest: false,
    }
}

impl Copy {
    pub(crate) fn of(log: &Log) -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), log)
    }

    pub(crate) fn open(dir: Arc<TempDir>, log: &Log) -> Self {
        Self::with(dir, log, KeyAlg::Ed25519)
    }

    pub(crate) fn with(dir: Arc<TempDir>, log: &Log, alg: KeyAlg) -> Self {
        static METRICS: OnceLock<MetricsHandle> = OnceLock::new();
        let opened = open(&options(&dir, log, alg)).unwrap();
        let OpenedMirror::Opaque(mirror) = opened.mirror else { panic!("it is no log of agents") };
        let source = HttpSource::new(&log.url()).unwrap();
        let follower = Follower::new(mirror.clone(), Box::new(source)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let metrics = Recorder::new(METRICS.get_or_init(MetricsHandle::install).clone());
        let app = MirrorApp::new(mirror.clone(), follower.status(), metrics, log.url());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(serve(listener, opaque_mirror_router(app), ServerLimits::default(), stopping));
        Self { dir, mirror, follower, address, stop, runtime: Some(runtime) }
    }

    /// Stops it, and gives its directory.
    pub(crate) fn stop(mut self) -> Arc<TempDir> {
        self.end();
        Arc::clone(&self.dir)
    }

    fn end(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.stop.send_replace(true);
        runtime.shutdown_timeout(Duration::from_secs(2));
        self.mirror.engine().close();
    }

    pub(crate) fn size(&self) -> u64 {
        self.mirror.engine().view().size().get()
    }

    pub(crate) fn root(&self) -> Hash {
        self.mirror.engine().view().root()
    }

    pub(crate) fn begin(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    pub(crate) fn send(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let len = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len}\r\n{headers}\r\n"
        );
        let mut stream = self.begin(&head);
        // A mirror that refuses may do so before it has read all of it.
        let _ = stream.write_all(body);
        read(&mut stream)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "", b"")
    }

    pub(crate) fn add_entries(&self, body: &[u8]) -> Answer {
        self.send("POST", "/add-entries", "content-type: application/octet-stream\r\n", body)
    }

    pub(crate) fn add_checkpoint(&self, old: u64, proof: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Answer {
        let request = AddCheckpointRequest::new(TreeSize::new(old), proof, checkpoint.clone()).unwrap();
        self.send("POST", "/add-checkpoint", "", request.to_string().as_bytes())
    }

    /// Makes a size of the log the pending one.
    #[track_caller]
    pub(crate) fn pend(&self, log: &Log, old: u64, new: u64) {
        let proof = if old == 0 { Vec::new() } else { log.tree().consistency(old, new) };
        let answer = self.add_checkpoint(old, proof, &log.checkpoint(new));
        assert_eq!(answer.status, 200, "{}", text(&answer));
    }

    /// What verifies the mirror's signatures.
    pub(crate) fn key(&self) -> NoteVerifier {
        NoteVerifier::new(self.mirror.cosigner().map(Cosigner::vkey).unwrap().clone()).unwrap()
    }

    /// The mirror checkpoint as it is served, if it is cosigned.
    pub(crate) fn served(&self) -> SignedCheckpoint {
        let path = format!("/{}/checkpoint", Origin::parse(ORIGIN).unwrap().hash_hex());
        let answer = self.get(&path);
        assert_eq!(answer.status, 200, "{}", text(&answer));
        let checkpoint = SignedCheckpoint::parse(&answer.body).unwrap();
        checkpoint.note().verify([&self.key()]).unwrap();
        checkpoint.verify(&[NoteVerifier::new(signer(1).vkey().clone()).unwrap()]).unwrap();
        checkpoint
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset behind the answer is no matter.
    let _ = stream.read_to_end(&mut bytes);
    parse_answer(&bytes, true).unwrap_or_else(|| panic!("no answer: {bytes:?}"))
}

pub(crate) fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}
