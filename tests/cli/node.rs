//! A node in a directory of its own, and commands that are run against it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::transcript;

const BINARY: &str = env!("CARGO_BIN_EXE_soulchain");

/// A node that is stopped when it is dropped.
pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pub(crate) url: String,
    child: Child,
}

impl Node {
    /// Starts a node on a free port.
    pub(crate) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let mut child = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--origin", "test.example/cli", "--data"])
            .arg(dir.path().join("data"))
            .env_remove("SOULCHAIN_PASSPHRASE")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| address(&line)).expect("the node serves");
        // Nobody reads on, so that the node would stop at a full pipe.
        thread::spawn(move || lines.for_each(drop));
        Self { dir, url, child }
    }

    /// Runs a command line of a shell, in which `soulchain` is the binary.
    pub(crate) fn shell(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let bin = PathBuf::from(BINARY).parent().unwrap().to_owned();
        let path =
            std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())));
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", path.unwrap())
            .env("HOME", self.dir.path())
            .env("SOULCHAIN_NODE", &self.url);
        command
    }

    /// Runs a command line that goes well, for what it prints.
    pub(crate) fn stdout(&self, line: &str) -> String {
        let done = self.shell(line);
        assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    pub(crate) fn check(&self, transcript: &str) {
        transcript::check(self, transcript);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have stopped by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line of the node's log, which may hold colours.
fn address(line: &str) -> Option<String> {
    const BEGINNING: &str = "http://127.0.0.1:";
    let (_, port) = line.split_once(BEGINNING)?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{BEGINNING}{port}"))
}
