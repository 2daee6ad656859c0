//! Errors of the engine, and whose business they are.

use crate::merkle::{LeafIndex, TreeSize};
use crate::storage::StorageError;

/// Why a group was not appended.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubmitError<R> {
    /// The machine's rules forbid it. The log is unchanged by it.
    Refused(R),
    /// The pool is full. Nothing was queued.
    Overloaded,
    /// There is too little room on disk. Nothing was appended.
    NoSpace,
    /// The group is larger than any batch may be.
    TooLarge,
    /// The system clock jumped against the monotonic one: no time can be claimed until the system clock is back, or an operator restarts the node.
    ClockJumped,
    /// It is not yet known whether a later log of this origin exists: only reads are served. Nothing was queued.
    Held,
    /// The engine has latched after an error whose outcome on disk is unknown. If the group was submitted before, it
    /// may have been appended: submitting it again after the next opening tells.
    Latched {
        /// Whether this very group may be in the log.
        may_be_logged: bool,
    },
    /// The engine is shutting down, or the directory is open for reads only.
    Closed,
}

/// Why something could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The log is not that large.
    PastEnd,
    /// No checkpoint that anybody signed covers it yet: so in a log that follows another and signs nothing.
    NotPublished,
    /// What was asked for makes no sense: a size before an index, an old size above the new one.
    NoSuchProof,
    /// What is on disk does not belong to this tree. Nothing of it left this process.
    Damaged {
        /// Which file.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Storage failed.
    Storage(StorageError),
}

/// Why a log could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Storage failed, or holds damaged bytes.
    Storage(StorageError),
    /// The manifest is damaged.
    Manifest,
    /// The directory was written by an older version, with another layout of what is derived.
    OlderLayout,
    /// What is on disk contradicts itself.
    Inconsistent {
        /// What.
        what: String,
    },
    /// The published checkpoint is not of this log: it is larger, or has another root.
    PublishedNotHere {
        /// Its size.
        published: TreeSize,
        /// What was recovered.
        recovered: TreeSize,
    },
    /// An entry does not fit the rules of the machine.
    Replay {
        /// Which.
        index: LeafIndex,
        /// What is wrong.
        what: String,
    },
    /// The directory is a copy made by `backup`.
    IsCopy,
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Damaged { name, what, .. } => Self::Damaged { name, what },
            StorageError::Missing { name } => Self::Damaged { name, what: "it is missing" },
            error => Self::Storage(error),
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => Self::Storage(error),
            error => Self::Inconsistent { what: error.to_string() },
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PastEnd => f.write_str("the log is not that large"),
            Self::NotPublished => f.write_str("no published checkpoint covers it yet"),
            Self::NoSuchProof => f.write_str("there is no such proof"),
            Self::Damaged { name, what } => write!(f, "{name} is damaged: {what}"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const RESTORE: &str = "nothing was changed; `soulchain fsck` tells what is left, or restore a backup";
        match self {
            Self::Storage(error @ (StorageError::Damaged { .. } | StorageError::Missing { .. })) => {
                write!(f, "{error}; {RESTORE}")
            }
            Self::Storage(error) => error.fmt(f),
            Self::Manifest => write!(f, "the manifest is damaged; {RESTORE}"),
            Self::OlderLayout => f.write_str(
                "this directory was written by an older version, whose chain.idx has shorter rows: it was not opened, \
                 nothing was changed. `soulchain fsck --repair` makes chain.idx anew from the entries",
            ),
            Self::Inconsistent { what } => write!(f, "{what}; {RESTORE}"),
            Self::PublishedNotHere { published, recovered } => write!(
                f,
                "a checkpoint of size {published} was published, and this directory holds a log of size {recovered} that \
                 does not contain it: going on would fork the log. Was an older copy restored? Find the newest one"
            ),
            Self::Replay { index, what } => write!(f, "entry {index} breaks the rules of this log: {what}; {RESTORE}"),
            Self::IsCopy => f.write_str(
                "this directory is a copy made by `soulchain backup`, and a later state of \
                 the log may exist: it was not opened. Start it with --confirm-newest once you know that nothing later exists",
            ),
        }
    }
}

impl std::error::Error for OpenError {}
