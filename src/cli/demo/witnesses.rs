//! The witnesses of the demo: processes of their own, as those of others would be. Some die, and come back.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Stage, checkpoint, expect, step};
use crate::cli::error::{CliError, CliResult};
use crate::client::{Agent, Client, ProofWanted};
use crate::tlog::Vkey;

/// How many there are, and how many suffice.
const WITNESSES: usize = 3;
const QUORUM: usize = 2;
/// How long a witness may take to come up.
const START: Duration = Duration::from_secs(20);
/// How long what is to be witnessed within a second may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest announcement that is read.
const MAX_ANNOUNCEMENT: u64 = 64 << 10;

/// What a witness says when it has come up.
#[derive(Debug, Deserialize)]
struct Announced {
    url: String,
    vkeys: Vec<String>,
}

/// The witnesses, in a directory of their own.
#[derive(Debug)]
pub(super) struct Witnesses {
    directory: PathBuf,
    running: Vec<Option<Running>>,
    announced: Vec<Announced>,
}

/// A process that is ended when this is dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Witnesses {
    /// Starts them for the log of these keys.
    pub(super) fn start(directory: &Path, log_keys: &[&Vkey]) -> CliResult<Self> {
        let lines: Vec<_> = log_keys.iter().map(|vkey| format!("log {vkey}\n")).collect();
        let failed = |error: std::io::Error| CliError::failed(format!("{}: {error}", directory.display()));
        std::fs::create_dir_all(directory).map_err(failed)?;
        std::fs::write(directory.join("logs"), lines.concat()).map_err(failed)?;
        let mut witnesses = Self { directory: directory.to_owned(), running: Vec::new(), announced: Vec::new() };
        for number in 1..=WITNESSES {
            let (running, announced) = witnesses.spawn(number, "127.0.0.1:0")?;
            witnesses.running.push(Some(running));
            witnesses.announced.push(announced);
        }
        Ok(witnesses)
    }

    /// Their part of a policy.
    pub(super) fn policy(&self) -> String {
        let line = |(number, announced): (usize, &Announced)| {
            format!("witness w{number} {} {}\n", announced.vkeys[0], announced.url)
        };
        let lines: Vec<_> = (1..).zip(&self.announced).map(line).collect();
        let names: Vec<_> = (1..=WITNESSES).map(|number| format!("w{number}")).collect();
        format!("{}group witnesses {QUORUM} {}\nquorum witnesses\n", lines.concat(), names.join(" "))
    }

    fn spawn(&self, number: usize, listen: &str) -> CliResult<(Running, Announced)> {
        let unavailable = |error: &dyn std::fmt::Display| CliError::failed(format!("witness {number}: {error}"));
        let program = std::env::current_exe().map_err(|error| unavailable(&error))?;
        let mut child = Command::new(program)
            .args(["witness", "--json", "--keys", "ed25519", "--listen", listen])
            .args(["--name", &format!("witness.example/w{number}"), "--data"])
            .arg(self.directory.join(format!("w{number}")))
            .arg("--logs")
            .arg(self.directory.join("logs"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| unavailable(&error))?;
        let output = child.stdout.take().expect("it was asked for");
        let running = Running(child);
        let (sender, announced) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(output.take(MAX_ANNOUNCEMENT)).lines().map_while(Result::ok) {
                text.push_str(&line);
                if let Ok(announced) = serde_json::from_str::<Announced>(&text) {
                    // Nobody waits any more: it took too long.
                    let _ = sender.send(announced);
                    return;
                }
            }
        });
        let announced = announced.recv_timeout(START).map_err(|_| unavailable(&"it does not come up"))?;
        if announced.vkeys.is_empty() { Err(unavailable(&"it has no key")) } else { Ok((running, announced)) }
    }

    fn kill(&mut self, number: usize) {
        self.running[number - 1] = None;
    }

    /// Starts one again where it was.
    fn revive(&mut self, number: usize) -> CliResult<()> {
        let url = &self.announced[number - 1].url;
        let listen = url.strip_prefix("http://").unwrap_or(url).to_owned();
        self.running[number - 1] = Some(self.spawn(number, &listen)?.0);
        Ok(())
    }
}

/// Waits until what is published covers all that the log holds.
pub(super) async fn settled(client: &Client) -> CliResult<()> {
    let size = client.log().await?.tree_size;
    let until = Instant::now() + PATIENCE;
    while checkpoint(client).await?.claim().size().get() < size {
        if Instant::now() > until {
            return Err(CliError::failed("the witnesses did not cosign in time"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// One witness dies, then another; then they come back.
pub(super) async fn fall_and_return(stage: &Stage<'_>, witnesses: &mut Witnesses, agent: &mut Agent) -> CliResult<()> {
    const COMMAND: &[&str] = &["true"];
    let (client, out) = (stage.client, stage.out);
    step(out, 10, "witnesses die: with two of three the log is witnessed, with one it waits, and goes on");
    witnesses.kill(1);
    super::act(agent, ("courier", COMMAND), ProofWanted::Log, out).await?;
    settled(client).await?;
    let with_two = checkpoint(client).await?.claim().size();
    out.line(format_args!("  w1 is dead: the published checkpoint is of size {with_two}, cosigned by w2 and w3"));
    witnesses.kill(2);
    super::act(agent, ("courier", COMMAND), ProofWanted::Log, out).await?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (stays, newest) = (checkpoint(client).await?.claim().size(), client.log().await?.tree_size);
    expect(stays == with_two && newest > stays.get(), "one witness sufficed")?;
    out.line(format_args!("  w2 is dead: the log has {newest} entries, the published checkpoint stays at {stays}"));
    witnesses.revive(1)?;
    witnesses.revive(2)?;
    settled(client).await?;
    let caught_up = checkpoint(client).await?;
    expect(stage.policy.verify_checkpoint(&caught_up).is_ok(), "the checkpoint is not witnessed")?;
    out.line(format_args!("  both are back: the published checkpoint is of size {}", caught_up.claim().size()));
    Ok(())
}
