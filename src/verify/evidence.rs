//! Evidence that a log broke its promises, for whoever has its keys and the file (docs/formats.md §10).
//!
//! ```text
//! soulchain/evidence/v1
//! fork                     two trees, neither of which begins with the other
//! unsealed                 a tree that does not end with a trailer
//! entry <code>             an entry that shows by itself, or beside another, that a rule was broken
//! replay <code> <index>    an entry that all before it show to break a rule
//! ```
//!
//! Plain data, read and not believed; its bytes are in `evidence_text`, what makes it convincing in `evidence_judge`. Every
//! checkpoint of evidence bears one signature, so that no line is in the file that nobody looks at.

use super::evidence_text::EvidenceError;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::tlog::{NoteVerifier, Policy, SignedCheckpoint, TlogError, TlogProof, Vkey};

/// Most bytes of entries that evidence carries, each counted with two more for its length; beyond it a mirror has them.
pub const MAX_EVIDENCE_ENTRIES_LEN: usize = 64 << 20;
/// Longest file of evidence.
pub const MAX_EVIDENCE_LEN: usize = 128 << 20;

/// What somebody says to show that a log broke its promises.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Evidence {
    /// The log signed two trees, neither of which begins with the other.
    Fork(Box<Fork>),
    /// The log signed a tree that does not end with a trailer.
    Unsealed(Unsealed),
    /// An entry breaks a rule, as it shows itself or beside an earlier one.
    Entry(BadEntry),
    /// An entry breaks a rule, as shows when all before it are replayed.
    Replay(BadReplay),
}

/// Two checkpoints that no one tree can have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fork {
    /// The one of the smaller tree.
    pub old: OneSigned,
    /// The other.
    pub new: OneSigned,
    /// The root that the larger tree has at the size of the smaller.
    pub prefix_root: Hash,
    /// The consistency path from that to the larger tree.
    pub path: Vec<Hash>,
    /// What shows that a key is the log's which the verifier's policy need not list.
    pub named: Option<NamedKey>,
}

/// A key that the log's own identity named in its profile: its instant key (formats.md §1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedKey {
    /// The key.
    pub vkey: Vkey,
    /// The link proof of the profile, with key events.
    pub proof: TlogProof,
    /// The inclusion path of entry 0, the genesis of the identity, under the same checkpoint.
    pub genesis_path: Vec<Hash>,
}

/// A checkpoint and the last entry under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsealed {
    /// What the log signed.
    pub checkpoint: OneSigned,
    /// The last entry.
    pub last: Placed,
}

/// One entry, or two that do not go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadEntry {
    /// The rule that is broken, in the word of formats.md §5, or of the audit for a trailer.
    pub code: String,
    /// What the log signed.
    pub checkpoint: OneSigned,
    /// The entry that breaks it.
    pub entry: Placed,
    /// The earlier entry beside which it does.
    pub beside: Option<Placed>,
}

/// A place in the log, and what it takes to judge it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadReplay {
    /// The rule that is broken.
    pub code: String,
    /// The entry that breaks it.
    pub index: LeafIndex,
    /// What the log signed.
    pub checkpoint: OneSigned,
    /// How many entries show it: those below this size.
    pub size: TreeSize,
    /// The consistency path from the tree of these to the checkpoint.
    pub path: Vec<Hash>,
    /// The entries; `None` where they are more than [`MAX_EVIDENCE_ENTRIES_LEN`], and a copy of the log is needed.
    pub entries: Option<Vec<Vec<u8>>>,
}

/// An entry and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Its place.
    pub index: LeafIndex,
    /// Its bytes.
    pub entry: Vec<u8>,
    /// Its inclusion path.
    pub path: Vec<Hash>,
}

/// A checkpoint with exactly one signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneSigned(SignedCheckpoint);

impl Evidence {
    /// The word of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Fork(_) => "fork",
            Self::Unsealed(_) => "unsealed",
            Self::Entry(_) => "entry",
            Self::Replay(_) => "replay",
        }
    }

    /// The newest checkpoint in it.
    pub const fn checkpoint(&self) -> &OneSigned {
        match self {
            Self::Fork(fork) => &fork.new,
            Self::Unsealed(unsealed) => &unsealed.checkpoint,
            Self::Entry(bad) => &bad.checkpoint,
            Self::Replay(bad) => &bad.checkpoint,
        }
    }

    /// Reads a file of evidence.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        super::evidence_text::parse(bytes, None)
    }

    /// The same for who has a policy, and a file from anybody: refuses it before its entries are read where no key of the log
    /// has signed for them.
    pub fn parse_under(bytes: &[u8], policy: &Policy) -> Result<Self, EvidenceError> {
        super::evidence_text::parse(bytes, Some(policy))
    }
}

impl OneSigned {
    /// The checkpoint under the first of its signatures that is by one of these keys; all others are left out.
    pub fn of(checkpoint: &SignedCheckpoint, keys: &[NoteVerifier]) -> Option<Self> {
        let text = checkpoint.note().text();
        let is_by = |key: &NoteVerifier, line| {
            key.vkey().name() == checkpoint.claim().origin().key_name() && key.verify(text, line).is_some()
        };
        let mut signatures = checkpoint.note().signatures().iter();
        let signature = signatures.find(|line| keys.iter().any(|key| is_by(key, line)))?;
        Self::parse(&format!("{text}\n{signature}\n")).ok()
    }

    /// Reads a checkpoint; refuses one with more signatures.
    pub fn parse(note: &str) -> Result<Self, TlogError> {
        let checkpoint = SignedCheckpoint::parse(note.as_bytes())?;
        match checkpoint.note().signatures() {
            [_] => Ok(Self(checkpoint)),
            _ => Err(TlogError::TooManySignatures),
        }
    }

    /// The checkpoint, and its signature, which nobody has judged.
    pub const fn get(&self) -> &SignedCheckpoint {
        &self.0
    }

    /// Size and root.
    pub const fn tree(&self) -> (TreeSize, Hash) {
        (self.0.claim().size(), self.0.claim().root())
    }
}
