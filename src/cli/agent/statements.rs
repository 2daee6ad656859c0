//! `soulchain agent attest|receipt|feedback|notice|retract`: the flags of each, and the body that they make.

use clap::Args;

use super::statement::{Said, Statement};
use crate::cli::args::{OutcomeArg, digest, one_of};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::Role;
use crate::client::{RelyingParty, now};
use crate::soul::{
    Attest, Body, Conditions, Feedback, Identity, LinkRef, LinkType, Notice, NoticeKind, Reason, Receipt, Retract,
    Seqno, Severity,
};
use crate::verify::LinkShown;

pub(super) const ATTEST: &str = "\
Examples:
  soulchain agent attest auditor scout --capability web_search --scope 'staging only' --valid-days 90
  soulchain agent attest auditor scout --capability 'db.*' --scope prod --expires-ms 1900000000000 --require-host db1.example

That it was taken back shows only in a replay of the log: let it expire.";

pub(super) const RECEIPT: &str = "\
Examples:
  soulchain agent receipt shop scout 17 --outcome success      shop confirms scout's link 17, and how it ended

The link is looked up and checked before it is confirmed.";

pub(super) const FEEDBACK: &str = "\
Examples:
  soulchain agent feedback shop scout 85 --tag latency
  soulchain agent feedback shop scout 20 --link 17 --comment-commit <SHA-256>";

pub(super) const NOTICE: &str = "\
Examples:
  soulchain agent notice warden violation scout --severity high --blocked true
  soulchain agent notice guardian revoke scout --reason key_compromise

Domain names are bound with `soulchain registrar bind`.";

pub(super) const RETRACT: &str = "\
Examples:
  soulchain agent retract shop 23      takes back what shop said in its link 23

Receipts, feedback, attests and notices can be taken back, binds and releases cannot. A `revoke` takes the admin key.";

/// Flags of `attest`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttestArgs {
    /// Whom, by name or identity
    subject: String,
    /// What it can do; may be given often
    #[arg(long = "capability", value_name = "NAME", required = true)]
    capabilities: Vec<String>,
    /// Within which bounds
    #[arg(long, value_name = "TEXT")]
    scope: String,
    /// When it ends, Unix milliseconds
    #[arg(long, value_name = "MS", required_unless_present = "valid_days", conflicts_with = "valid_days")]
    expires_ms: Option<u64>,
    /// For how many days from now it holds
    #[arg(long, value_name = "DAYS")]
    valid_days: Option<u32>,
    /// Only for these variants of the agent; may be given often
    #[arg(long = "require-variant", value_name = "TEXT")]
    require_variants: Vec<String>,
    /// Only on these hosts; may be given often
    #[arg(long = "require-host", value_name = "TEXT")]
    require_hosts: Vec<String>,
    /// Not on these hosts; may be given often
    #[arg(long = "exclude-host", value_name = "TEXT")]
    exclude_hosts: Vec<String>,
    /// SHA-256 of what it rests on
    #[arg(long, value_name = "HEX", value_parser = digest)]
    evidence: Option<[u8; 32]>,
}

/// Flags of `receipt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReceiptArgs {
    /// Whose action, by name or identity
    subject: String,
    /// The action's place in its chain
    seqno: u64,
    /// How it ended, as the signer saw it
    #[arg(long, value_enum, default_value = "none")]
    outcome: OutcomeArg,
}

/// Flags of `feedback`.
#[derive(Debug, Args)]
pub(in crate::cli) struct FeedbackArgs {
    /// About whom, by name or identity
    subject: String,
    /// 0 (bad) to 100 (good)
    #[arg(value_parser = clap::value_parser!(u64).range(..=100))]
    value: u64,
    /// In which respect
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// About this action of the subject
    #[arg(long, value_name = "SEQNO")]
    link: Option<u64>,
    /// Commitment to a comment that is kept elsewhere
    #[arg(long, value_name = "HEX", value_parser = digest)]
    comment_commit: Option<[u8; 32]>,
}

/// Flags of `notice`.
#[derive(Debug, Args)]
pub(in crate::cli) struct NoticeArgs {
    /// What it says
    #[arg(value_parser = one_of(KINDS, NoticeKind::from_name))]
    kind: NoticeKind,
    #[command(flatten)]
    of: NoticeOf,
    /// Of a violation
    #[arg(long, value_parser = one_of(Severity::NAMES, Severity::from_name), required_if_eq("kind", "violation"))]
    severity: Option<Severity>,
    /// Of a violation: whether the action was stopped
    #[arg(long, value_name = "BOOL")]
    blocked: Option<bool>,
}

/// Kinds that are not about domain names.
const KINDS: &[&str] = &["suspend", "unsuspend", "revoke", "violation", "verified", "unverified"];

