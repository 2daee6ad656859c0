//! `soulchain serve`: a node.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, CliResult};
use super::output::Output;

const EXAMPLES: &str = "\
Examples:
  soulchain serve
  soulchain serve --data /var/lib/soulchain --listen 0.0.0.0:8080 --origin log.example/agents
  soulchain serve --config soulchain.toml --check";

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// Directory of the log
    #[arg(long, value_name = "DIR", env = "SOULCHAIN_DATA")]
    pub(super) data: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", env = "SOULCHAIN_LISTEN")]
    pub(super) listen: Option<SocketAddr>,
    /// Name of a new log
    #[arg(long, value_name = "NAME", env = "SOULCHAIN_ORIGIN")]
    pub(super) origin: Option<String>,
    /// C2SP policy file with the log's witnesses
    #[arg(long, value_name = "FILE", env = "SOULCHAIN_POLICY")]
    pub(super) policy: Option<PathBuf>,
    /// Settings file
    #[arg(long, value_name = "FILE", env = "SOULCHAIN_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Check the settings and stop
    #[arg(long)]
    pub(super) check: bool,
    /// The operator has made sure that nothing later than this copy exists
    #[arg(long)]
    pub(super) confirm_newest: bool,
}

/// Runs a node.
pub(super) fn run(_args: ServeArgs, _out: &Output) -> CliResult<()> {
    Err(CliError::unavailable("this build has no node"))
}
