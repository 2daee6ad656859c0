//! `soulchain agent`: an agent's life from a shell.

mod about;
mod act;
mod body;
mod links;
mod list;
mod profile;
mod register;
mod show;

use clap::{Args, Subcommand};

use super::args::{NodeArgs, ProofArgs};
use super::error::CliResult;
use super::key_dir::{KeyArgs, Role};
use super::output::Output;
use crate::client::{Agent, KnownLog, Logged, ProofWanted};

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
    /// List what others say of an agent, newest first
    About(about::AboutArgs),
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
        AgentCommand::About(args) => about::run(args, out).await,
        AgentCommand::Body(args) => body::run(args, out).await,
    }
}

/// Where the links of an agent go, which keys sign them, and what is kept of them.
#[derive(Debug, Args)]
pub(super) struct AppendArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    proof: ProofArgs,
}

impl AppendArgs {
    /// The agent of this name, with those of its keys.
    pub(super) async fn open(&self, name: &str, roles: &[Role], out: &Output) -> CliResult<Agent> {
        let client = self.node.client()?;
        let keys = self.keys.dir()?.agent_keys(name, roles, out).await?;
        let log = KnownLog::ask(&client).await?;
        Ok(Agent::open(&client, &log, name, keys).await?)
    }

    /// Which proof to ask for.
    pub(super) const fn wanted(&self) -> ProofWanted {
        self.proof.wanted()
    }

    /// Writes the proof of a link, where one is wanted.
    pub(super) async fn keep_proof(&self, agent: &mut Agent, logged: &Logged, out: &Output) -> CliResult<()> {
        self.proof.keep(agent, logged, out).await
    }
}
