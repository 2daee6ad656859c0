//! What a monitor watches of one log, and by whose keys.

use crate::soul::Identity;
use crate::tlog::{NoteVerifier, Origin, Policy};

/// Whether entries are replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogKind {
    /// Every entry, by the rules of Soulchain.
    #[default]
    Soulchain,
    /// None: only that the log appends.
    Plain,
}

/// A log to watch.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Which.
    pub origin: Origin,
    /// Its keys, its witnesses, and which of them suffice.
    pub policy: Policy,
    /// Its instant keys, beside those that the policy lists.
    pub instant_keys: Vec<NoteVerifier>,
    /// Whether entries are replayed.
    pub kind: LogKind,
    /// Greatest age in seconds of the cosignatures that meet the quorum.
    pub stale_seconds: u64,
    /// Seconds within which the log covers what it promised, and shows what its witnesses have seen.
    pub patience_seconds: u64,
    /// Whom to report on.
    pub watch: WatchList,
    /// Threads that check entries.
    pub threads: usize,
}

/// Identities and names to report on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WatchList {
    /// Everybody.
    pub all: bool,
    /// Handles and domain names.
    pub names: Vec<String>,
    /// Identities.
    pub identities: Vec<Identity>,
}

impl WatchList {
    /// Of words, each `*`, an identity in hex, or a name.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        for word in words {
            match Identity::from_hex(word) {
                _ if word == "*" => list.all = true,
                Some(identity) => list.identities.push(identity),
                None => list.names.push(word.into()),
            }
        }
        list
    }
}
