//! `soulchain log`: what an auditor fetches, checked before it is shown.

mod consistency;
mod info;
mod proof;

use clap::Subcommand;

use super::error::CliResult;
use super::output::Output;

/// Subcommands of `log`.
#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Origin, keys, size and published checkpoint
    Info(info::InfoArgs),
    /// Proof that an entry or a link is in the log
    Proof(proof::ProofArgs),
    /// Proof that a later log continues an earlier one
    Consistency(consistency::ConsistencyArgs),
}

pub(super) async fn run(command: LogCommand, out: &Output) -> CliResult<()> {
    match command {
        LogCommand::Info(args) => info::run(args, out).await,
        LogCommand::Proof(args) => proof::run(args, out).await,
        LogCommand::Consistency(args) => consistency::run(args, out).await,
    }
}
