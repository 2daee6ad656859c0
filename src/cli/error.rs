//! How a command fails: in words, with what to do about it, and with one of five exit codes.

use core::fmt;
use std::path::Path;
use std::process::ExitCode;

use crate::client::ClientError;
use crate::keyfile::KeyFileError;

pub(super) type CliResult<T> = Result<T, CliError>;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) struct CliError {
    class: Class,
    message: String,
    hint: String,
    code: Option<String>,
}

/// What the exit code says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Failed = 1,
    Usage = 2,
    Unavailable = 3,
    Unwitnessed = 4,
}

impl CliError {
    /// A check failed, or the log said no.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Class::Failed, message.into())
    }

    /// The command cannot be carried out as it was given.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message.into())
    }

    /// Something that is needed does not answer.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Class::Unavailable, message.into())
    }

    /// It is logged, and the log's witnesses have not cosigned it yet.
    pub(super) fn unwitnessed(message: impl Into<String>) -> Self {
        Self::new(Class::Unwitnessed, message.into())
    }

    /// A file that cannot be read or written.
    pub(super) fn file(path: &Path, error: impl fmt::Display) -> Self {
        Self::usage(format!("{}: {error}", path.display())).hint("check the path and its permissions")
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Says first where it happened.
    pub(super) fn prefixed(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Another hint, after what there is.
    pub(super) fn and_hint(mut self, hint: &str) -> Self {
        self.hint = if self.hint.is_empty() { hint.into() } else { format!("{}; {hint}", self.hint) };
        self
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.class as u8)
    }

    pub(super) fn hint_text(&self) -> Option<&str> {
        Some(&*self.hint).filter(|hint| !hint.is_empty())
    }

    /// For machines: the code of the node's problem, or the class of the error.
    pub(super) fn code(&self) -> &str {
        let class = match self.class {
            Class::Failed => "failed",
            Class::Usage => "usage",
            Class::Unavailable => "unavailable",
            Class::Unwitnessed => "not_witnessed",
        };
        self.code.as_deref().unwrap_or(class)
    }

    fn new(class: Class, message: String) -> Self {
        Self { class, message, hint: String::new(), code: None }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

const HELD: &str = "nothing was appended: the chain is held, since somebody is changing this agent's keys (held)";
const HELD_HINT: &str = "if that is you, finish it with the same command as before; if not, see who: `soulchain agent log NAME --type keys`. \
    A hold ends after half a minute at most";

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let class = match &error {
            error if error.is_unavailable() => Class::Unavailable,
            ClientError::Address(_) | ClientError::NoKey { .. } | ClientError::Key(_) => Class::Usage,
            _ => Class::Failed,
        };
        let code = match &error {
            ClientError::Absent(_) => Some("unknown_identity".into()),
            _ => error.problem().map(|problem| problem.code.clone()),
        };
        if error.code() == "held" {
            return Self { code, ..Self::unavailable(HELD).hint(HELD_HINT) };
        }
        Self { class, message: error.to_string(), hint: error.hint(), code }
    }
}

impl From<KeyFileError> for CliError {
    fn from(error: KeyFileError) -> Self {
        Self::usage(error.to_string()).hint(error.hint())
    }
}
