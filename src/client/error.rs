//! Why a node did not give what was asked for.

use core::fmt;

use crate::keyfile::KeyFileError;
use crate::merkle::ProofError;
use crate::soul::{Next, Refusal};
use crate::tlog::{TlogError, VerifyError};
use crate::verify::Failure;
use crate::wire::Problem;

/// Why a call has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The node's address is none.
    Address(String),
    /// There is no answer: the node was not reached, or not in time.
    Transport(reqwest::Error),
    /// The node says no, and why.
    Refused(Box<Problem>),
    /// An answer with this status that does not say why.
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of what was answered.
        text: String,
    },
    /// The answer does not hold.
    False(FalseAnswer),
    /// The link would be refused by every log: it was not sent.
    Unsendable(Refusal),
    /// The agent has no key for this.
    NoKey {
        /// The role that it takes.
        role: &'static str,
    },
    /// The log does not list this key for that agent, or it is retired.
    KeyNotListed {
        /// The agent.
        agent: String,
        /// The key, hex.
        kid: String,
    },
    /// A proof that the node gave does not hold.
    Unproven(Box<Failure>),
    /// Nobody has this name or identity: the log shows that it is not there.
    Absent(String),
    /// The key is not the one that the agent's `next` commits to.
    NotRecoveryKey {
        /// The commitment of the record; none if no recovery key is set.
        committed: Option<Next>,
    },
    /// Others appended to the chain again and again.
    Overtaken,
    /// A key cannot be made or read.
    Key(KeyFileError),
}

/// What is wrong with an answer: the node is faulty, or somebody changed what it said.
#[derive(Debug)]
#[non_exhaustive]
pub enum FalseAnswer {
    /// It is not of the form that it should have.
    Form {
        /// Which part.
        what: &'static str,
        /// In what way.
        why: String,
    },
    /// It is longer than is read.
    TooLong,
    /// A checkpoint or proof is malformed.
    Tlog(TlogError),
    /// A checkpoint does not have the signatures that it needs.
    Signature(VerifyError),
    /// A path does not lead where it should.
    Path(ProofError),
    /// It is about something else than what was asked.
    Other {
        /// What is another.
        what: &'static str,
    },
}

impl ClientError {
    /// Whether it may go well later, without any change.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Refused(problem) => is_transient(problem.status),
            Self::Status { status, .. } => is_transient(*status),
            _ => false,
        }
    }

    /// Whether the node says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        let status = match self {
            Self::Refused(problem) => problem.status,
            Self::Status { status, .. } => *status,
            _ => return false,
        };
        matches!(status, 404 | 410)
    }

    /// The problem that the node reported, if it did.
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Refused(problem) = self { Some(problem) } else { None }
    }

    /// The code of the problem that the node reported, or nothing.
    pub fn code(&self) -> &str {
        self.problem().map_or("", |problem| &problem.code)
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Refused(problem) => problem.hint.clone(),
            Self::Key(error) => error.hint().into(),
            _ => self.fixed_hint().into(),
        }
    }

    fn fixed_hint(&self) -> &'static str {
        match self {
            Self::Address(_) => "give a URL such as http://127.0.0.1:8080",
            Self::Transport(_) => "is the node running, and is --node (or SOULCHAIN_NODE) its address?",
            Self::Status { .. } => "is this the address of a Soulchain node, without a proxy that answers for it?",
            Self::False(_) => "do not rely on this answer; keep it, and ask another monitor or mirror of the log",
            Self::Unsendable(_) => "change what you want to say; the formats are in formats.md §2 to §4",
            Self::NoKey { .. } => "put the agent's key file into the directory of the keys, or name another directory",
            Self::KeyNotListed { .. } => {
                "is this the right log, and is the name yours? `soulchain agent show` lists its keys; where somebody else has \
                 changed them, `soulchain agent recover` takes the agent back with its recovery key"
            }
            Self::Unproven(_) => {
                "do not rely on this answer. If the policy is sound, it lists the log's keys, the instant key for newest states"
            }
            Self::Absent(_) => "is this the right log, and is the name spelled right?",
            Self::NotRecoveryKey { committed: None } => "without one, only a live admin key can change this agent",
            Self::NotRecoveryKey { .. } => "give the file of the recovery key that was set last",
            Self::Overtaken => "let one program at a time write to a chain",
            Self::Refused(_) | Self::Key(_) => "",
        }
    }
}

/// Whether a status says that the same request may be answered later.
pub(super) const fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

impl FalseAnswer {
    pub(super) fn form(what: &'static str, why: impl fmt::Display) -> ClientError {
        ClientError::False(Self::Form { what, why: why.to_string() })
    }

    pub(super) const fn other(what: &'static str) -> ClientError {
        ClientError::False(Self::Other { what })
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(url) => write!(f, "`{url}` is not the address of a node"),
            Self::Transport(error) => write!(f, "no answer from the node: {}", innermost(error)),
            Self::Refused(problem) => write!(f, "{} ({})", problem.detail, problem.code),
            Self::Status { status, text } if text.is_empty() => write!(f, "the node answered {status}"),
            Self::Status { status, text } => write!(f, "the node answered {status}: {text}"),
            Self::False(error) => error.fmt(f),
            Self::Unsendable(refusal) => write!(f, "no log would take this link: {refusal}"),
            Self::NoKey { role } => write!(f, "this takes the agent's key of role `{role}`"),
            Self::KeyNotListed { agent, kid } => write!(f, "key {kid} is not a live key of {agent} in this log"),
            Self::Unproven(failure) => write!(f, "the node's proof does not hold: {failure}"),
            Self::Absent(who) => write!(f, "this log has no agent {who:?}"),
            Self::NotRecoveryKey { committed: None } => f.write_str("this agent has no recovery key"),
            Self::NotRecoveryKey { .. } => f.write_str("this is not the recovery key that the agent is bound to"),
            Self::Overtaken => f.write_str("others append to this chain faster than this program"),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for FalseAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { what, why } => write!(f, "the node's answer is not as it should be: {what}: {why}"),
            Self::TooLong => f.write_str("the node's answer is too long"),
            Self::Tlog(error) => write!(f, "the node's answer is not as it should be: {error}"),
            Self::Signature(error) => write!(f, "the checkpoint does not hold: {error}"),
            Self::Path(error) => write!(f, "the proof does not hold: {error}"),
            Self::Other { what } => write!(f, "the node answered with {what} other than what was asked for"),
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::False(error) => Some(error),
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for FalseAnswer {}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error)
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Unsendable(refusal)
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        Self::Unproven(Box::new(failure))
    }
}

impl From<KeyFileError> for ClientError {
    fn from(error: KeyFileError) -> Self {
        Self::Key(error)
    }
}

impl From<TlogError> for ClientError {
    fn from(error: TlogError) -> Self {
        Self::False(FalseAnswer::Tlog(error))
    }
}

impl From<VerifyError> for ClientError {
    fn from(error: VerifyError) -> Self {
        Self::False(FalseAnswer::Signature(error))
    }
}

impl From<ProofError> for ClientError {
    fn from(error: ProofError) -> Self {
        Self::False(FalseAnswer::Path(error))
    }
}
