//! A real node and a real mirror: a client can use the one in the place of the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use soulchain::merkle::TreeSize;
use soulchain::soul::LogId;
use soulchain::tlog::{AddCheckpointRequest, MirrorInfo, SignedCheckpoint, parse_bundle};
use tempfile::TempDir;

use crate::agent::Agent;
use crate::log::{Tree, header};
use crate::support::{Answer, links_json, parse_answer};

const BINARY: &str = env!("CARGO_BIN_EXE_soulchain");
const ORIGIN: &str = "log.example/mirrored";

/// A program that serves.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.env_clear().env("SOULCHAIN_LIMITS_LINKS_PER_SECOND", "0").args(args).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it did not start: {said:?}") };
            if let Some(at) = line.find("http://127.0.0.1:").filter(|_| line.contains("serving")) {
                let address = line[at + 7..].trim_matches(|c: char| c == '"' || c.is_whitespace());
                break address.parse().unwrap();
            }
            said.push(line);
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn node(dir: &Path) -> Self {
        let data = dir.join("log");
        Self::start(&["serve", "--origin", ORIGIN, "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
    }

    fn mirror(dir: &Path, log: SocketAddr) -> Self {
        Self::mirror_at(dir, log, "20")
    }

    /// A mirror that asks the log at this interval.
    fn mirror_at(dir: &Path, log: SocketAddr, interval_ms: &str) -> Self {
        let (data, policy, url) = (dir.join("mirror"), dir.join("policy"), format!("http://{log}"));
        let args = ["mirror", "--url", &url, "--policy", policy.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let more = ["--interval", interval_ms, "--name", "mirror.example/m1", "--data", data.to_str().unwrap()];
        Self::start(&[&args[..], &more[..]].concat())
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> std::io::Result<Answer> {
        self.send(method, target, "application/json", body)
    }

    fn post(&self, target: &str, media_type: &str, body: &[u8]) -> Answer {
        self.send("POST", target, media_type, body).unwrap()
    }

    fn send(&self, method: &str, target: &str, media_type: &str, body: &[u8]) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let len = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {media_type}\r\n\
             content-length: {len}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse_answer(&bytes, false).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, b"").unwrap()
    }

    fn published(&self) -> Option<SignedCheckpoint> {
        let answer = self.get("/checkpoint");
        (answer.status == 200).then(|| SignedCheckpoint::parse(&answer.body).unwrap())
    }

    /// Waits until it has published this size at least.
    #[track_caller]
    fn reaches(&self, size: u64) {
        let started = Instant::now();
        while self.published().is_none_or(|published| published.claim().size().get() < size) {
            let readyz = self.get("/readyz");
            let said = String::from_utf8_lossy(&readyz.body).into_owned();
            assert!(started.elapsed() < Duration::from_mins(1), "{size} is not reached: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn size(&self) -> u64 {
        self.get("/v1/log").json()["tree_size"].as_u64().unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "it ends well when it is told to");
    }
}

/// A log with a node, and the policy that believes its log key.
struct World {
    dir: TempDir,
    node: Program,
    agent: Agent,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Program::node(dir.path());
        let vkey = node.get("/v1/log").json()["log_vkey"].as_str().unwrap().to_owned();
        std::fs::write(dir.path().join("policy"), format!("log {vkey}\nquorum none\n")).unwrap();
        let agent = Agent::new(LogId::of_origin(ORIGIN), "scout");
        let mut world = Self { dir, node, agent };
        let genesis = world.agent.genesis();
        assert_eq!(world.node.ask("POST", "/v1/links", &links_json(&[genesis])).unwrap().status, 201);
        world
    }

    fn act(&mut self, links: usize) {
        let links: Vec<_> = (0..links).map(|_| self.agent.empty()).collect();
        assert_eq!(self.node.ask("POST", "/v1/links", &links_json(&links)).unwrap().status, 201);
    }

    fn mirror(&self) -> Program {
        Program::mirror(self.dir.path(), self.node.address)
    }

    fn mirror_data(&self) -> PathBuf {
        self.dir.path().join("mirror")
    }

    /// Runs a command line against a node; `{}` in it is the policy file.
    fn soulchain(&self, at: &Program, line: &str) -> (Option<i32>, serde_json::Value) {
        let policy = self.dir.path().join("policy");
        let args = line.split(' ').map(|arg| if arg == "{}" { policy.to_str().unwrap() } else { arg });
        let output = Command::new(BINARY)
            .args(args)
            .arg("--json")
            .env_clear()
            .env("SOULCHAIN_NODE", at.url())
            .env("HOME", self.dir.path())
            .output()
            .unwrap();
        let json = serde_json::from_slice(&output.stdout);
        (output.status.code(), json.unwrap_or_else(|_| panic!("{line}: {output:?}")))
    }

    fn fsck(&self) {
        let data = self.mirror_data();
        let output = Command::new(BINARY).arg("fsck").arg(&data).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// All tiles and bundles of a size, as two servers give them.
fn same_tiles(one: &Program, other: &Program, size: u64) {
    let mut level = 0;
    let mut count = size;
    while count > 0 {
        let kinds = if level == 0 { vec!["0".to_owned(), "entries".to_owned()] } else { vec![level.to_string()] };
        for kind in kinds {
            for index in 0..count.div_ceil(256) {
                let width = (count - index * 256).min(256);
                let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
                let path = format!("/tile/{kind}/{index:03}{partial}");
                let (a, b) = (one.get(&path), other.get(&path));
                assert_eq!((a.status, b.status), (200, 200), "{path}");
                assert!(a.body == b.body, "{path}");
            }
        }
        level += 1;
        count >>= 8;
    }
}

#[test]
fn a_mirror_is_used_in_the_place_of_the_log() {
    let mut world = World::new();
    world.act(250);
    world.act(200);
    let mirror = world.mirror();
    let caught_up = world.node.size();
    mirror.reaches(caught_up);
    // It follows while the log is written to.
    for _ in 0..5 {
        world.act(60);
    }
    let size = world.node.size();
    mirror.reaches(size);
    same_tiles(&world.node, &mirror, size);
    assert_eq!(mirror.get("/checkpoint").body, world.node.get("/checkpoint").body);

    let last = size - 2;
    for line in [
        "resolve scout --policy {}".to_owned(),
        "resolve nobody --policy {}".to_owned(),
        "resolve registrar --policy {}".to_owned(),
        "agent show scout".to_owned(),
        "agent log scout".to_owned(),
        format!("log proof {last} --policy {{}}"),
        "log consistency 3 --policy {}".to_owned(),
    ] {
        let (log, copy) = (world.soulchain(&world.node, &line), world.soulchain(&mirror, &line));
        assert_eq!((log.0, copy.0), (Some(0), Some(0)), "{line}: {log:?} {copy:?}");
        assert_eq!(log.1, copy.1, "{line}");
    }
    let policy = world.dir.path().join("policy");
    let audit = |at: &Program| {
        let output = Command::new(BINARY).args(["audit", &at.url(), "--policy"]).arg(&policy).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let summary = |text: String| text.replace(&mirror.url(), "X").replace(&world.node.url(), "X");
    let (log, copy) = (summary(audit(&world.node)), summary(audit(&mirror)));
    let lasting = |text: &str| text.lines().filter(|line| !line.contains(" s")).collect::<Vec<_>>().join("\n");
    assert_eq!(lasting(&log), lasting(&copy));

    // The proof of a link, with state, judged offline.
    let proof = mirror.get("/v1/agents/scout/links/2/proof?state=true");
    assert_eq!(proof.status, 200, "{proof:?}");
    let file = world.dir.path().join("scout.tlog-proof");
    std::fs::write(&file, proof.body).unwrap();
    let verified = Command::new(BINARY).arg("verify").arg(&file).arg("--policy").arg(&policy).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");

    writes_nothing(&world, &mirror);
    let metrics = String::from_utf8(mirror.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("soulchain_upstream_refused 0") && metrics.contains("soulchain_mirrored_size"),
        "{metrics}"
    );
    mirror.terminate();
    world.fsck();
    serves_without_the_log(world, size);
}

/// What a mirror leaves to the log, and that it says where that is.
fn writes_nothing(world: &World, mirror: &Program) {
    for (method, path) in
        [("POST", "/v1/links"), ("POST", "/v1/links/prepare"), ("DELETE", "/v1/agents/scout/links/2/body")]
    {
        let refused = mirror.ask(method, path, b"{}").unwrap();
        assert_eq!(refused.status, 405, "{path}");
        let problem = refused.json();
        assert_eq!(problem["code"], "unsupported");
        assert!(problem["hint"].as_str().unwrap().contains(&world.node.url()), "{problem}");
    }
    let body = mirror.get("/v1/agents/scout/links/2/body");
    assert!(body.status == 404 && body.json()["hint"].as_str().unwrap().contains(&world.node.url()), "{body:?}");
}

/// The log is away: what is there is served, state proofs too.
fn serves_without_the_log(world: World, size: u64) {
    let World { dir, node, agent: _ } = world;
    let address = node.address;
    node.kill();
    let mirror = Program::mirror(dir.path(), address);
    assert_eq!(mirror.size(), size);
    assert_eq!(mirror.published().unwrap().claim().size().get(), size);
    assert_eq!(mirror.get("/v1/agents/scout/state").status, 200);
    let started = Instant::now();
    while mirror.get("/readyz").json()["following"] != "unreachable" {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", mirror.get("/readyz"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(mirror.get("/readyz").status, 200);
    mirror.terminate();
}

/// Killed while it follows a log under load: it is whole each time, never goes back, and catches up.
#[test]
fn a_mirror_that_is_killed_goes_on_where_it_was() {
    let mut world = World::new();
    let mut published = 0;
    let kills = std::env::var("SOULCHAIN_KILLS").map_or(4, |text| text.parse().unwrap());
    for kill in 0..kills {
        let stop = AtomicBool::new(false);
        let mirror = world.mirror();
        let mut agent = world.agent.clone();
        std::thread::scope(|scope| {
            let (node, stop) = (&world.node, &stop);
            let writing = scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let links: Vec<_> = (0..40).map(|_| agent.empty()).collect();
                    assert_eq!(node.ask("POST", "/v1/links", &links_json(&links)).unwrap().status, 201);
                }
                agent
            });
            std::thread::sleep(Duration::from_millis([300, 700, 1_600][kill % 3]));
            if let Some(seen) = mirror.published() {
                let size = seen.claim().size().get();
                assert!(size >= published, "it went back from {published} to {size}");
                published = size;
            }
            mirror.kill();
            stop.store(true, Ordering::Relaxed);
            world.agent = writing.join().unwrap();
        });
        world.fsck();
        if kill == 1 {
            std::fs::remove_dir_all(world.mirror_data().join("views")).unwrap();
        }
    }
    let mirror = world.mirror();
    let size = world.node.size();
    mirror.reaches(size);
    same_tiles(&world.node, &mirror, size);
    let line = "resolve scout --policy {}";
    assert_eq!(world.soulchain(&mirror, line), world.soulchain(&world.node, line));
    mirror.terminate();
    world.fsck();
    world.node.terminate();
}

/// Batches of agents' links end where they end, and packages at multiples of 256: what is behind the last trailer waits.
#[test]
fn a_log_of_agents_is_brought_in_packages() {
    let mut world = World::new();
    let before = world.node.size();
    world.node.reaches(before);
    let mirror = Program::mirror_at(world.dir.path(), world.node.address, "3600000");
    mirror.reaches(before);
    for _ in 0..4 {
        world.act(200);
    }
    let size = world.node.size();
    world.node.reaches(size);
    let checkpoint = world.node.published().unwrap();
    let mut entries = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let answer = world.node.get(&format!("/tile/entries/{bundle:03}{partial}"));
        entries.extend(parse_bundle(&answer.body).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    let tree = Tree::of(entries);
    assert_eq!(tree.root(size), checkpoint.claim().root());
    let request = AddCheckpointRequest::new(TreeSize::new(before), tree.consistency(before, size), checkpoint).unwrap();
    let added = mirror.ask("POST", "/add-checkpoint", request.to_string().as_bytes()).unwrap();
    assert_eq!(added.status, 200, "{added:?}");
    let add = |mirror: &Program, start: u64, packages: usize| {
        let header = header(ORIGIN, start, size);
        let packages = header.packages().take(packages).flat_map(|range| tree.package(range, size));
        let body: Vec<u8> = header.to_bytes().into_iter().chain(packages).collect();
        mirror.post("/add-entries", "application/octet-stream", &body)
    };
    let next = |answer: &Answer| MirrorInfo::parse(&answer.body).unwrap().next_entry().get();
    let part = add(&mirror, before, 2);
    assert_eq!((part.status, next(&part)), (202, 512));
    let committed = mirror.size();
    assert!(committed < 512 && committed > before, "{committed} of 512: the batch is not whole");
    // What waited is in memory only; who goes on is told where.
    mirror.kill();
    world.fsck();
    let address = world.node.address;
    let World { dir, node, .. } = world;
    node.kill();
    let mirror = Program::mirror_at(dir.path(), address, "3600000");
    let conflict = add(&mirror, 512, 9);
    assert_eq!((conflict.status, next(&conflict)), (409, committed));
    let done = add(&mirror, committed, 9);
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(mirror.size(), size);
    mirror.terminate();
}

#[test]
fn one_directory_has_one_mirror() {
    let world = World::new();
    let mirror = world.mirror();
    let (policy, data) = (world.dir.path().join("policy"), world.mirror_data());
    let mut second = Command::new(BINARY);
    second.args(["mirror", "--listen", "127.0.0.1:0", "--url", &world.node.url(), "--policy"]).arg(policy);
    let second = second.arg("--data").arg(data).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
    mirror.terminate();
    world.node.terminate();
}
