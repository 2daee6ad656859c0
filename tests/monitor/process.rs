//! The program: logs over HTTP, its output, kills, and what it serves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use soulchain::tlog::{Cosigner, KeyName, Policy, SignedCheckpoint};

use crate::log::{BOTH, Files, LOG_KEY, Log, vkey};
use crate::{check_under_log_key, verify_elsewhere};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_soulchain");

/// Serves files, and remembers what is posted.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) files: Arc<Mutex<Files>>,
    /// How often `checkpoint` was asked for: once a round, at its start.
    rounds: Arc<AtomicUsize>,
    posts: mpsc::Receiver<String>,
}

impl Server {
    pub(crate) fn start(log: &Log) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files = Arc::new(Mutex::new(log.files()));
        let (sender, posts) = mpsc::channel();
        let rounds = Arc::new(AtomicUsize::new(0));
        let (served, begun) = (Arc::clone(&files), Arc::clone(&rounds));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (served, begun, sender) = (Arc::clone(&served), Arc::clone(&begun), sender.clone());
                thread::spawn(move || answer(stream.unwrap(), &served, &begun, &sender));
            }
        });
        Self { url, files, rounds, posts }
    }

    fn show(&self, log: &Log) {
        *self.files.lock().unwrap() = log.files();
    }

    /// Waits until another round begins; the one before has come to its end then.
    fn await_round(&self) {
        let before = self.rounds.load(Ordering::SeqCst);
        for _ in 0..600 {
            if self.rounds.load(Ordering::SeqCst) > before {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("no other round begins");
    }
}

fn answer(stream: TcpStream, files: &Mutex<Files>, rounds: &AtomicUsize, posts: &mpsc::Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut len) = (String::new(), 0);
    reader.read_line(&mut head).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = text.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    if path == "checkpoint" {
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    let found = files.lock().unwrap().0.get(&path).cloned();
    let (status, bytes) = match found {
        _ if head.starts_with("POST") => {
            posts.send(String::from_utf8(body).ok()?).ok()?;
            ("200 OK", Vec::new())
        }
        Some(bytes) => ("200 OK", bytes),
        None => ("404 Not Found", Vec::new()),
    };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", bytes.len()).ok()?;
    stream.write_all(&bytes).ok()
}

/// A log whose time is that of the system, which the program looks at.
fn log_of_now() -> (Log, crate::log::Agent) {
    let mut log = Log::new();
    log.time = soulchain::client::now().get() - 10_000;
    log.found(10, Some("registrar"), &[(10, BOTH)]);
    log.seal();
    let alpha = log.found(1, Some("alpha"), &[(1, BOTH)]);
    log.seal();
    (log, alpha)
}

fn command(url: &str, dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["monitor", url, "--vkey", &vkey(LOG_KEY), "--interval", "1", "--threads", "1", "--state"]);
    command.arg(dir).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The reports of one round, and its exit code.
fn once(url: &str, dir: &Path, more: &[&str]) -> (Vec<Value>, Option<i32>) {
    let done = command(url, dir, more).arg("--once").output().unwrap();
    assert!(matches!(done.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&done.stderr));
    let lines = String::from_utf8(done.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), done.status.code())
}

pub(crate) fn kinds(reports: &[Value]) -> Vec<&str> {
    reports.iter().map(|report| report["kind"].as_str().unwrap()).collect()
}

