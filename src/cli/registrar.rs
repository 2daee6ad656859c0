//! `soulchain registrar`: the offices, as links on a registrar's chain.

use clap::{Args, Subcommand};

use super::agent::{NoticeOf, Said, SayAs, Statement, standing};
use super::error::CliResult;
use super::output::Output;
use crate::client::RelyingParty;
use crate::soul::{Body, Identity, Notice, NoticeKind, Policy};

const POLICY: &str = "\
Examples:
  soulchain registrar policy --registrar registrar --registrar acme --scoring beta/1 --keys soulchain-data/keys

Replaces the policy before it whole. Without --registrar the log's own identity is the only one. Signed by the admin key
of the log's own identity, `registrar`.";

const STANDING: &str = "\
Examples:
  soulchain registrar suspend scout --reason key_compromise --keys soulchain-data/keys
  soulchain registrar unsuspend scout --keys soulchain-data/keys
  soulchain registrar verify scout --evidence <SHA-256> --keys soulchain-data/keys
  soulchain registrar revoke scout --reason privilege_withdrawn --as acme

Signed with the registrar's keys: a node keeps those of `registrar` in keys/ of its data directory. Of another registrar
of the policy: --as NAME. A `revoke` is taken back with `soulchain agent retract`.";

const DOMAIN: &str = "\
Examples:
  soulchain registrar bind scout.example.com scout --keys soulchain-data/keys
  soulchain registrar release scout.example.com scout --keys soulchain-data/keys

Bind a name only after you have seen proof that the agent controls it, and that it asked. Only a release undoes it.";

/// Subcommands of `registrar`.
#[derive(Debug, Subcommand)]
pub(super) enum RegistrarCommand {
    /// Say who the registrars are, and how agents are scored
    #[command(after_help = POLICY)]
    Policy(SayAs<PolicyArgs>),
    /// Suspend an agent
    #[command(after_help = STANDING)]
    Suspend(SayAs<NoticeOf>),
    /// Lift a suspension
    #[command(after_help = STANDING)]
    Unsuspend(SayAs<NoticeOf>),
    /// Revoke an agent
    #[command(after_help = STANDING)]
    Revoke(SayAs<NoticeOf>),
    /// Mark an agent as verified
    #[command(after_help = STANDING)]
    Verify(SayAs<NoticeOf>),
    /// Take every such mark off an agent
    #[command(after_help = STANDING)]
    Unverify(SayAs<NoticeOf>),
    /// Bind a domain name to an agent
    #[command(after_help = DOMAIN)]
    Bind(SayAs<DomainArgs>),
    /// Free a domain name
    #[command(after_help = DOMAIN)]
    Release(SayAs<DomainArgs>),
}

/// Flags of `policy`.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// A registrar, by name or identity; may be given often
    #[arg(long = "registrar", value_name = "AGENT")]
    registrars: Vec<String>,
    /// An agent that is trusted beforehand when scores are made; may be given often
    #[arg(long = "pretrust", value_name = "AGENT")]
    pretrust: Vec<String>,
    /// How agents are scored
    #[arg(long, value_parser = ["beta/1"])]
    scoring: Option<String>,
    /// Version of the rules that hold from here on
    #[arg(long, value_name = "N")]
    rules: Option<u64>,
}

/// Flags of `bind` and `release`.
#[derive(Debug, Args)]
pub(super) struct DomainArgs {
    /// The domain name
    domain: String,
    #[command(flatten)]
    of: NoticeOf,
}

pub(super) async fn run(command: RegistrarCommand, out: &Output) -> CliResult<()> {
    use RegistrarCommand as Do;
    match command {
        Do::Policy(say) => say.run(|args| args, out).await,
        Do::Suspend(say) => say.run(|of| standing(NoticeKind::Suspend, of), out).await,
        Do::Unsuspend(say) => say.run(|of| standing(NoticeKind::Unsuspend, of), out).await,
        Do::Revoke(say) => say.run(|of| standing(NoticeKind::Revoke, of), out).await,
        Do::Verify(say) => say.run(|of| standing(NoticeKind::Verified, of), out).await,
        Do::Unverify(say) => say.run(|of| standing(NoticeKind::Unverified, of), out).await,
        Do::Bind(say) => say.run(|args| Domain { kind: NoticeKind::Bind, args }, out).await,
        Do::Release(say) => say.run(|args| Domain { kind: NoticeKind::Release, args }, out).await,
    }
}

struct Domain<'a> {
    kind: NoticeKind,
    args: &'a DomainArgs,
}

impl Statement for Domain<'_> {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        let notice = self.args.of.notice(self.kind, log).await?;
        Ok(Body::Notice(Notice { name: Some(self.args.domain.clone()), ..notice }).into())
    }
}

impl Statement for &PolicyArgs {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        let policy = Policy {
            registrars: identities(log, &self.registrars).await?,
            pretrust: identities(log, &self.pretrust).await?,
            scoring: self.scoring.clone(),
            rules: self.rules,
        };
        Ok(Body::Policy(policy).into())
    }
}

async fn identities(log: &RelyingParty<'_>, names: &[String]) -> CliResult<Vec<Identity>> {
    let mut identities = Vec::with_capacity(names.len());
    for name in names {
        identities.push(log.identity(name).await?);
    }
    identities.sort();
    identities.dedup();
    Ok(identities)
}
