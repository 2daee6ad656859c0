//! The witnesses of the demo: processes of their own, as those of others would be. Some die, and come back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::processes::{Process, Says};
use super::{Stage, checkpoint, expect, step};
use crate::cli::error::{CliError, CliResult};
use crate::client::{Agent, Client, ProofWanted};
use crate::tlog::Vkey;

/// How many there are, and how many suffice.
const WITNESSES: usize = 3;
const QUORUM: usize = 2;
/// How long what is to be witnessed within a second may take.
const PATIENCE: Duration = Duration::from_mins(2);

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
    running: Vec<Option<Process>>,
    announced: Vec<Announced>,
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

    fn spawn(&self, number: usize, listen: &str) -> CliResult<(Process, Announced)> {
        let process = Process::start(&format!("witness {number}"), Says::OnStdout, |command| {
            command.args(["witness", "--json", "--keys", "ed25519", "--listen", listen]);
            command.args(["--name", &format!("witness.example/w{number}"), "--data"]);
            command.arg(self.directory.join(format!("w{number}"))).arg("--logs").arg(self.directory.join("logs"));
        })?;
        let mut text = String::new();
        let announced = process.announced(|line| {
            text.push_str(line);
            serde_json::from_str(&text).ok().filter(|announced: &Announced| !announced.vkeys.is_empty())
        })?;
        Ok((process, announced))
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
    step(out, 11, "witnesses die: with two of three the log is witnessed, with one it waits, and goes on");
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
