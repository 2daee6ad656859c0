//! What an accepted proof shows.

use super::check::Passed;
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::Record;
use crate::soul::{Curr, Header, Identity, Trailer};
use crate::tlog::{AcceptedCheckpoint, Cosigned, Origin, Timestamp};

/// An accepted proof: only [`verify`](super::verify) makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub(super) accepted: AcceptedCheckpoint,
    pub(super) as_of: Option<Timestamp>,
    pub(super) shown: Shown,
    pub(super) passed: Vec<Passed>,
}

/// What a proof is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A link that is logged.
    Link(Box<LinkShown>),
    /// An identity as the log knows it.
    State(StateShown),
    /// What the log does not know.
    Absent(Absent),
}

/// A link that is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkShown {
    /// Its place in the log.
    pub index: LeafIndex,
    /// Whose chain it is on; of a genesis, the identity that it founds.
    pub identity: Identity,
    /// Its id.
    pub curr: Curr,
    /// Its fields: seqno, type, outcome and so on. That the seqno is the next of its chain is the log's word.
    pub header: Header,
    /// The body, where it is inline or disclosed and not empty.
    pub body: Option<Vec<u8>>,
    /// How the key is known that signed it; `None`: neither key nor signature was judged.
    pub key: Option<KeyProven>,
    /// The signer's state, where the proof has it: without it nothing says that the key was live or the link not disowned.
    pub state: Option<StateShown>,
}

/// How a signing key is known; its signature was verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyProven {
    /// The state says that it was live at the link's index.
    Live,
    /// The link itself or the chain's key events list it; it may have been retired since, or the link been disowned.
    Listed,
}

/// An identity as of a trailer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateShown {
    /// Its record: names, status, `verified` and so on are shown, not judged.
    pub record: Record,
    /// The trailer that fixes the state, with the log time of it.
    pub trailer: Trailer,
}

/// What was not there as of a trailer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Absent {
    /// What was asked about.
    pub asked: Asked,
    /// The trailer that fixes the state, with the log time of it.
    pub trailer: Trailer,
}

/// What is asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A handle or domain name.
    Name(String),
    /// An identity.
    Identity(Identity),
}

impl Verdict {
    /// The log.
    pub const fn origin(&self) -> &Origin {
        self.accepted.verified().checkpoint().origin()
    }

    /// The size of the tree that the proof is of.
    pub const fn size(&self) -> TreeSize {
        self.accepted.verified().checkpoint().size()
    }

    /// The greatest time such that the cosignatures since then meet the quorum; `None` where none is asked for.
    pub const fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// The cosignatures of the policy's witnesses.
    pub fn cosigned(&self) -> &[Cosigned] {
        self.accepted.cosigned()
    }

    /// The checkpoint that all rests on.
    pub const fn checkpoint(&self) -> &AcceptedCheckpoint {
        &self.accepted
    }

    /// What is proven.
    pub const fn shown(&self) -> &Shown {
        &self.shown
    }

    /// The checks that held, in their order.
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }
}

impl Shown {
    /// The name of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Link(_) => "link",
            Self::State(_) => "state",
            Self::Absent(_) => "absent",
        }
    }
}

impl LinkShown {
    /// Whether the body is shown.
    pub const fn is_disclosed(&self) -> bool {
        self.body.is_some()
    }

    /// Whether the signature was verified; where not, nothing was there to verify it by.
    pub const fn is_signed(&self) -> bool {
        self.key.is_some()
    }
}

impl KeyProven {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Listed => "listed",
        }
    }
}

impl core::fmt::Display for KeyProven {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
