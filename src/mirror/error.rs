//! Errors of a mirror, by whose they are.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::audit::SourceError;
use crate::client::ClientError;
use crate::keyfile::KeyFileError;
use crate::log::{DirectoryError, ExtendError, OpenError, ReadError};
use crate::merkle::TreeSize;
use crate::storage::StorageError;
use crate::tlog::TlogError;

/// Why the mirror itself could not do what it should.
#[derive(Debug)]
#[non_exhaustive]
pub enum MirrorError {
    /// The copy did not take entries.
    Extend(ExtendError),
    /// A checkpoint of the log ends where no batch of it ends.
    EndsInsideBatch(TreeSize),
    /// The copy cannot be read.
    Read(ReadError),
    /// A checkpoint was not published.
    Storage(StorageError),
    /// A file of checkpoints.
    Notes(PathBuf, io::Error),
    /// The clock has moved by over an hour since the start: no time can be signed.
    ClockJumped,
    /// A checkpoint cannot be cosigned.
    Cosign(TlogError),
}

/// Why a round of following came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The log does not answer. The copy is served on.
    Unreachable(String),
    /// What the log shows is not what it has to show: not signed as the policy asks, smaller than before, another tree,
    /// or files that do not belong to it. The copy stays as it is.
    Refused(String),
    /// The copy cannot go on.
    Stopped(String),
}

/// Why a mirror could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum MirrorOpenError {
    /// The directory.
    Directory(DirectoryError),
    /// The log in it.
    Open(OpenError),
    /// Its key.
    Key(KeyFileError),
    /// The log does not answer; a first start needs it.
    Source(SourceError),
    /// The log's node does not answer as one.
    Client(ClientError),
    /// A file of checkpoints.
    Notes(PathBuf, io::Error),
    /// What is in the directory, and what was asked for, do not fit; in words.
    Unfit(String),
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extend(error) => error.fmt(f),
            Self::EndsInsideBatch(size) => {
                write!(f, "the log has signed a checkpoint of size {size}, which is inside one of its batches")
            }
            Self::Read(error) => error.fmt(f),
            Self::Storage(error) => error.fmt(f),
            Self::Notes(path, error) => write!(f, "{}: {error}", path.display()),
            Self::ClockJumped => f.write_str(
                "the clock has moved by over an hour: nothing is cosigned until it is back, or the mirror is started again",
            ),
            Self::Cosign(error) => write!(f, "the checkpoint cannot be cosigned: {error}"),
        }
    }
}

impl std::error::Error for MirrorError {}

impl From<ExtendError> for MirrorError {
    fn from(error: ExtendError) -> Self {
        Self::Extend(error)
    }
}

impl From<ReadError> for MirrorError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<StorageError> for MirrorError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Trouble {
    /// What it is, in words.
    pub fn text(&self) -> &str {
        match self {
            Self::Unreachable(text) | Self::Refused(text) | Self::Stopped(text) => text,
        }
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

impl From<MirrorError> for Trouble {
    fn from(error: MirrorError) -> Self {
        Self::Stopped(error.to_string())
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Stopped(error.to_string())
    }
}

impl fmt::Display for MirrorOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Key(error) => write!(f, "{error} ({})", error.hint()),
            Self::Source(error) => write!(f, "the log cannot be read, which a first start needs: {error}"),
            Self::Client(error) => write!(f, "the log does not say what it is: {error}"),
            Self::Notes(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unfit(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for MirrorOpenError {}

impl From<DirectoryError> for MirrorOpenError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl From<OpenError> for MirrorOpenError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<KeyFileError> for MirrorOpenError {
    fn from(error: KeyFileError) -> Self {
        Self::Key(error)
    }
}
