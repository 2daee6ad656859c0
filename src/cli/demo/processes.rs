//! Processes beside the node, which end with the demo.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::cli::error::{CliError, CliResult};

/// How long a process may take to come up.
const START: Duration = Duration::from_secs(20);
/// Most bytes of its output that are read.
const MAX_OUTPUT: u64 = 1 << 20;

/// A process that is ended when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    what: String,
    child: Child,
    lines: Receiver<String>,
}

/// Where a process says what the demo waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    OnStdout,
    OnStderr,
}

impl Process {
    /// Starts this program with the arguments that `with` adds.
    pub(super) fn start(what: &str, says: Says, with: impl FnOnce(&mut Command)) -> CliResult<Self> {
        let failed = |error: std::io::Error| CliError::failed(format!("{what}: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        with(&mut command);
        let pipe = |is_read| if is_read { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::null()).stdout(pipe(says == Says::OnStdout)).stderr(pipe(says == Says::OnStderr));
        let mut child = command.spawn().map_err(failed)?;
        let output: Option<Box<dyn std::io::Read + Send>> = match says {
            Says::OnStdout => child.stdout.take().map(|pipe| Box::new(pipe) as _),
            Says::OnStderr => child.stderr.take().map(|pipe| Box::new(pipe) as _),
        };
        let output = output.expect("it was asked for");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output.take(MAX_OUTPUT));
            for line in (&mut output).lines().map_while(Result::ok) {
                // Nobody listens any more.
                let _ = sender.send(line);
            }
            // A pipe that nobody reads would stop it.
            let _ = std::io::copy(&mut output.into_inner().into_inner(), &mut std::io::sink());
        });
        Ok(Self { what: what.to_owned(), child, lines })
    }

    /// The first thing that `find` makes of a line while the process comes up.
    pub(super) fn announced<T>(&self, find: impl FnMut(&str) -> Option<T>) -> CliResult<T> {
        self.until(START, find)?.ok_or_else(|| CliError::failed(format!("{}: it does not come up", self.what)))
    }

    /// The same, within another time: `None` where it says nothing of that kind.
    pub(super) fn until<T>(&self, time: Duration, mut find: impl FnMut(&str) -> Option<T>) -> CliResult<Option<T>> {
        let end = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return Ok(Some(found));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(CliError::failed(format!("{}: it has ended", self.what)));
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