/// A monitor that goes on, and is killed when it is dropped.
struct Running {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(Duration::from_mins(1)).expect("a report")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL; it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_split_view_over_http() {
    let (log, _) = log_of_now();
    let server = Server::start(&log);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    assert_eq!(once(&server.url, &state, &[]), (vec![], Some(0)));
    let (mut other, mut alpha) = log_of_now();
    other.act(&mut alpha);
    other.seal();
    server.show(&other);
    let (reports, code) = once(&server.url, &state, &["--webhook", &server.url]);
    assert_eq!((kinds(&reports), code), (vec!["fork"], Some(1)));
    assert_eq!(reports[0]["severity"], "critical");
    let posted: Value = serde_json::from_str(&server.posts.recv_timeout(Duration::from_mins(1)).unwrap()).unwrap();
    assert_eq!(posted, reports[0]);
    let evidence = std::fs::read(reports[0]["evidence"].as_str().unwrap()).unwrap();
    check_under_log_key(&evidence);
    assert_eq!(once(&server.url, &state, &[]), (vec![], Some(0)));
}

#[test]
fn a_kill_and_a_second_process() {
    let (mut log, mut alpha) = log_of_now();
    let server = Server::start(&log);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let running = Running::start(command(&server.url, &state, &["--watch", "alpha"]));
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    // Beside the old tiles: a round may be under way.
    server.files.lock().unwrap().0.extend(log.files().0);
    let report = running.next();
    assert_eq!(report["kind"], "bad_entry");
    let refused = command(&server.url, &state, &["--once"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another monitor"));
    // It is told before it is noted that it was told; who is killed in between rightly tells it again.
    server.await_round();
    drop(running);
    assert_eq!(once(&server.url, &state, &[]), (vec![], Some(0)), "nothing is told again");
    let evidence = std::fs::read(report["evidence"].as_str().unwrap()).unwrap();
    check_under_log_key(&evidence);
    // What the first process had seen, the second holds against the log.
    let (mut other, mut alpha) = log_of_now();
    for _ in 0..9 {
        other.act(&mut alpha);
    }
    other.seal();
    server.show(&other);
    assert_eq!(kinds(&once(&server.url, &state, &[]).0), ["fork"]);
}

#[test]
fn what_it_serves() {
    let (log, _) = log_of_now();
    let server = Server::start(&log);
    let dir = tempfile::tempdir().unwrap();
    let (state, key) = (dir.path().join("state"), dir.path().join("m.key"));
    let keyfile = soulchain::keyfile::KeyFile::generate().unwrap();
    keyfile.write(&key, None).unwrap();
    let key = key.display().to_string();
    let more = ["--listen", "127.0.0.1:0", "--cosign", "monitor.example/m1", "--key", &key];
    let mut running = Running::start(command(&server.url, &state, &more));
    let stderr = BufReader::new(running.child.stderr.take().unwrap());
    let url = stderr.lines().map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("listening at http://")?;
        Some(address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect::<String>())
    });
    let url = url.unwrap();
    let hash = soulchain::encoding::hex_encode(&soulchain::hash::sha256(&[crate::log::ORIGIN.as_bytes()]));
    let (mut shown, mut metrics) = (String::new(), String::new());
    let replayed = "soulchain_monitor_replayed_size{log=\"log.example/audited\"} 4";
    for _ in 0..300 {
        shown = get(&url, &format!("/{hash}/checkpoint"));
        metrics = get(&url, "/metrics");
        if shown.starts_with("HTTP/1.1 200") && metrics.contains(replayed) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let note = shown.split_once("\r\n\r\n").unwrap().1;
    let note = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    let cosigner = Cosigner::from_seed(KeyName::parse("monitor.example/m1").unwrap(), keyfile.seed());
    let policy = format!("log {}\nwitness m {}\nquorum m\n", vkey(LOG_KEY), cosigner.vkey());
    assert!(Policy::parse(policy.as_bytes()).unwrap().verify_checkpoint(&note).is_ok());
    assert!(metrics.contains(replayed), "{metrics}");
    assert!(get(&url, "/healthz").ends_with("ok\n"));
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Evidence without entries, as of a log that is too long for a file: a copy of the log has them.
#[test]
fn evidence_that_needs_a_copy() {
    use soulchain::verify::Evidence;
    let (mut log, mut alpha) = log_of_now();
    let mut trailer = {
        log.act(&mut alpha);
        log.true_trailer()
    };
    trailer.map_root[3] ^= 1;
    log.push_raw(trailer.to_bytes().into());
    log.act(&mut alpha);
    log.seal();
    let server = Server::start(&log);
    let dir = tempfile::tempdir().unwrap();
    let (reports, _) = once(&server.url, &dir.path().join("state"), &[]);
    let evidence = std::fs::read(reports[0]["evidence"].as_str().unwrap()).unwrap();
    let Evidence::Replay(mut bad) = Evidence::parse(&evidence).unwrap() else { panic!() };
    bad.entries = None;
    let file = Evidence::Replay(bad).to_string();
    let policy = format!("log {}\nquorum none\n", vkey(LOG_KEY));
    let (told, code) = verify_elsewhere(file.as_bytes(), &policy);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("--log DIR|URL"), "{told}");
    let judge = |files: &Files| {
        let copy = tempfile::tempdir().unwrap();
        for (path, bytes) in &files.0 {
            let path = copy.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::write(copy.path().join("evidence"), &file).unwrap();
        std::fs::write(copy.path().join("policy"), &policy).unwrap();
        let mut command = Command::new(BINARY);
        command.current_dir(copy.path());
        command.args(["verify", "--evidence", "evidence", "--policy", "policy", "--log", "."]);
        let done = command.output().unwrap();
        (String::from_utf8([done.stdout, done.stderr].concat()).unwrap(), done.status.code())
    };
    let (told, code) = judge(&log.files());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("trailer_map_root"), "{told}");
    let mut files = log.files();
    files.change("tile/entries/000.p/8", |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(judge(&files).1, Some(1));
}

/// Nobody reads what it says: it ends with an error, and says it again when it is started again.
#[test]
fn reports_that_cannot_be_written() {
    let (mut log, mut alpha) = log_of_now();
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    let server = Server::start(&log);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    for _ in 0..2 {
        let mut child = command(&server.url, &state, &["--once"]).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(3), "{told}");
        assert!(told.contains("reports cannot be written to standard output"), "{told}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full");
    if let Ok(full) = full {
        let status = command(&server.url, &state, &["--once"]).stdout(full).status().unwrap();
        assert_eq!(status.code(), Some(3));
    }
    assert_eq!(kinds(&once(&server.url, &state, &[]).0), ["bad_entry"]);
    assert_eq!(kinds(&once(&server.url, &state, &[]).0), [""; 0]);
}

/// A webhook that fails is tried again; what finds no room in the queue is counted.
#[test]
fn a_webhook_that_is_away() {
    use soulchain::monitor::{Kind, MAX_QUEUED, Report, Severity, Webhook};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let webhook = Webhook::start(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let report = Report {
        kind: Kind::Fork,
        severity: Severity::Critical,
        log: "log".into(),
        text: "text".into(),
        evidence: None,
        id: "id".into(),
        time_ms: 1,
    };
    // It is accepted and not answered: the first is under way, and the queue is full behind it.
    webhook.send(&report);
    let (stream, _) = listener.accept().unwrap();
    for _ in 0..MAX_QUEUED + 5 {
        webhook.send(&report);
    }
    assert_eq!(webhook.dropped(), 5);
    drop(stream);
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"POST ", "the same is sent again");
    drop((stream, listener));
}

/// A verdict that rests on what the file does not show is told from one that does not.
#[test]
fn a_conviction_under_a_condition() {
    let (mut log, mut alpha) = log_of_now();
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    let server = Server::start(&log);
    let dir = tempfile::tempdir().unwrap();
    let (reports, _) = once(&server.url, &dir.path().join("state"), &[]);
    let policy = dir.path().join("policy");
    std::fs::write(&policy, format!("log {}\nquorum none\n", vkey(LOG_KEY))).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["verify", "--json", "--evidence", reports[0]["evidence"].as_str().unwrap(), "--policy"]);
    let done = command.arg(&policy).output().unwrap();
    assert_eq!(done.status.code(), Some(4));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&told["ok"], &told["conditional"]), (&Value::Bool(true), &Value::Bool(true)), "{told}");
    assert!(told["caveat"].as_str().unwrap().contains("later rules"), "{told}");
    let help = Command::new(BINARY).args(["verify", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("4 where it is under a condition"));
}

/// Several logs in a settings file; of each its own reports.
#[test]
fn several_logs() {
    let (mut log, mut alpha) = log_of_now();
    let good = Server::start(&log);
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    let bad = Server::start(&log);
    bad.files.lock().unwrap().sign("log.example/other", LOG_KEY, log.next(), log.root());
    let dir = tempfile::tempdir().unwrap();
    let other = other_vkey();
    let text = format!(
        "state = {:?}\ninterval_seconds = 1\n[[log]]\nurl = {:?}\nvkey = {:?}\n[[log]]\nurl = {:?}\nvkey = {other:?}\n",
        dir.path().join("state"),
        good.url,
        vkey(LOG_KEY),
        bad.url,
    );
    let config = dir.path().join("monitor.toml");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(BINARY);
    let done = command.args(["monitor", "--once", "--config"]).arg(&config).output().unwrap();
    let lines = String::from_utf8(done.stdout).unwrap();
    let reports: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!reports.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(reports.iter().all(|report| report["log"] == "log.example/other"), "{lines}");
    assert_eq!(done.status.code(), Some(1));
}

/// One log in two tables: neither would know what the other saw.
#[test]
fn one_log_twice() {
    let dir = tempfile::tempdir().unwrap();
    let table = |url: &str| format!("[[log]]\nurl = {url:?}\nvkey = {:?}\n", vkey(LOG_KEY));
    let state = format!("state = {:?}\n", dir.path().join("state"));
    let config = dir.path().join("monitor.toml");
    std::fs::write(&config, state + &table("http://127.0.0.1:1") + &table("http://127.0.0.1:2")).unwrap();
    let done = Command::new(BINARY).args(["monitor", "--once", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("http://127.0.0.1:1 and http://127.0.0.1:2 are the same log"), "{said}");
    assert!(said.contains("one [[log]] table"), "{said}");
    assert_eq!((done.status.code(), done.stdout), (Some(2), Vec::new()));
}

/// One log's state cannot be kept any more: the others are followed on, and the end is an error.
#[test]
fn a_log_that_cannot_be_followed_stops_no_other() {
    let (mut log, mut alpha) = log_of_now();
    let good = Server::start(&log);
    let bad = Server::start(&log);
    bad.files.lock().unwrap().sign("log.example/other", LOG_KEY, log.next(), log.root());
    let dir = tempfile::tempdir().unwrap();
    let (state, other) = (dir.path().join("state"), other_vkey());
    let text = format!(
        "state = {state:?}\ninterval_seconds = 1\n[[log]]\nurl = {:?}\nvkey = {other:?}\n[[log]]\nurl = {:?}\nvkey = {:?}\n",
        bad.url,
        good.url,
        vkey(LOG_KEY),
    );
    // A directory is where the memory should be put.
    let hash = soulchain::encoding::hex_encode(&soulchain::hash::sha256(&[b"log.example/other"]));
    std::fs::create_dir_all(state.join(hash).join("memory.new")).unwrap();
    let config = dir.path().join("monitor.toml");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["monitor", "--config"]).arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("log.example/other is not followed any more: the state cannot be kept"), "{line}");
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    // Beside the old tiles: a round may be under way.
    good.files.lock().unwrap().0.extend(log.files().0);
    assert_eq!(running.next()["kind"], "bad_entry");
    let id = running.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(running.child.wait().unwrap().code(), Some(3));
}

/// The log key's verifier key under another name.
fn other_vkey() -> String {
    use soulchain::tlog::Ed25519Signer;
    let name = KeyName::parse("log.example/other").unwrap();
    Ed25519Signer::from_seed(name, &[LOG_KEY; 32]).vkey().to_string()
}
