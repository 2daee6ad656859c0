//! One agent's share of an import: registered where it is not, its actions signed, kept, sent and proven, in their order.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::journal::{Batch, Journal, Place};
use crate::cli::agent::{Founders, ensure_registered};
use crate::cli::args::write_file;
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::KeyDir;
use crate::cli::output::Output;
use crate::client::{Action, Agent, Client, ClientError, KnownLog, Logged, ProofWanted, now};

/// What all workers of an import share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) log: KnownLog,
    pub(super) keys: KeyDir,
    pub(super) journal: Journal,
    pub(super) proofs: Option<PathBuf>,
    pub(super) bar: ProgressBar,
    pub(super) out: Output,
    /// Bounds what is under way, in batches.
    pub(super) under_way: Arc<Semaphore>,
}

/// Actions that are sent together.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) actions: Vec<Action>,
    pub(super) upto: Place,
    pub(super) line_sha256: String,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// An agent of the import.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    label: String,
    agent: Agent,
    logged: u64,
}

/// How often a batch is signed anew because others appended to the chain meanwhile.
const MAX_REBUILDS: u32 = 5;

impl Worker {
    /// The agent of this name, registered.
    pub(super) async fn start(shared: Arc<Shared>, label: String) -> CliResult<Self> {
        let Shared { client, log, keys, out, .. } = &*shared;
        let (agent, _) =
            ensure_registered(client, log, keys, &label, &Founders::default(), ProofWanted::Log, out).await?;
        Ok(Self { shared, label, agent, logged: 0 })
    }

    /// Sends links that were signed before the last import ended; whether they are logged now.
    pub(super) async fn resend(&mut self, batch: Batch) -> CliResult<bool> {
        match self.agent.send(batch.links, ProofWanted::Log).await {
            Ok(logged) => self.done(&logged).await.map(|()| true),
            Err(error) if error.code() == "conflict" => {
                self.shared.journal.dropped(&self.label)?;
                self.agent.refresh().await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Works off batches until there are no more; how many actions were logged.
    pub(super) async fn work(mut self, mut batches: mpsc::Receiver<Work>) -> CliResult<(String, Agent, u64)> {
        while let Some(work) = batches.recv().await {
            self.log_batch(&work).await?;
            drop(work.permit);
        }
        Ok((self.label, self.agent, self.logged))
    }

    async fn log_batch(&mut self, work: &Work) -> CliResult<()> {
        for _ in 0..MAX_REBUILDS {
            let links = self.agent.sign_actions(&work.actions, now()).map_err(|error| self.located(error, work))?;
            let batch = Batch { upto: work.upto, line_sha256: work.line_sha256.clone(), links };
            self.shared.journal.signed(&self.label, &batch)?;
            match self.agent.send(batch.links, ProofWanted::Log).await {
                Ok(logged) => return self.done(&logged).await,
                Err(error) if error.code() == "conflict" => {
                    self.shared.journal.dropped(&self.label)?;
                    self.agent.refresh().await?;
                }
                Err(error) => return Err(self.located(error, work)),
            }
        }
        Err(ClientError::Overtaken.into())
    }

    async fn done(&mut self, logged: &[Logged]) -> CliResult<()> {
        if let Some(dir) = self.shared.proofs.clone() {
            for link in logged {
                let proof = self.agent.proof(link, true).await?;
                let name = format!("{:06}.tlog-proof", link.link().header().seqno.get());
                write_file(&dir.join(&self.label).join(name), proof.to_string().as_bytes())?;
            }
        }
        self.shared.journal.logged(&self.label)?;
        self.logged += logged.len() as u64;
        self.shared.bar.inc(logged.len() as u64);
        Ok(())
    }

    fn located(&self, error: ClientError, work: &Work) -> CliError {
        CliError::from(error).within(&format!("{}, up to line {}", self.label, work.upto.line))
    }
}
