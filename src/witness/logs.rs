//! The logs that a witness serves: lines `log <vkey> [<url>]` as tlog-policy writes them.
//!
//! ```text
//! # a comment
//! log log.example/one+01234567+Aa…
//! log log.example/one+89abcdef+Bb… https://log.example/one      another key of the same log
//! ```
//!
//! A log may have several keys; the name of each is the log's origin. Octets of the address are not looked at. A list is
//! a value: the one in use is replaced as a whole, so that no request sees half of another. What is remembered of a log
//! does not depend on being listed.

use core::fmt;
use std::collections::HashMap;

use crate::tlog::{NoteVerifier, Origin, TlogError, Vkey, VkeyType};

/// Most logs of a list.
pub const MAX_LISTED_LOGS: usize = 100_000;
/// Longest list, in bytes, all files together.
pub const MAX_LIST_LEN: usize = 256 << 20;

/// The logs of a witness and their keys.
#[derive(Clone, Default, Debug)]
pub struct LogList {
    by_origin: HashMap<Box<str>, Vec<NoteVerifier>>,
}

/// What is wrong with a list, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: LogListFault,
}

/// What is wrong with a line of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LogListFault {
    /// It holds a control character other than the tab.
    Octet,
    /// It is not `log <vkey> [<url>]`.
    Form,
    /// Its key is no verifier key.
    Key(TlogError),
    /// Its key is of a type that a log does not have.
    KeyType,
    /// Another key of this log has the same id, so that signatures of the two cannot be told apart.
    SameId,
    /// There are too many keys.
    TooMany,
}

impl LogList {
    /// Adds the lines of a file. A key that is listed already is no fault: files of several makers may share some.
    ///
    /// After an error part of the lines may have been added: the list is of no use then.
    pub fn add(&mut self, text: &[u8]) -> Result<(), LogListError> {
        for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
            self.add_line(line).map_err(|fault| LogListError { line: number, fault })?;
        }
        Ok(())
    }

    /// A list of one text.
    pub fn parse(text: &[u8]) -> Result<Self, LogListError> {
        let mut list = Self::default();
        list.add(text)?;
        Ok(list)
    }

    /// The keys of a log; `None` where it is not listed.
    pub fn keys(&self, origin: &str) -> Option<&[NoteVerifier]> {
        self.by_origin.get(origin).map(Vec::as_slice)
    }

    /// How many logs there are.
    pub fn len(&self) -> usize {
        self.by_origin.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_origin.is_empty()
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), LogListFault> {
        if line.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
            return Err(LogListFault::Octet);
        }
        let items: Vec<_> = line.split(|b| matches!(b, b' ' | b'\t')).filter(|item| !item.is_empty()).collect();
        match *items {
            [] => Ok(()),
            [word, ..] if word.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => self.add_key(key),
            _ => Err(LogListFault::Form),
        }
    }

    fn add_key(&mut self, key: &[u8]) -> Result<(), LogListFault> {
        let text = core::str::from_utf8(key).map_err(|_| LogListFault::Key(TlogError::Vkey))?;
        let vkey = Vkey::parse(text).map_err(LogListFault::Key)?;
        if !matches!(vkey.kind(), VkeyType::Ed25519 | VkeyType::MlDsa44) {
            return Err(LogListFault::KeyType);
        }
        Origin::parse(vkey.name().as_str()).map_err(LogListFault::Key)?;
        let is_full = self.by_origin.len() >= MAX_LISTED_LOGS && self.keys(vkey.name().as_str()).is_none();
        let keys = self.by_origin.entry(vkey.name().as_str().into()).or_default();
        if keys.iter().any(|known| *known.vkey() == vkey) {
            return Ok(());
        }
        if keys.iter().any(|known| known.vkey().id() == vkey.id()) {
            return Err(LogListFault::SameId);
        }
        if is_full || keys.len() >= MAX_KEYS_OF_A_LOG {
            return Err(LogListFault::TooMany);
        }
        keys.push(NoteVerifier::new(vkey).map_err(LogListFault::Key)?);
        Ok(())
    }
}

/// Most keys of one log: each signature of a request is held against all.
const MAX_KEYS_OF_A_LOG: usize = 16;

impl fmt::Display for LogListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl fmt::Display for LogListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(error) => return error.fmt(f),
            Self::Octet => "a control character",
            Self::Form => "not of the form `log <vkey> [<url>]`",
            Self::KeyType => "a log's key is of type 0x01 (Ed25519) or 0x06 (ML-DSA-44)",
            Self::SameId => "another key of this log has the same id",
            Self::TooMany => "too many keys",
        })
    }
}

impl std::error::Error for LogListError {}
impl std::error::Error for LogListFault {}
