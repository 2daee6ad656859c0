//! A node and its witnesses, started, killed and started again.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_soulchain");
/// How long a process may take to come up.
const START: Duration = Duration::from_mins(1);

/// A process that answers at a URL; it is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
}

/// A node with its witnesses, in a directory of their own.
pub(crate) struct Scene {
    directory: TempDir,
    pub(crate) witnesses: Vec<Option<Server>>,
    /// Where each witness listens, after its first start.
    addresses: Vec<String>,
    node: Option<Server>,
    node_flags: Vec<String>,
}

impl Scene {
    /// So many witnesses, so many of which suffice; the log's key becomes known to them after its first start.
    pub(crate) fn start(witnesses: usize, quorum: usize) -> Self {
        Self::start_with(witnesses, quorum, &[])
    }

    pub(crate) fn start_with(witnesses: usize, quorum: usize, node_flags: &[&str]) -> Self {
        let mut scene = Self {
            directory: TempDir::new().unwrap(),
            witnesses: (0..witnesses).map(|_| None).collect(),
            addresses: vec!["127.0.0.1:0".to_owned(); witnesses],
            node: None,
            node_flags: node_flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        fs::write(scene.path().join("logs.txt"), "").unwrap();
        let mut lines = String::new();
        for at in 0..witnesses {
            let vkey = scene.start_witness(at);
            let url = &scene.witnesses[at].as_ref().unwrap().url;
            lines = format!("{lines}witness w{} {vkey} {url}\n", at + 1);
        }
        let names: Vec<_> = (1..=witnesses).map(|n| format!("w{n}")).collect();
        let rest = format!("{lines}group g {quorum} {}\nquorum g\n", names.join(" "));
        fs::write(scene.path().join("witnesses.policy"), &rest).unwrap();
        scene.start_node();
        let (_, log) = get(&format!("{}/v1/log", scene.node().url));
        let log: serde_json::Value = serde_json::from_str(&log).unwrap();
        let log_line = format!("log {}\n", log["log_vkey"].as_str().unwrap());
        fs::write(scene.path().join("policy.txt"), format!("{log_line}{rest}")).unwrap();
        fs::write(scene.path().join("logs.txt"), log_line).unwrap();
        until(START, "the witnesses have read their list", || {
            get(&format!("{}/checkpoint", scene.node().url)).1.matches("witness.example").count() >= witnesses
        });
        scene
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub(crate) fn node(&self) -> &Server {
        self.node.as_ref().unwrap()
    }

    /// Starts a witness where it was; gives its verifier key.
    pub(crate) fn start_witness(&mut self, at: usize) -> String {
        let mut command = Command::new(BINARY);
        command
            .args(["witness", "--json", "--keys"])
            .arg(if at.is_multiple_of(2) { "ed25519" } else { "ml-dsa-44" })
            .args(["--name", &format!("witness.example/w{}", at + 1), "--listen", &self.addresses[at], "--data"])
            .arg(self.path().join(format!("w{}", at + 1)))
            .arg("--logs")
            .arg(self.path().join("logs.txt"));
        let (mut child, output) =
            spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()), |child| Box::new(child.stdout.take().unwrap()));
        let mut announced = String::new();
        while serde_json::from_str::<serde_json::Value>(&announced).is_err() {
            let line = output.recv_timeout(START).ok();
            let line =
                line.unwrap_or_else(|| panic!("the witness does not come up: {announced:?}, {:?}", child.try_wait()));
            announced = format!("{announced}{line}\n");
        }
        let json: serde_json::Value = serde_json::from_str(&announced).unwrap();
        let url = json["url"].as_str().unwrap().to_owned();
        url.trim_start_matches("http://").clone_into(&mut self.addresses[at]);
        self.witnesses[at] = Some(Server { url, child });
        json["vkeys"][0].as_str().unwrap().to_owned()
    }

    /// Kills a witness as a crash would.
    pub(crate) fn kill_witness(&mut self, at: usize) {
        self.witnesses[at] = None;
    }

