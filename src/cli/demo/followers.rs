//! Who follows the log of the demo: a monitor, which replays it and tells what it finds, and a mirror, which holds a copy
//! and answers in the log's place. Both are processes of their own, as those of others would be.

use std::time::{Duration, Instant};

use super::processes::{Process, Says};
use super::{Stage, expect, step};
use crate::cli::error::{CliError, CliResult};
use crate::client::{Client, RelyingParty};
use crate::monitor::{Kind, Report, Severity};
use crate::registry::Status;

/// How long what is to be seen within a second or two may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A monitor and a mirror.
#[derive(Debug)]
pub(super) struct Followers {
    monitor: Process,
    /// Its copy is in use for as long as it lives.
    _mirror: Process,
    copy: Client,
}

impl Followers {
    /// Starts both for the log on the stage, with the policy file that is kept there.
    pub(super) fn start(stage: &Stage<'_>, url: &str) -> CliResult<Self> {
        step(stage.out, 7, "a monitor and a mirror follow the log, as processes of their own");
        let policy = stage.directory.join("policy.txt");
        let monitor = Process::start("the monitor", Says::OnStdout, |command| {
            command.args(["monitor", url, "--interval", "1", "--watch", "scribe", "--watch", "courier", "--policy"]);
            command.arg(&policy).arg("--state").arg(stage.directory.join("monitor"));
        })?;
        let mirror = Process::start("the mirror", Says::OnStderr, |command| {
            command.args(["mirror", "--url", url, "--interval", "200", "--listen", "127.0.0.1:0", "--policy"]);
            command.arg(&policy).arg("--data").arg(stage.directory.join("mirror")).env("SOULCHAIN_LOG_LEVEL", "info");
        })?;
        let copy = mirror.announced(|line| {
            let from = line.contains("serving").then(|| line.find("http://")).flatten()?;
            line[from..].split(['"', ' ']).next().map(str::to_owned)
        })?;
        stage.out.line("  the monitor replays every entry, and watches scribe and courier");
        stage.out.line(format_args!("  the mirror holds a copy, and serves it at {copy}"));
        Ok(Self { monitor, _mirror: mirror, copy: Client::new(&copy)? })
    }

    /// What the monitor has told, and that the mirror shows what the log shows.
    pub(super) async fn tell(&self, stage: &Stage<'_>) -> CliResult<()> {
        step(stage.out, 12, "what the monitor has told meanwhile, and what the mirror shows");
        self.told(stage)?;
        let mirrored = RelyingParty { client: &self.copy, ..stage.relying() };
        let until = Instant::now() + PATIENCE;
        loop {
            let status = match mirrored.state("scribe").await {
                Ok(proven) => proven.record().map(|record| record.standing.status),
                // It has no copy yet.
                Err(error) if error.code() == "not_found" => None,
                Err(error) => return Err(error.into()),
            };
            if status == Some(Status::Revoked) {
                stage.out.line("  mirror   the state proof of scribe, from the copy: revoked, and the proof holds");
                return Ok(());
            }
            if Instant::now() > until {
                return Err(CliError::failed("the mirror does not follow"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Prints what is of the watched agents, until all three things that happened to them were told.
    fn told(&self, stage: &Stage<'_>) -> CliResult<()> {
        let mut awaited = vec![Kind::Keys, Kind::Disputed, Kind::Revoked];
        let mut worst = Severity::Info;
        let all = self.monitor.until(PATIENCE, |line| {
            let report: Report = serde_json::from_str(line).ok()?;
            worst = worst.max(report.severity);
            if awaited.contains(&report.kind) {
                awaited.retain(|kind| *kind != report.kind);
                stage.out.line(format_args!("  monitor  {:8} {}", report.kind.as_str(), report.text));
            }
            awaited.is_empty().then_some(())
        })?;
        expect(all.is_some(), "the monitor did not tell what happened to the agents")?;
        expect(worst < Severity::Critical, "the monitor says that the log misbehaves")
    }
}
