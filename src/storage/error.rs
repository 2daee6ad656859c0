//! What can go wrong in storage, and whether its outcome on disk is known.

use std::io;

/// An error of a storage role.
#[derive(Debug)]
#[non_exhaustive]
pub enum StorageError {
    /// An operation failed and what it left behind is unknown.
    Io {
        /// What was being done.
        op: &'static str,
        /// To which name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A write found no room. Its outcome is known: what it should have written is not relied upon and is written again.
    NoSpace {
        /// To which name.
        name: String,
    },
    /// Bytes are there, but they are not what was written.
    Damaged {
        /// Where.
        name: String,
        /// At which byte.
        offset: u64,
        /// What is wrong with them.
        what: &'static str,
    },
    /// Something that must be there is not.
    Missing {
        /// What.
        name: String,
    },
    /// Another process holds the directory.
    Locked {
        /// Which.
        name: String,
    },
    /// The store of the views failed.
    Views(String),
}

impl StorageError {
    /// Wraps an error of the system.
    pub(crate) fn io(op: &'static str, name: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { name: name.to_owned() },
            // Of a sync, or of a rename, it is not known what it left behind.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if op == "write" || op == "open" => {
                Self::NoSpace { name: name.to_owned() }
            }
            _ => Self::Io { op, name: name.to_owned(), source },
        }
    }

    /// Whether what is on disk now is known, so that the operation can simply be done again.
    pub fn outcome_is_known(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}

impl std::fmt::Display for StorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { op, name, source } => write!(f, "{op} of {name} failed: {source}"),
            Self::NoSpace { name } => write!(f, "no space left while writing {name}"),
            Self::Damaged { name, offset, what } => write!(f, "{name} is damaged at byte {offset}: {what}"),
            Self::Missing { name } => write!(f, "{name} is missing"),
            Self::Locked { name } => write!(f, "{name} is in use by another process"),
            Self::Views(what) => write!(f, "view store: {what}"),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