/// What every notice has.
#[derive(Debug, Args)]
pub(in crate::cli) struct NoticeOf {
    /// About whom, by name or identity
    subject: String,
    /// Why
    #[arg(long, value_parser = one_of(Reason::NAMES, Reason::from_name))]
    reason: Option<Reason>,
    /// SHA-256 of what it rests on
    #[arg(long, value_name = "HEX", value_parser = digest)]
    evidence: Option<[u8; 32]>,
}

/// Flags of `retract`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RetractArgs {
    /// Place of the statement in the chain of the agent that takes it back
    seqno: u64,
}

impl Statement for AttestArgs {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let from_now = |days: u32| now().get() + u64::from(days) * DAY_MS;
        let conditions = Conditions {
            require_variants: sorted(&self.require_variants),
            require_hosts: sorted(&self.require_hosts),
            exclude_hosts: sorted(&self.exclude_hosts),
        };
        let attest = Attest {
            subject: log.identity(&self.subject).await?,
            capabilities: sorted(&self.capabilities),
            scope: self.scope.clone(),
            expires_ms: self.expires_ms.or(self.valid_days.map(from_now)).expect("the parser wants one of them"),
            conditions: Some(conditions).filter(|conditions| *conditions != Conditions::default()),
            evidence: self.evidence,
        };
        Ok(Body::Attest(attest).into())
    }
}

impl Statement for ReceiptArgs {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        let subject = log.identity(&self.subject).await?;
        let link = action(log, &subject, self.seqno).await?;
        Ok(Said { outcome: self.outcome.into(), ..Body::Receipt(Receipt { subject, link }).into() })
    }
}

impl Statement for FeedbackArgs {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        let subject = log.identity(&self.subject).await?;
        let link = match self.link {
            Some(seqno) => Some(action(log, &subject, seqno).await?),
            None => None,
        };
        let (value, tag, comment_commit) = (self.value, self.tag.clone(), self.comment_commit);
        Ok(Body::Feedback(Feedback { subject, value, tag, link, comment_commit }).into())
    }
}

impl Statement for NoticeArgs {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        let notice = self.of.notice(self.kind, log).await?;
        let notice = Notice { severity: self.severity, blocked: self.blocked, ..notice };
        Ok(Body::Notice(notice).into())
    }
}

impl Statement for RetractArgs {
    async fn said(&self, issuer: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        let identity = log.identity(issuer).await?;
        let shown = log.link(&identity, Seqno::new(self.seqno)).await?;
        let said = shown.body.as_deref().and_then(|body| Body::parse(shown.header.link_type, Some(body)).ok());
        let role = match said {
            Some(Body::Notice(Notice { kind: NoticeKind::Bind | NoticeKind::Release, .. })) => {
                return Err(CliError::failed("a bind or release cannot be taken back")
                    .hint("a bound name is freed with `soulchain registrar release`"));
            }
            Some(Body::Notice(Notice { kind: NoticeKind::Revoke, .. })) => Role::Admin,
            _ => Role::Act,
        };
        Ok(Said { role, ..Body::Retract(Retract { link: LinkRef::from(&shown) }).into() })
    }
}

/// A notice of this kind, with the fields that all have.
pub(in crate::cli) const fn standing(kind: NoticeKind, of: &NoticeOf) -> impl Statement {
    Standing { kind, of }
}

struct Standing<'a> {
    kind: NoticeKind,
    of: &'a NoticeOf,
}

impl Statement for Standing<'_> {
    async fn said(&self, _: &str, log: &RelyingParty<'_>) -> CliResult<Said> {
        Ok(Body::Notice(self.of.notice(self.kind, log).await?).into())
    }
}

impl NoticeOf {
    /// The notice, without what only some kinds have.
    pub(in crate::cli) async fn notice(&self, kind: NoticeKind, log: &RelyingParty<'_>) -> CliResult<Notice> {
        let subject = log.identity(&self.subject).await?;
        let (reason, evidence) = (self.reason, self.evidence);
        Ok(Notice { subject, kind, severity: None, blocked: None, reason, name: None, evidence })
    }
}

/// An action of an identity, proven to be logged there.
async fn action(log: &RelyingParty<'_>, identity: &Identity, seqno: u64) -> CliResult<LinkRef> {
    let LinkShown { header, curr, .. } = log.link(identity, Seqno::new(seqno)).await?;
    if header.link_type != LinkType::Action {
        return Err(CliError::failed(format!("link {seqno} of {identity} is no action, but a {}", header.link_type))
            .hint("`soulchain agent log AGENT --type action` lists its actions"));
    }
    Ok(LinkRef { curr, seqno: header.seqno })
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort();
    texts.dedup();
    texts
}
