//! The names of things in a log: which log, which identity, which link, which key.

use crate::hash::sha256;
use crate::id32;

id32! {
    /// Which log: `H(origin)` (formats.md §1).
    LogId
}
id32! {
    /// An identity: the [`Curr`] of its genesis link; zero inside that link.
    Identity
}
id32! {
    /// A link's id: `H(M)` of its header, without the signature (formats.md §2).
    Curr
}
id32! {
    /// A key's id: `H("soulchain/kid/v1\n" ‖ suite ‖ pk)` (formats.md §2).
    Kid
}
id32! {
    /// A commitment to a recovery key: `H("soulchain/next/v1\n" ‖ suite ‖ pk)` (formats.md §4).
    Next
}
id32! {
    /// A commitment to a body (formats.md §3); zero for an empty one.
    BodyCommit
}
id32! {
    /// The random salt of a body that is kept beside the log.
    Salt
}

impl LogId {
    /// The id of the log with this origin line.
    pub fn of_origin(origin: &str) -> Self {
        Self::from_bytes(sha256(&[origin.as_bytes()]))
    }
}

impl From<Curr> for Identity {
    /// The identity that a genesis link with this id founds.
    fn from(genesis: Curr) -> Self {
        Self::from_bytes(*genesis.as_bytes())
    }
}

/// Position of a link in its chain: 1 for the genesis, then one more each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Seqno(u64);

impl Seqno {
    /// The genesis link's.
    pub const FIRST: Self = Self(1);

    /// A sequence number from its value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Its value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// That of the link after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl core::fmt::Display for Seqno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
