//! Why a witness does not start.

use core::fmt;
use std::io;
use std::path::PathBuf;

use crate::keyfile::KeyFileError;
use crate::storage::StorageError;
use crate::tlog::{KeyName, TlogError, Vkey};

/// Why the state of a witness is not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A file of the state is damaged or missing, or the system refused.
    Storage(StorageError),
    /// A frame of the journal is whole, but what it says does not follow what came before.
    Journal {
        /// Number of the frame.
        frame: u64,
    },
    /// The state is that of a witness of another name.
    OtherName {
        /// That name.
        found: KeyName,
    },
    /// The state was made with another key of this type.
    OtherKey {
        /// The key that the state tells of.
        known: Box<Vkey>,
        /// The one whose file is there.
        given: Box<Vkey>,
    },
    /// The state was made with a key whose file is not there.
    MissingKey {
        /// That key.
        known: Box<Vkey>,
    },
    /// There is the file of a key that the state was not made with.
    AddedKey {
        /// That key.
        given: Box<Vkey>,
    },
    /// Another process holds the directory.
    InUse(PathBuf),
    /// A file or directory cannot be used.
    Io(PathBuf, io::Error),
    /// A key file cannot be used.
    Key(KeyFileError),
    /// The witness's name is none that its keys can bear.
    Name(TlogError),
    /// There is a state, but no key that it was made with.
    NoKeys(PathBuf),
    /// The directory, or its lock, is not what it was a moment ago.
    Replaced(PathBuf),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Journal { frame } => write!(f, "frame {frame} of the journal does not follow what came before"),
            Self::OtherName { found } => write!(f, "the state is that of the witness {found}"),
            Self::OtherKey { known, given } => write!(
                f,
                "the state is that of a witness with the key {}, and the key file has {}: {given}",
                known.id(),
                given.id()
            ),
            Self::MissingKey { known } => {
                write!(f, "the state is that of a witness with the key {}, whose file is missing: {known}", known.id())
            }
            Self::AddedKey { given } => {
                write!(f, "the state is that of a witness without the key {}: {given}", given.id())
            }
            Self::InUse(path) => write!(f, "{} is in use by another process", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Key(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::NoKeys(path) => write!(f, "{} holds no key of a witness", path.display()),
            Self::Replaced(path) => write!(f, "{} was replaced while it was opened", path.display()),
        }
    }
}

impl OpenError {
    /// What its operator can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Storage(StorageError::Damaged { .. } | StorageError::Missing { .. }) | Self::Journal { .. } => {
                "restore the whole directory only if nothing was cosigned since the copy; else this witness is over: \
                 make a new one, with new keys and another name"
            }
            Self::OtherName { .. } => "start it with that --name, or give --data another directory",
            Self::OtherKey { .. } | Self::MissingKey { .. } => {
                "restore the key files that belong to this state; keys of another witness must not sign on from it"
            }
            Self::AddedKey { .. } => "take that key file away: the keys of a witness never change",
            Self::InUse(_) => "stop the other process; two witnesses with one key would sign split views",
            Self::NoKeys(_) => "restore the key files",
            Self::Replaced(_) => "leave the directory where it is while a witness starts or runs",
            Self::Name(_) => "take a shorter name",
            Self::Storage(_) | Self::Io(..) | Self::Key(_) => "check the path, its permissions and the medium",
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<KeyFileError> for OpenError {
    fn from(error: KeyFileError) -> Self {
        Self::Key(error)
    }
}