    fn node_command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--origin", "test.example/witnessed", "--policy"])
            .arg(self.path().join("witnesses.policy"))
            .arg("--data")
            .arg(self.path().join("node"))
            .args(&self.node_flags)
            .env_remove("SOULCHAIN_PASSPHRASE")
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start_node(&mut self) {
        let (child, output) = spawn(&mut self.node_command(), |child| Box::new(child.stderr.take().unwrap()));
        let mut seen = String::new();
        let url = loop {
            let line = output.recv_timeout(START).unwrap_or_else(|_| panic!("the node does not come up:\n{seen}"));
            if let Some(url) = address(&line).filter(|_| line.contains("serving")) {
                break url;
            }
            seen = format!("{seen}{line}\n");
        };
        self.node = Some(Server { url, child });
    }

    /// Starts a mirror of the node where it was.
    pub(crate) fn start_mirror(&self) -> Server {
        let mut command = Command::new(BINARY);
        command
            .args(["mirror", "--url", &self.node().url, "--interval", "200", "--listen", "127.0.0.1:0", "--policy"])
            .arg(self.path().join("policy.txt"))
            .arg("--data")
            .arg(self.path().join("mirror"))
            .stderr(Stdio::piped());
        let (child, output) = spawn(&mut command, |child| Box::new(child.stderr.take().unwrap()));
        let url = std::iter::from_fn(|| output.recv_timeout(START).ok())
            .find_map(|line| address(&line).filter(|_| line.contains("serving")));
        Server { url: url.unwrap(), child }
    }

    /// Stops the node as an operator does.
    pub(crate) fn stop_node(&mut self) {
        let mut node = self.node.take().unwrap();
        let pid = node.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(node.child.wait().unwrap().success());
    }

    /// Starts the node, and gives what it said when it ended by itself with a failure.
    pub(crate) fn run_node_to_its_end(&self, patience: Duration) -> String {
        let (mut child, output) = spawn(&mut self.node_command(), |child| Box::new(child.stderr.take().unwrap()));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > patience {
                let _ = child.kill();
                panic!("the node goes on: {}", output.try_iter().collect::<Vec<_>>().join("\n"));
            }
            thread::sleep(Duration::from_millis(50));
        };
        assert!(!status.success());
        output.iter().collect::<Vec<_>>().join("\n")
    }

    /// Runs a command line of a shell, in which `soulchain` is the binary.
    pub(crate) fn shell(&self, line: &str) -> Output {
        let bin = PathBuf::from(BINARY).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.path()).env_clear().env("PATH", path).env("HOME", self.path());
        command.env("SOULCHAIN_NODE", &self.node().url).output().unwrap()
    }

    pub(crate) fn stdout(&self, line: &str) -> String {
        let done = self.shell(line);
        assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have stopped by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process, and a thread that reads its lines for as long as it lives: a full pipe would stop it.
fn spawn(
    command: &mut Command,
    output: impl FnOnce(&mut Child) -> Box<dyn std::io::Read + Send>,
) -> (Child, mpsc::Receiver<String>) {
    let mut child = command.spawn().unwrap();
    let output = output(&mut child);
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listening is no reason to stop reading.
            let _ = sender.send(line);
        }
    });
    (child, lines)
}

/// The address in a line of the node's log, which may hold colours.
pub(crate) fn address(line: &str) -> Option<String> {
    const BEGINNING: &str = "http://127.0.0.1:";
    let (_, port) = line.split_once(BEGINNING)?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{BEGINNING}{port}"))
}

/// Waits until something holds.
pub(crate) fn until(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < patience, "in vain: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Status and body of a GET; status 0 where nobody answers.
pub(crate) fn get(url: &str) -> (u16, String) {
    exchange(url, "GET", "")
}

/// Status and body of a POST.
pub(crate) fn post(url: &str, body: &str) -> (u16, String) {
    exchange(url, "POST", body)
}

fn exchange(url: &str, method: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    let Ok(mut stream) = TcpStream::connect(authority) else { return (0, String::new()) };
    stream.set_read_timeout(Some(START)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err() {
        return (0, String::new());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}
