//! How every statement about another gets into the log: looked up, signed, appended, proven.

use clap::Args;

use super::AppendArgs;
use crate::cli::args::{logged_json, tell_logged};
use crate::cli::error::CliResult;
use crate::cli::key_dir::Role;
use crate::cli::output::Output;
use crate::client::{RelyingParty, now};
use crate::soul::{Body, Outcome, SignerRole};

/// What one identity says of another; its flags are the fields of the body (formats.md §4).
pub(in crate::cli) trait Statement {
    /// What goes into the link. What it refers to is looked up, and believed as far as it is proven.
    async fn said(&self, issuer: &str, log: &RelyingParty<'_>) -> CliResult<Said>;
}

/// What goes into the link of a statement.
pub(in crate::cli) struct Said {
    pub(in crate::cli) body: Body,
    /// Of a receipt.
    pub(in crate::cli) outcome: Outcome,
    /// Which key signs.
    pub(in crate::cli) role: Role,
}

impl From<Body> for Said {
    fn from(body: Body) -> Self {
        let role = if body.signer_role() == SignerRole::Admin { Role::Admin } else { Role::Act };
        Self { body, outcome: Outcome::None, role }
    }
}

/// A statement of an agent.
#[derive(Debug, Args)]
pub(in crate::cli) struct Say<S: Args> {
    /// The agent that says it
    name: String,
    #[command(flatten)]
    statement: S,
    #[command(flatten)]
    append: AppendArgs,
}

/// A statement of a registrar.
#[derive(Debug, Args)]
pub(in crate::cli) struct SayAs<S: Args> {
    /// The registrar that says it
    #[arg(long = "as", value_name = "NAME", default_value = "registrar")]
    name: String,
    #[command(flatten)]
    statement: S,
    #[command(flatten)]
    append: AppendArgs,
}

impl<S: Args + Statement> Say<S> {
    pub(super) async fn run(&self, out: &Output) -> CliResult<()> {
        say(&self.name, &self.statement, &self.append, out).await
    }
}

impl<S: Args> SayAs<S> {
    /// Says what is made of the flags.
    pub(in crate::cli) async fn run<'s, T: Statement>(
        &'s self,
        statement: impl FnOnce(&'s S) -> T,
        out: &Output,
    ) -> CliResult<()> {
        say(&self.name, &statement(&self.statement), &self.append, out).await
    }
}

async fn say(name: &str, statement: &impl Statement, append: &AppendArgs, out: &Output) -> CliResult<()> {
    let (client, trust) = append.log().await?;
    let Said { body, outcome, role } = statement.said(name, &trust.relying(&client, None)).await?;
    let keys = append.keys.dir()?.agent_keys(name, &[role], out).await?;
    let mut agent = append.open_with(&client, &trust, name, keys).await?;
    let logged = agent.say(&body, outcome, append.wanted(), now()).await?;
    let what = match &body {
        Body::Notice(notice) => format!("notice `{}` of {name}", notice.kind),
        _ => format!("{} of {name}", body.link_type()),
    };
    out.result(&logged_json(&logged), |out| tell_logged(out, &what, &logged));
    append.keep_proof(&mut agent, &logged, out).await
}
