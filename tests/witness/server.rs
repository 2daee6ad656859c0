//! A witness with its HTTP server, and a client that keeps its connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use soulchain::clock::{Clock, ManualClock};
use soulchain::encoding::UnixMillis;
use soulchain::http::{ServerLimits, WitnessApp, serve, witness_router};
use soulchain::metrics::MetricsHandle;
use soulchain::storage::{Disk, OsDisk};
use soulchain::tlog::{Cosigner, KeyName, Note, NoteVerifier, VkeyType, parse_signature_lines};
use soulchain::witness::{LogList, Witness, WitnessKeys, WitnessOptions, create};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::log::{TestLog, ml_dsa_key, seed};

pub(crate) const NAME: &str = "witness.example/w1";
/// The time that witnesses of these tests start at, in seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) witness: Witness,
    pub(crate) clock: Arc<ManualClock>,
    /// It is kept as long as the server.
    directory: Option<TempDir>,
    stop: watch::Sender<bool>,
    runtime: Runtime,
    committing: Option<JoinHandle<()>>,
}

/// A connection that is kept.
pub(crate) struct Client {
    stream: TcpStream,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn both_keys() -> WitnessKeys {
    WitnessKeys::new(vec![ed25519_key(), ml_dsa_key(NAME, "ml-dsa")]).unwrap()
}

pub(crate) fn ed25519_key() -> Cosigner {
    Cosigner::from_seed(KeyName::parse(NAME).unwrap(), &seed("ed25519"))
}

pub(crate) fn list(logs: &[&TestLog]) -> LogList {
    LogList::parse(logs.iter().map(|log| log.line()).collect::<String>().as_bytes()).unwrap()
}

/// The state of a new witness, in a directory.
pub(crate) fn new_disk(path: &Path, keys: &WitnessKeys) -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(path).unwrap());
    create(&disk, keys, [7; 32]).unwrap();
    disk
}

impl Server {
    pub(crate) fn start(logs: &[&TestLog]) -> Self {
        Self::with_keys(list(logs), both_keys())
    }

    pub(crate) fn with_keys(logs: LogList, keys: WitnessKeys) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = new_disk(directory.path(), &keys);
        let mut server = Self::on(&disk, logs, keys, WitnessOptions::default());
        server.directory = Some(directory);
        server
    }

    /// On a disk where there is a state.
    pub(crate) fn on(disk: &Arc<dyn Disk>, logs: LogList, keys: WitnessKeys, options: WitnessOptions) -> Self {
        let clock = Arc::new(ManualClock::default());
        clock.set(UnixMillis::new(NOW * 1000));
        let mut server = Self::with_clock(disk, logs, keys, options, Arc::clone(&clock) as _);
        server.clock = clock;
        server
    }

    /// By another clock than its own.
    pub(crate) fn with_clock(
        disk: &Arc<dyn Disk>,
        logs: LogList,
        keys: WitnessKeys,
        options: WitnessOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        static METRICS: OnceLock<MetricsHandle> = OnceLock::new();
        let (witness, _) = Witness::open(disk, keys, logs, options).unwrap();
        let committing = Some(std::thread::spawn({
            let witness = witness.clone();
            move || witness.run()
        }));
        let metrics = METRICS.get_or_init(MetricsHandle::install).clone();
        let app = WitnessApp { witness: witness.clone(), clock, metrics };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(serve(listener, witness_router(Arc::new(app)), ServerLimits::default(), stopping));
        Self { address, witness, clock: Arc::default(), directory: None, stop, runtime, committing }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn add(&self, request: &[u8]) -> Answer {
        self.client().post("/add-checkpoint", request)
    }

    /// Sends an honest request, which has to be cosigned.
    #[track_caller]
    pub(crate) fn grow(&self, log: &TestLog, old: u64, size: u64) -> Answer {
        let answer = self.add(&log.request(old, size));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// What a new client learns of the size of a log.
    pub(crate) fn size(&self, log: &TestLog) -> u64 {
        self.witness.checkpoint(&log.hash()).map_or(0, |note| note.lines().nth(1).unwrap().parse().unwrap())
    }

    /// Checks that a request is refused so, and that the log is where it was.
    #[track_caller]
    pub(crate) fn refuses(&self, log: &TestLog, status: u16, request: &[u8]) -> Answer {
        let before = self.witness.checkpoint(&log.hash());
        let answer = self.add(request);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.ends_with(b"\n") && answer.body.len() > 1, "{answer:?}");
        assert_eq!(self.witness.checkpoint(&log.hash()), before);
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.witness.close();
        let _ = self.committing.take().map(JoinHandle::join);
        // Connections of clients that are still there are not waited for.
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::mem::replace(&mut self.runtime, other).shutdown_timeout(Duration::from_millis(100));
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.ask("POST", path, body).unwrap()
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, b"").unwrap()
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: w\r\ncontent-length: {}\r\n\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 16 << 10]);
        loop {
            if let Some(answer) = Answer::parse(&bytes) {
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
        let len: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().unwrap();
        let body = bytes.get(end + 4..end + 4 + len)?.to_vec();
        Some(Self { status: head.split(' ').nth(1)?.parse().unwrap(), head, body })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn has_header(&self, line: &str) -> bool {
        self.head.split("\r\n").any(|known| known == line)
    }

    /// The times of the cosignatures by these keys on a checkpoint; every line has to be one.
    #[track_caller]
    pub(crate) fn cosigned(&self, checkpoint: &str, keys: &WitnessKeys) -> Vec<u64> {
        assert_eq!(self.status, 200, "{self:?}");
        let lines = parse_signature_lines(&self.body).unwrap();
        let note = Note::parse(checkpoint.as_bytes()).unwrap();
        let verifiers: Vec<_> = keys.vkeys().map(|vkey| NoteVerifier::new(vkey.clone()).unwrap()).collect();
        assert_eq!(lines.len(), verifiers.len());
        let first_three: String = note.text().split_inclusive('\n').take(3).collect();
        let judge = |(verifier, line): (&NoteVerifier, _)| {
            let text = if verifier.vkey().kind() == VkeyType::MlDsa44 { &*first_three } else { note.text() };
            verifier.verify(text, line).expect("a cosignature that is right").time().unwrap().get()
        };
        verifiers.iter().zip(&lines).map(judge).collect()
    }
}
