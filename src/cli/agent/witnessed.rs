//! Waiting for the witnesses of a key event that ends an agent or takes it back: it is done when they have seen it.
//!
//! Until then the log alone says that it is logged, and could show another chain to others.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::cli::error::{CliError, CliResult};
use crate::client::{Agent, Logged, ProofWanted, SignedLink};
use crate::tlog::{Policy, TlogProof};

/// Seconds that are waited if nothing else is said.
const WAIT_SECONDS: u64 = 60;
/// And at most.
const MAX_WAIT_SECONDS: u64 = 86_400;
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait: part of the flags of every key event, since each may bring an earlier one to its end.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct WitnessArgs {
    /// Seconds that a recovery or a revocation waits for the log's witnesses, where it has any; the same command goes on
    /// waiting
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS,
        value_parser = clap::value_parser!(u64).range(..=MAX_WAIT_SECONDS))]
    witness_wait: u64,
}

/// The witnesses of a log, and how long they are waited for.
#[derive(Debug)]
pub(super) struct Witnesses {
    policy: Policy,
    wait: Duration,
}

impl WitnessArgs {
    /// With the policy that asks for witnesses, where there is one.
    pub(super) fn of(self, policy: Option<Policy>) -> Option<Witnesses> {
        Some(Witnesses { policy: policy?, wait: Duration::from_secs(self.witness_wait) })
    }
}

impl Witnesses {
    /// Whether they have cosigned what this proof rests on.
    pub(super) fn bear_out(&self, proof: &[u8]) -> CliResult<()> {
        let proof = TlogProof::parse(proof).map_err(|error| CliError::failed(error.to_string()))?;
        if self.policy.verify_checkpoint(proof.checkpoint()).is_ok() {
            return Ok(());
        }
        Err(CliError::unwitnessed(
            "the record shows it, by the log's own word: its witnesses have not cosigned that yet",
        )
        .hint("what was begun is kept: give the same command again; with --policy it waits for their cosignatures"))
    }

    /// The same event under a checkpoint that meets the policy.
    pub(super) async fn confirm(&self, agent: &mut Agent, link: &SignedLink, logged: Logged) -> CliResult<Logged> {
        let deadline = Instant::now() + self.wait;
        let mut newest = logged;
        let mut why = "they did not cosign in time".to_owned();
        loop {
            if self.policy.verify_checkpoint(newest.checkpoint()).is_ok() {
                return Ok(newest);
            }
            // The node itself waits for a while before it answers.
            let asked = timeout_at(deadline, agent.send(vec![link.clone()], ProofWanted::Witnessed)).await;
            match asked {
                Ok(Ok(again)) => newest = the_same_place(again, &newest)?,
                Ok(Err(error)) if error.is_unavailable() => why = error.to_string(),
                Ok(Err(error)) if error.problem().is_some() => return Err(not_yet(&newest, &error.to_string())),
                // An answer that does not hold is no matter of waiting.
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(not_yet(&newest, &why)),
            }
            if self.policy.verify_checkpoint(newest.checkpoint()).is_err() {
                sleep_until(deadline.min(Instant::now() + PAUSE)).await;
            }
        }
    }
}

/// The newer answer, which has to be of the same entry.
fn the_same_place(again: Vec<Logged>, before: &Logged) -> CliResult<Logged> {
    let again = again.into_iter().next().filter(|again| again.index() == before.index());
    again.ok_or_else(|| {
        let message = format!("the node named entry {} first, and another one for the same link now", before.index());
        CliError::failed(message).hint("keep both answers: a log that does this shows different trees")
    })
}

fn not_yet(logged: &Logged, why: &str) -> CliError {
    let message = format!(
        "logged as entry {}, not yet witnessed: so far this is the log's own word, and it is not done before its \
         witnesses have cosigned ({why})",
        logged.index()
    );
    CliError::unwitnessed(message).hint(
        "what was begun is kept: the same command goes on waiting. --witness-wait says how long; the node's `/readyz` says \
         which witness is in trouble",
    )
}
