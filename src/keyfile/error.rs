//! Why a key file is refused, and what to do about it.

use core::fmt;
use std::io;
use std::path::PathBuf;

use super::alg::KeyAlg;
use super::members::VERSION;

/// Why a key cannot be read, made or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file of that name already; it is left as it is.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file does not give a key.
    Refused {
        /// The file.
        path: PathBuf,
        /// Why not.
        fault: KeyFileFault,
    },
    /// A passphrase of no characters protects nothing.
    EmptyPassphrase,
    /// The 64 MiB that deriving a key takes are not to be had.
    OutOfMemory,
    /// The system gives no random bytes.
    NoRandomness(getrandom::Error),
}

/// What is wrong with a key file, or with the passphrase for it. Nothing of what the file holds is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyFileFault {
    /// It is longer than [`super::MAX_KEY_FILE_LEN`].
    TooLong,
    /// It is not the JSON object that it should be: malformed, or a member is unknown, missing or there twice.
    Json {
        /// The line of the fault, from 1.
        line: usize,
        /// The column of the fault, from 1.
        column: usize,
    },
    /// It is of another version.
    Version {
        /// The version that it says.
        v: u64,
    },
    /// A member does not have a value that it may have.
    Member {
        /// Its name.
        name: &'static str,
    },
    /// It holds a key of another algorithm than is wanted here.
    Algorithm {
        /// The algorithm that it says.
        alg: KeyAlg,
    },
    /// It has members of both forms, or not all of one.
    Form,
    /// Its kid is not that of its public key.
    Kid,
    /// Its public key is not that of its seed.
    PublicKey,
    /// It is encrypted and no passphrase is given.
    PassphraseNeeded,
    /// The passphrase is another than the one that it was written with, or the file was changed since.
    WrongPassphrase,
}

impl KeyFileError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the name of the key and the directory of the keys, or make a key",
                io::ErrorKind::PermissionDenied => "a key file belongs to the user who uses it",
                _ => "check the disk and the directory of the keys",
            },
            Self::Exists { .. } => "choose another name, or move the old key away: it may be the only copy",
            Self::Refused { fault, .. } => fault.hint(),
            Self::EmptyPassphrase => "give a passphrase, or ask for an unencrypted key file",
            Self::OutOfMemory => "reading or writing an encrypted key takes 64 MiB of memory for a moment",
            Self::NoRandomness(_) => "keys cannot be made on a system without randomness",
        }
    }
}

impl KeyFileFault {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLong | Self::Json { .. } | Self::Form | Self::Member { .. } => {
                "this is no key file, or it was changed: restore it from a backup"
            }
            Self::Algorithm { .. } => "name a key file of the other kind, or make one with `keygen --type`",
            Self::Version { .. } => "use the version of the program that wrote it, or a newer one",
            Self::Kid | Self::PublicKey => "do not use this file: it was damaged, or somebody put another key into it",
            Self::PassphraseNeeded => "give the passphrase that the key was written with",
            Self::WrongPassphrase => "try the passphrase again; if it is right, the file was changed: restore it",
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Exists { path } => write!(f, "{} exists and is not overwritten", path.display()),
            Self::Refused { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::EmptyPassphrase => f.write_str("the passphrase is empty"),
            Self::OutOfMemory => f.write_str("not enough memory to derive a key from the passphrase"),
            Self::NoRandomness(error) => write!(f, "no random bytes: {error}"),
        }
    }
}

impl fmt::Display for KeyFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json { line, column } => {
                return write!(f, "not the JSON of a key file (line {line}, column {column})");
            }
            Self::Version { v } => return write!(f, "key file of version {v}, not {VERSION}"),
            Self::Member { name } => return write!(f, "the member `{name}` does not have a value that it may have"),
            Self::Algorithm { alg } => return write!(f, "a key for {} does not serve here", alg.name()),
            Self::TooLong => "too long for a key file",
            Self::Form => "neither the members of an encrypted key nor those of an unencrypted one",
            Self::Kid => "the kid is not that of the public key",
            Self::PublicKey => "the public key is not that of the seed",
            Self::PassphraseNeeded => "the key is encrypted and no passphrase is given",
            Self::WrongPassphrase => "wrong passphrase",
        })
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Refused { fault, .. } => Some(fault),
            Self::NoRandomness(_) | Self::Exists { .. } | Self::EmptyPassphrase | Self::OutOfMemory => None,
        }
    }
}

impl std::error::Error for KeyFileFault {}
