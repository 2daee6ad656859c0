//! `soulchain agent`: an agent's life from a shell.

mod act;
mod body;
mod links;
mod list;
mod profile;
mod register;
mod show;

use clap::Subcommand;

use super::args::{NodeArgs, ProofArgs, write_file};
use super::error::CliResult;
use super::key_dir::{KeyArgs, Role};
use super::output::Output;
use crate::client::{Agent, Client, KnownLog, Logged};

pub(super) use self::register::ensure_registered;

/// Subcommands of `agent`.
#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Make keys and register an agent
    Register(register::RegisterArgs),
    /// Append an action
    Act(act::ActArgs),
    /// Replace an agent's profile
    Profile(profile::ProfileCommand),
    /// Show an agent as the node knows it
    Show(show::ShowArgs),
    /// List the directory
    List(list::ListArgs),
    /// List the links of an agent, newest first
    Log(links::LogArgs),
    /// Fetch a body that is kept beside the log, with a key of the agent
    Body(body::BodyArgs),
}

pub(super) async fn run(command: AgentCommand, out: &Output) -> CliResult<()> {
    match command {
        AgentCommand::Register(args) => register::run(args, out).await,
        AgentCommand::Act(args) => act::run(args, out).await,
        AgentCommand::Profile(args) => profile::run(args, out).await,
        AgentCommand::Show(args) => show::run(args, out).await,
        AgentCommand::List(args) => list::run(args, out).await,
        AgentCommand::Log(args) => links::run(args, out).await,
        AgentCommand::Body(args) => body::run(args, out).await,
    }
}

/// An agent of the log, with those of its keys.
pub(super) async fn open(
    node: &NodeArgs,
    keys: &KeyArgs,
    name: &str,
    roles: &[Role],
    out: &Output,
) -> CliResult<(Client, KnownLog, Agent)> {
    let client = node.client()?;
    let keys = keys.dir()?.agent_keys(name, roles, out).await?;
    let log = KnownLog::ask(&client).await?;
    let agent = Agent::open(&client, &log, name, keys).await?;
    Ok((client, log, agent))
}

/// Writes the proof of a link, where one is wanted.
pub(super) async fn keep_proof(agent: &mut Agent, logged: &Logged, args: &ProofArgs, out: &Output) -> CliResult<()> {
    let Some(path) = &args.proof else { return Ok(()) };
    let proof = agent.proof(logged, !args.undisclosed).await?;
    write_file(path, proof.to_string().as_bytes())?;
    out.note(format_args!("proof written to {}", path.display()));
    Ok(())
}
