//! What an audit can find wrong, where, and the word for it.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{Fault, LinkName};
use crate::tlog::{Origin, TileId, TileKind, TlogError, VerifyError};

/// Something that an honest log would not show.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Finding {
    /// The checkpoint is not as it has to be.
    Checkpoint(CheckpointFault),
    /// A tile or a bundle is not.
    Tile {
        /// Which.
        tile: TileId,
        /// In what way.
        fault: TileFault,
    },
    /// An entry breaks a rule of formats.md §4, §5 or §7.
    Entry(Fault),
}

/// A finding in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingView {
    /// The word for it.
    pub code: String,
    /// Index of the entry that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Whose link that is, as the link says, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Its place in the chain, as the link says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seqno: Option<u64>,
    /// Path of the file that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<String>,
    /// What is wrong.
    pub what: String,
}

/// What is wrong with a checkpoint, or with the log under it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// It cannot be read.
    Malformed(TlogError),
    /// It is of another log.
    Origin(Origin),
    /// It is not signed as it has to be.
    Signature(VerifyError),
    /// The entries that are served lead to another root.
    Root {
        /// Theirs.
        computed: Hash,
        /// The checkpoint's.
        claimed: Hash,
    },
    /// The last entry under it is no trailer.
    NotSealed(LeafIndex),
    /// The log's time is ahead of the auditor's clock by more than is allowed.
    Clock {
        /// Of the newest trailer.
        log_time: UnixMillis,
        /// The auditor's.
        now: UnixMillis,
    },
    /// The log had signed a larger tree before.
    RolledBack {
        /// The size of that.
        seen: TreeSize,
        /// The size now.
        now: TreeSize,
    },
    /// The log does not continue the tree that it had signed before.
    Forked {
        /// The size of that.
        seen: TreeSize,
        /// Its root.
        seen_root: Hash,
    },
}

/// What is wrong with the file of a tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TileFault {
    /// It is not served, though the checkpoint covers it.
    Missing,
    /// Its bytes are not those of its width.
    Length {
        /// How many there are; `None`: more than are read.
        found: Option<usize>,
    },
    /// A hash is not that of what lies below it.
    Hash {
        /// Which, counted in its level.
        number: u64,
    },
    /// An entry does not have the hash that its tile says.
    Leaf(LeafIndex),
    /// An entry is another than the one that an earlier audit read there.
    Changed(LeafIndex),
    /// The bundle ends within an entry.
    CutOff(LeafIndex),
    /// The bundle has another number of entries than its path says.
    Count {
        /// How many there are, up to one more than there should be.
        found: usize,
        /// The first that is missing, or too many.
        first: LeafIndex,
    },
}

impl Finding {
    /// The word for it: a code of formats.md §5 where a link breaks a rule, else one of ours.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(fault) => fault.code(),
            Self::Tile { fault, .. } => fault.code(),
            Self::Entry(fault) => fault.reason.code(),
        }
    }

    /// The entry that it is about, where it is about one.
    pub const fn index(&self) -> Option<LeafIndex> {
        match self {
            Self::Entry(fault) => Some(fault.index),
            Self::Checkpoint(CheckpointFault::NotSealed(index)) => Some(*index),
            Self::Tile { fault: TileFault::Leaf(at) | TileFault::Changed(at) | TileFault::CutOff(at), .. } => Some(*at),
            Self::Tile { fault: TileFault::Count { first, .. }, .. } => Some(*first),
            Self::Tile { tile, fault: TileFault::Missing | TileFault::Length { .. } } => first_entry(tile),
            _ => None,
        }
    }

    /// The link that it is about, as that names itself.
    pub const fn link(&self) -> Option<LinkName> {
        if let Self::Entry(fault) = self { fault.link } else { None }
    }

    /// It in words.
    pub fn view(&self) -> FindingView {
        let link = self.link();
        FindingView {
            code: self.code().into(),
            index: self.index().map(LeafIndex::get),
            identity: link.map(|link| link.identity.to_hex()),
            seqno: link.map(|link| link.seqno.get()),
            tile: self.tile().map(|tile| tile.to_string()),
            what: self.to_string(),
        }
    }

    /// The file that it is about.
    pub const fn tile(&self) -> Option<TileId> {
        if let Self::Tile { tile, .. } = self { Some(*tile) } else { None }
    }
}

impl CheckpointFault {
    const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "checkpoint_malformed",
            Self::Origin(_) => "checkpoint_origin",
            Self::Signature(VerifyError::QuorumNotMet) => "checkpoint_quorum",
            Self::Signature(_) => "checkpoint_signature",
            Self::Root { .. } => "checkpoint_root",
            Self::NotSealed(_) => "checkpoint_not_sealed",
            Self::Clock { .. } => "log_clock",
            Self::RolledBack { .. } => "rolled_back",
            Self::Forked { .. } => "forked",
        }
    }
}

impl TileFault {
    const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "tile_missing",
            Self::Length { .. } => "tile_length",
            Self::Hash { .. } => "tile_hash",
            Self::Leaf(_) => "entry_hash",
            Self::Changed(_) => "entry_changed",
            Self::CutOff(_) => "bundle_cut_off",
            Self::Count { .. } => "bundle_count",
        }
    }
}

const fn first_entry(tile: &TileId) -> Option<LeafIndex> {
    match tile.kind() {
        TileKind::Entries | TileKind::Hashes(0) => Some(LeafIndex::new(tile.first())),
        TileKind::Hashes(_) => None,
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint(fault) => fault.fmt(f),
            Self::Tile { fault, .. } => fault.fmt(f),
            Self::Entry(fault) => fault.reason.fmt(f),
        }
    }
}

impl fmt::Display for CheckpointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Origin(found) => write!(f, "the checkpoint is of the log {found}"),
            Self::Signature(error) => error.fmt(f),
            Self::Root { computed, claimed } => {
                write!(f, "the entries lead to the root {computed}, the checkpoint says {claimed}")
            }
            Self::NotSealed(_) => f.write_str("the last entry under the checkpoint is no trailer"),
            Self::Clock { log_time, now } => {
                write!(f, "the log's time is {log_time}, more than 5 minutes ahead of the clock here, {now}")
            }
            Self::RolledBack { seen, now } => {
                write!(f, "the log had signed a tree of size {seen} before, and now shows one of {now}")
            }
            Self::Forked { seen, seen_root } => {
                write!(f, "the log does not continue the tree of size {seen} and root {seen_root} that it had signed")
            }
        }
    }
}

impl fmt::Display for TileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not served, though the checkpoint covers it"),
            Self::Length { found: Some(found) } => {
                write!(f, "it has {found} bytes, which is not what its width asks for")
            }
            Self::Length { found: None } => f.write_str("it is longer than any such file"),
            Self::Hash { number } => write!(f, "hash {number} of its level is not that of what lies below it"),
            Self::Leaf(_) => f.write_str("the entry does not have the hash that its tile says"),
            Self::Changed(_) => f.write_str("the entry is another than the one that was read there before"),
            Self::CutOff(_) => f.write_str("the bundle ends within this entry"),
            Self::Count { found, .. } => write!(f, "the bundle has {found} entries, not as many as its path says"),
        }
    }
}
