//! Whose word a check rests on: a policy from elsewhere, or the node's own.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{NodeArgs, read_file, write_file};
use super::error::{CliError, CliResult};
use super::output::Output;
use crate::audit::{DirSource, HttpSource, Source};
use crate::client::{Client, KnownLog, RelyingParty};
use crate::tlog::{Origin, Policy, SignedCheckpoint};
use crate::wire::LogView;

/// Which policy.
#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// C2SP policy file to judge by; without it, only that the node's answers fit together is shown
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
}

/// By whose key a log is judged that no node is asked about.
#[derive(Debug, Args)]
pub(super) struct LogKeyArgs {
    /// C2SP policy file: the log's key, and the witnesses whose quorum its checkpoints have to meet
    #[arg(long, value_name = "FILE", conflicts_with = "vkey")]
    pub(super) policy: Option<PathBuf>,
    /// The log's verifier key, where there is no policy
    #[arg(long, value_name = "VKEY")]
    pub(super) vkey: Option<String>,
    /// Which log, where the policy has several
    #[arg(long, value_name = "NAME")]
    pub(super) origin: Option<String>,
}

/// A log, and the policy that its checkpoints are held against.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) view: LogView,
    pub(super) log: KnownLog,
    pub(super) policy: Policy,
    given: bool,
}

/// Which node is asked for a proof, what it is judged by, and where it is kept.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    node: NodeArgs,
}

impl AskArgs {
    pub(super) async fn log(&self) -> CliResult<(Client, Trust)> {
        let client = self.node.client()?;
        let trust = Trust::establish(&client, &self.trust).await?;
        Ok((client, trust))
    }

    /// Writes the proof, where it is wanted.
    pub(super) fn keep(&self, proof: &[u8], out: &Output) -> CliResult<()> {
        let Some(path) = &self.out else { return Ok(()) };
        write_file(path, proof)?;
        out.note(format_args!("proof written to {}", path.display()));
        Ok(())
    }
}

/// What to do about a proof of a node that does not hold.
pub(super) const UNPROVEN_HINT: &str =
    "a proof under the instant key asks for a policy that lists that key, or for a little patience";

impl Trust {
    /// Asks the node who it is, and holds that against the policy, where one is given.
    pub(super) async fn establish(client: &Client, args: &TrustArgs) -> CliResult<Self> {
        let view = client.log().await?;
        let log = KnownLog::named_by(&view)?;
        let (policy, given) = match &args.policy {
            Some(path) => (read_policy(path)?, true),
            None => (own_word(&view)?, false),
        };
        if !log.is_in(&policy) {
            return Err(CliError::failed(format!(
                "the log key that the node names for {} is not in the policy",
                view.origin
            ))
            .hint("this node is not the log that the policy means, or the policy is out of date"));
        }
        Ok(Self { view, log, policy, given })
    }

    /// Reads a checkpoint that meets the policy.
    pub(super) fn check(&self, note: &str) -> CliResult<SignedCheckpoint> {
        let checkpoint = self.log.check(note)?;
        let met = self.policy.verify_checkpoint(&checkpoint);
        met.map_err(|error| CliError::failed(format!("the checkpoint does not meet the policy: {error}")))?;
        Ok(checkpoint)
    }

    /// The policy that asks for witnesses: the one that was given, else the one that the node shows; `None` where neither
    /// asks for any.
    pub(super) fn witnessed_policy(&self) -> CliResult<Option<Policy>> {
        if !self.policy.quorum().is_none() {
            return Ok(Some(self.policy.clone()));
        }
        let shown = Policy::parse(self.view.policy.as_bytes());
        let shown = shown.map_err(|error| CliError::failed(format!("the policy that the node shows: {error}")))?;
        Ok(Some(shown).filter(|policy| !policy.quorum().is_none()))
    }

    /// Asks this node, and believes the policy.
    pub(super) fn relying<'a>(&'a self, client: &'a Client, max_age_seconds: Option<u64>) -> RelyingParty<'a> {
        RelyingParty { client, policy: &self.policy, origin: self.log.origin().as_str(), max_age_seconds }
    }

    /// What the checks rest on, in words.
    pub(super) const fn rests_on(&self) -> &'static str {
        if self.given { "the policy given" } else { "keys that the node itself names (give --policy for more)" }
    }

    /// What the checks rest on, for machines.
    pub(super) const fn source(&self) -> &'static str {
        if self.given { "policy" } else { "node" }
    }
}

/// Reads a policy file.
pub(super) fn read_policy(path: &Path) -> CliResult<Policy> {
    let policy = Policy::parse(&read_file(path)?);
    policy.map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
}

/// The policy that is named by a file, or by the one key that is believed; `None` where neither is.
pub(super) fn named_policy(policy: Option<&Path>, vkey: Option<&str>) -> CliResult<Option<Policy>> {
    policy.map(read_policy).or_else(|| vkey.map(policy_of)).transpose()
}

/// A policy that believes one key of a log.
pub(super) fn policy_of(vkey: &str) -> CliResult<Policy> {
    let policy = Policy::parse(format!("log {vkey}\nquorum none\n").as_bytes());
    policy.map_err(|error| CliError::usage(format!("--vkey: {error}")))
}

/// The log that a policy means.
pub(super) fn origin(policy: &Policy, asked: Option<&str>) -> CliResult<Origin> {
    let mut origins: Vec<&str> = policy.logs().iter().map(|log| log.verifier().vkey().name().as_str()).collect();
    origins.sort_unstable();
    origins.dedup();
    let origin = match (asked, &origins[..]) {
        (Some(asked), _) if origins.contains(&asked) => asked,
        (Some(asked), _) => return Err(CliError::usage(format!("the policy has no key of the log {asked}"))),
        (None, [only]) => only,
        (None, []) => return Err(CliError::usage("the policy has no log")),
        (None, _) => return Err(CliError::usage("the policy has several logs: say which with --origin")),
    };
    Origin::parse(origin).map_err(|error| CliError::usage(format!("{origin}: {error}")))
}

/// A log behind a URL, or in a directory.
pub(super) fn source_of(log: &str) -> CliResult<Box<dyn Source>> {
    if log.contains("://") {
        let source = HttpSource::new(log);
        return Ok(Box::new(source.map_err(|error| CliError::usage(error.to_string()))?));
    }
    let path = Path::new(log);
    if !path.is_dir() {
        return Err(
            CliError::usage(format!("{log}: no directory, and no URL")).hint("a URL begins with http:// or https://")
        );
    }
    Ok(Box::new(DirSource::new(path)))
}

/// A policy that believes the keys that a node names for itself, and asks for no witness.
fn own_word(view: &LogView) -> CliResult<Policy> {
    let text = format!("log {}\nlog {}\nquorum none\n", view.log_vkey, view.instant_vkey);
    Policy::parse(text.as_bytes()).map_err(|error| CliError::failed(format!("the node's keys: {error}")))
}
