//! The real program, killed at random moments under load: what was acknowledged is there when it is started again, and
//! no checkpoint that anybody was ever given contradicts a later one.
//!
//! `SOULCHAIN_KILLS` says how often it is killed (5), `SOULCHAIN_SEED` repeats the moments and the load of a run.

#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "server/agent.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod agent;
#[path = "server/support.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod support;

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use soulchain::clock;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{Frontier, leaf_hash};
use soulchain::node::check_directory;
use soulchain::registry::Replay;
use soulchain::soul::{Beside, Body, Feedback, Identity, Keys, LinkRef, LogId, Retract, Seqno};
use soulchain::tlog::{SignedCheckpoint, parse_bundle};
use soulchain::wire::{Appended, CoveredComponents, MessageSignature};

use agent::{Agent, Signed, kid_of};
use support::{Answer, ORIGIN, found_in_files, links_json, parse_answer};

const CLIENTS: usize = 4;

/// Everything that clients were told.
#[derive(Default)]
struct Told {
    /// By index: the entry.
    links: BTreeMap<u64, Vec<u8>>,
    /// By size: the root.
    heads: BTreeMap<u64, Hash>,
    /// The greatest published size.
    published: u64,
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        let hash = sha256(&[&self.0.to_be_bytes()]);
        self.0 = u64::from_be_bytes(hash[..8].try_into().unwrap());
        self.0 % end
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The program, serving.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(data: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_soulchain"));
        command.env_clear().env("SOULCHAIN_LOG_LEVEL", "error").stdin(Stdio::null()).stdout(Stdio::null());
        // A fast machine writes more to one chain than the default rate lets through.
        command.env("SOULCHAIN_LIMITS_LINKS_PER_SECOND", "0");
        command.env("SOULCHAIN_LIMITS_KEY_EVENTS_PER_MINUTE", "0");
        command.args(["serve", "--origin", ORIGIN, "--listen", &address.to_string(), "--data"]).arg(data);
        let mut program = Self { child: command.spawn().unwrap(), address };
        let started = Instant::now();
        while !ask(address, "GET", "/readyz", b"").is_ok_and(|answer| answer.status == 200) {
            assert!(program.child.try_wait().unwrap().is_none(), "it did not start");
            assert!(started.elapsed() < Duration::from_secs(30), "it does not get ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        program
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "it ends well when it is told to");
    }
}

fn ask(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> io::Result<Answer> {
    ask_with(address, method, target, "", body)
}

fn ask_with(address: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let len = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    // An answer that was cut off is none; one without content ends with its head.
    parse_answer(&bytes, bytes.starts_with(b"HTTP/1.1 204")).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

impl Told {
    fn head(&mut self, note: &[u8]) -> u64 {
        let checkpoint = SignedCheckpoint::parse(note).unwrap();
        let (size, root) = (checkpoint.claim().size().get(), checkpoint.claim().root());
        let before = self.heads.insert(size, root);
        assert!(before.is_none_or(|before| before == root), "two roots of size {size}");
        size
    }

    fn appended(&mut self, answer: &Answer, links: &[Signed]) {
        let appended: Appended = serde_json::from_slice(&answer.body).unwrap();
        self.head(appended.checkpoint.unwrap().as_bytes());
        for (placed, (link, _)) in appended.links.iter().zip(links) {
            assert_eq!(placed.curr, link.curr().to_hex());
            let before = self.links.insert(placed.index, link.entry().to_vec());
            assert!(before.is_none_or(|before| before == link.entry()), "two entries at {}", placed.index);
        }
    }
}

/// A client that keeps what it could not send, and sends it again to the next process.
struct Client {
    agent: Agent,
    waiting: Vec<Signed>,
    dice: Dice,
    /// Statements that it has not taken back.
    said: Vec<LinkRef>,
    rotations: u64,
}

/// Key events of one client: each retires a key, and no more may be retired in 30 days.
const MAX_ROTATIONS: u64 = 30;

impl Client {
    fn new(seed: u64, at: usize) -> Self {
        let mut agent = Agent::new(LogId::of_origin(ORIGIN), &format!("client-{at}"));
        let waiting = vec![agent.genesis()];
        Self { agent, waiting, dice: Dice(seed ^ (at as u64 + 1)), said: Vec::new(), rotations: 0 }
    }

    fn link(&mut self, registrar: Identity) -> Signed {
        match self.dice.below(8) {
            0 | 1 => self.agent.empty(),
            2 => self.agent.inline(r#"{"action":"work","v":1}"#),
            3 | 4 => self.agent.beside(&format!(r#"{{"n":{},"v":1}}"#, self.dice.below(1 << 40))),
            5 if self.rotations < MAX_ROTATIONS && self.dice.below(10) == 0 => self.rotate(),
            6 if !self.said.is_empty() => {
                let at = self.dice.below(self.said.len() as u64) as usize;
                let link = self.said.swap_remove(at);
                self.agent.say(&Body::Retract(Retract { link }))
            }
            _ => {
                let about = Feedback { subject: registrar, value: 50, tag: None, link: None, comment_commit: None };
                let link = self.agent.say(&Body::Feedback(about));
                self.said.push(self.agent.newest());
                link
            }
        }
    }

    /// Another act key, and a disowned past.
    fn rotate(&mut self) -> Signed {
        self.rotations += 1;
        let fresh = agent::key(&format!("{} {}", self.agent.name, self.rotations));
        let back = 1 + self.dice.below(self.agent.position.seqno.get() - 1);
        let from = Seqno::new(self.agent.position.seqno.get() - back + 1);
        let keys = Keys { suspect_from: Some(from), ..self.agent.rotation(&fresh) };
        let link = self.agent.sign(&self.agent.admin.clone(), &Body::Keys(keys));
        self.agent.act = fresh;
        link
    }

    fn run(&mut self, address: SocketAddr, told: &Mutex<Told>, stop: &AtomicBool) {
        let Ok(registrar) = ask(address, "GET", "/v1/agents/registrar", b"") else { return };
        let registrar = Identity::from_hex(registrar.json()["identity"].as_str().unwrap()).unwrap();
        while !stop.load(Ordering::Relaxed) {
            if self.waiting.is_empty() {
                for _ in 0..=self.dice.below(30) {
                    let link = self.link(registrar);
                    self.waiting.push(link);
                }
            }
            let Ok(answer) = ask(address, "POST", "/v1/links", &links_json(&self.waiting)) else { continue };
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
            told.lock().unwrap().appended(&answer, &self.waiting);
            self.waiting.clear();
        }
    }
}

/// Follows `/checkpoint`: it never goes back.
fn follow(address: SocketAddr, told: &Mutex<Told>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(answer) = ask(address, "GET", "/checkpoint", b"")
            && answer.status == 200
        {
            published(&answer, told);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn published(answer: &Answer, told: &Mutex<Told>) {
    let mut told = told.lock().unwrap();
    let size = told.head(&answer.body);
    assert!(size >= told.published, "/checkpoint went back from {} to {size}", told.published);
    told.published = size;
}

/// Works on a process until `done`, and gives it back.
fn load<T>(program: Program, clients: &mut [Client], told: &Mutex<Told>, done: impl FnOnce(Program) -> T) -> T {
    let stop = AtomicBool::new(false);
    let address = program.address;
    std::thread::scope(|scope| {
        for client in clients {
            let stop = &stop;
            scope.spawn(move || client.run(address, told, stop));
        }
        scope.spawn(|| follow(address, told, &stop));
        let _stop_at_end = StopAtEnd(&stop);
        done(program)
    })
}

/// The others do not go on for a test that has failed.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The log as it was read so far: what was shown once is there for ever.
struct Log {
    entries: Vec<Vec<u8>>,
    /// By size.
    roots: Vec<Hash>,
    frontier: Frontier,
    replay: Replay,
}

impl Log {
    fn new() -> Self {
        let frontier = Frontier::new();
        let replay = Replay::new(LogId::of_origin(ORIGIN));
        Self { entries: Vec::new(), roots: vec![frontier.root()], frontier, replay }
    }

    /// Reads the whole log and holds it against what was told.
    fn check(&mut self, address: SocketAddr, told: &Mutex<Told>) {
        // A published checkpoint may be of a size that is not told yet; so it is read first.
        let answer = ask(address, "GET", "/checkpoint", b"").unwrap();
        if answer.status == 200 {
            published(&answer, told);
        }
        let told = told.lock().unwrap();
        assert!(answer.status == 200 || told.published == 0, "the published checkpoint is gone");
        let entries = entries(address);
        assert!(entries.starts_with(&self.entries), "what was read before is not there any more");
        for entry in &entries[self.entries.len()..] {
            self.frontier.push(leaf_hash(entry));
            self.roots.push(self.frontier.root());
            self.replay.push(entry).unwrap();
        }
        assert_eq!(self.replay.faults(), []);
        self.entries = entries;
        for (index, entry) in &told.links {
            assert_eq!(self.entries.get(*index as usize), Some(entry), "entry {index} was acknowledged");
        }
        for (size, root) in &told.heads {
            assert_eq!(self.roots.get(*size as usize), Some(root), "the checkpoint of size {size}");
        }
    }
}

fn entries(address: SocketAddr) -> Vec<Vec<u8>> {
    let log = ask(address, "GET", "/v1/log", b"").unwrap().json();
    let size = log["tree_size"].as_u64().unwrap();
    let mut entries = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let number =
            if bundle < 1000 { format!("{bundle:03}") } else { format!("x{:03}/{:03}", bundle / 1000, bundle % 1000) };
        let answer = ask(address, "GET", &format!("/tile/entries/{number}{partial}"), b"").unwrap();
        assert_eq!(answer.status, 200, "bundle {bundle}");
        entries.extend(parse_bundle(&answer.body).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    entries
}

#[test]
fn nothing_that_was_told_is_lost_or_contradicted() {
    let kills = number("SOULCHAIN_KILLS").unwrap_or(5);
    let seed = number("SOULCHAIN_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_be_bytes(bytes)
    });
    eprintln!("SOULCHAIN_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let told = Arc::new(Mutex::new(Told::default()));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|at| Client::new(seed, at)).collect();
    let mut dice = Dice(seed);
    let mut log = Log::new();
    for kill in 0..kills {
        // Short lives end inside recovery and founding, long ones around flushes.
        let life = Duration::from_millis([20, 300, 1_500][dice.below(3) as usize] + dice.below(200));
        let program = Program::start(&data);
        log.check(program.address, &told);
        load(program, &mut clients, &told, |program| {
            std::thread::sleep(life);
            program.kill();
        });
        // Now and then with nothing derived to start from.
        if dice.below(3) == 0 {
            let _ = std::fs::remove_dir_all(data.join("views"));
        }
        eprintln!("kill {kill} after {life:?}: {} entries", log.entries.len());
    }
    // Told to end under load, it loses nothing either.
    let program = Program::start(&data);
    log.check(program.address, &told);
    load(program, &mut clients, &told, |program| {
        std::thread::sleep(Duration::from_millis(500));
        within_a_minute("more than 100 links are acknowledged", || told.lock().unwrap().links.len() > 100);
        program.terminate();
    });
    let program = Program::start(&data);
    log.check(program.address, &told);
    program.terminate();
    let told = told.lock().unwrap();
    assert!(told.links.len() > 100, "{} links: too little was done", told.links.len());
    eprintln!("{kills} kills, {} links acknowledged, {} checkpoints", told.links.len(), told.heads.len());
}

/// Waits for something that another thread does.
fn within_a_minute(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_mins(1), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Signs a request for a body.
fn about_body(address: SocketAddr, agent: &Agent, method: &str, seqno: u64) -> io::Result<Answer> {
    let path = format!("/v1/agents/{}/links/{seqno}/body", agent.name);
    let covered = CoveredComponents { method, authority: "x", path: &path };
    let MessageSignature { input, signature } =
        MessageSignature::sign(&agent.admin, kid_of(&agent.admin), &covered, clock::now());
    ask_with(address, method, &path, &format!("signature-input: {input}\r\nsignature: {signature}\r\n"), b"")
}

/// A body, and parts of its salt.
fn parts(beside: &Beside) -> Vec<&[u8]> {
    beside.salt.as_bytes().chunks_exact(8).chain([&beside.body[..]]).collect()
}

/// Killed while bodies are erased: of one whose erasure was answered nothing is left in any file, before and after the
/// next start; any other is there or erased.
#[test]
fn killed_while_bodies_are_erased() {
    const BODIES: u64 = 60;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut dice = Dice(number("SOULCHAIN_SEED").unwrap_or(11));
    let mut agent = Agent::new(LogId::of_origin(ORIGIN), "eraser");
    let mut links = vec![agent.genesis()];
    links.extend(
        (0..BODIES).map(|at| agent.beside(&format!(r#"{{"n":{at},"text":"kept until it is erased {at}","v":1}}"#))),
    );
    let beside_of = |seqno: u64| links[seqno as usize - 1].1.as_ref().unwrap();
    let program = Program::start(&data);
    assert_eq!(ask(program.address, "POST", "/v1/links", &links_json(&links)).unwrap().status, 201);
    program.kill();
    let mut left: Vec<u64> = (2..2 + BODIES).collect();
    let (mut answered, mut unanswered) = (Vec::new(), Vec::new());
    for kill in 0..number("SOULCHAIN_KILLS").unwrap_or(5) {
        let program = Program::start(&data);
        let address = program.address;
        let life = Duration::from_millis(20 + dice.below(800));
        let is_answered = AtomicBool::new(kill > 0);
        std::thread::scope(|scope| {
            let is_answered = &is_answered;
            scope.spawn(move || {
                std::thread::sleep(life);
                // In the first life at least one erasure is answered.
                within_a_minute("an erasure is answered", || is_answered.load(Ordering::Relaxed));
                program.kill();
            });
            while let Some(seqno) = left.pop() {
                if let Ok(answer) = about_body(address, &agent, "DELETE", seqno) {
                    assert_eq!(answer.status, 204, "{answer:?}");
                    answered.push(seqno);
                    is_answered.store(true, Ordering::Relaxed);
                } else {
                    unanswered.push(seqno);
                    break;
                }
            }
        });
        let nothing_is_left = || {
            let parts: Vec<&[u8]> = answered.iter().flat_map(|seqno| parts(beside_of(*seqno))).collect();
            assert_eq!(found_in_files(&data, &parts), 0, "something is left of {answered:?}");
        };
        nothing_is_left();
        let program = Program::start(&data);
        for seqno in answered.iter().chain(&unanswered) {
            let status = about_body(program.address, &agent, "GET", *seqno).unwrap().status;
            let is_gone = status == 410;
            assert!(is_gone || (status == 200 && unanswered.contains(seqno)), "{seqno}: {status}");
        }
        nothing_is_left();
        // Nor is anything left of what a start finished.
        if let Some(seqno) = unanswered.last() {
            let status = about_body(program.address, &agent, "GET", *seqno).unwrap().status;
            assert_eq!(found_in_files(&data, &parts(beside_of(*seqno))) == 0, status == 410, "{seqno}");
        }
        for seqno in &left {
            assert_eq!(about_body(program.address, &agent, "GET", *seqno).unwrap().status, 200, "{seqno}");
        }
        Log::new().check(program.address, &Mutex::default());
        program.kill();
    }
    let report = check_directory(&data, false, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert!(!answered.is_empty(), "too little was done");
    eprintln!("{} erased, {} orders not answered", answered.len(), unanswered.len());
}

/// Killed while it starts: at a first start the directory is there whole or not at all.
#[test]
fn killed_while_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut dice = Dice(7);
    for _ in 0..number("SOULCHAIN_KILLS").unwrap_or(5) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soulchain"));
        command.env_clear().env("SOULCHAIN_LOG_LEVEL", "error").stdin(Stdio::null()).stdout(Stdio::null());
        command.args(["serve", "--origin", ORIGIN, "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(dice.below(150)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let program = Program::start(&data);
    Log::new().check(program.address, &Mutex::default());
    program.terminate();
}
