//! `soulchain agent`: an agent's life from a shell.

mod about;
mod act;
mod body;
mod erase;
mod key_change;
mod key_files;
mod links;
mod list;
mod pending;
mod profile;
mod recover;
mod register;
mod revoke;
mod rotate;
mod show;
mod statement;
mod statements;
mod witnessed;

use clap::{Args, Subcommand};

use super::args::{NodeArgs, ProofArgs};
use super::error::{CliError, CliResult};
use super::key_dir::{KeyArgs, Role};
use super::output::Output;
use super::trust::{Trust, TrustArgs};
use crate::client::{Agent, AgentKeys, Client, ClientError, Logged, ProofWanted};

pub(super) use self::register::{Founders, ensure_registered};
pub(super) use self::statement::{Said, Say, SayAs, Statement};
pub(super) use self::statements::{NoticeOf, standing};

/// Subcommands of `agent`.
#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Make keys and register an agent
    Register(register::RegisterArgs),
    /// Append an action
    Act(act::ActArgs),
    /// Replace an agent's profile
    Profile(profile::ProfileCommand),
    /// Replace keys of an agent
    #[command(after_help = rotate::EXAMPLES)]
    Rotate(rotate::RotateArgs),
    /// Take an agent back with its recovery key
    #[command(after_help = recover::EXAMPLES)]
    Recover(recover::RecoverArgs),
    /// End an agent
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::RevokeArgs),
    /// Vouch for capabilities of another
    #[command(after_help = statements::ATTEST)]
    Attest(Say<statements::AttestArgs>),
    /// Confirm an action of another
    #[command(after_help = statements::RECEIPT)]
    Receipt(Say<statements::ReceiptArgs>),
    /// Rate another, or one of its actions
    #[command(after_help = statements::FEEDBACK)]
    Feedback(Say<statements::FeedbackArgs>),
    /// Say something of standing about another: violations by anyone, the rest by registrars and guardians
    #[command(after_help = statements::NOTICE)]
    Notice(Say<statements::NoticeArgs>),
    /// Take an own statement back
    #[command(after_help = statements::RETRACT)]
    Retract(Say<statements::RetractArgs>),
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
    /// Erase a body that is kept beside the log, for good
    Erase(erase::EraseArgs),
}

pub(super) async fn run(command: AgentCommand, out: &Output) -> CliResult<()> {
    match command {
        AgentCommand::Register(args) => register::run(args, out).await,
        AgentCommand::Act(args) => act::run(args, out).await,
        AgentCommand::Profile(args) => profile::run(args, out).await,
        AgentCommand::Rotate(args) => rotate::run(args, out).await,
        AgentCommand::Recover(args) => recover::run(args, out).await,
        AgentCommand::Revoke(args) => revoke::run(args, out).await,
        AgentCommand::Attest(say) => say.run(out).await,
        AgentCommand::Receipt(say) => say.run(out).await,
        AgentCommand::Feedback(say) => say.run(out).await,
        AgentCommand::Notice(say) => say.run(out).await,
        AgentCommand::Retract(say) => say.run(out).await,
        AgentCommand::Show(args) => show::run(args, out).await,
        AgentCommand::List(args) => list::run(args, out).await,
        AgentCommand::Log(args) => links::run(args, out).await,
        AgentCommand::About(args) => about::run(args, out).await,
        AgentCommand::Body(args) => body::run(args, out).await,
        AgentCommand::Erase(args) => erase::run(args, out).await,
    }
}

/// Where the links of an agent go, which keys sign them, and what is kept of them.
#[derive(Debug, Args)]
pub(super) struct AppendArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    proof: ProofArgs,
}

impl AppendArgs {
    /// The log, held against the policy.
    async fn log(&self) -> CliResult<(Client, Trust)> {
        let client = self.node.client()?;
        let trust = Trust::establish(&client, &self.trust).await?;
        Ok((client, trust))
    }

    /// The agent of this name, with those of its keys.
    pub(super) async fn open(&self, name: &str, roles: &[Role], out: &Output) -> CliResult<Agent> {
        let keys = self.keys.dir()?.agent_keys(name, roles, out).await?;
        let (client, trust) = self.log().await?;
        self.open_with(&client, &trust, name, keys).await
    }

    async fn open_with(&self, client: &Client, trust: &Trust, name: &str, keys: AgentKeys) -> CliResult<Agent> {
        match Agent::open(client, &trust.log, name, keys).await {
            Err(error @ ClientError::KeyNotListed { .. }) => {
                let begun = self.keys.dir()?.pending_path(name)?.exists();
                let error = CliError::from(error);
                Err(if begun { error.and_hint("a change of its keys was begun here: finish it first") } else { error })
            }
            opened => Ok(opened?),
        }
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
