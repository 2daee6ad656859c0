//! The tree of a checkpoint that the policy accepts: what every other check is held against.

use crate::hash::Hash;
use crate::merkle::{LeafIndex, ProofError, TreeSize, leaf_hash, verify_inclusion};
use crate::soul::LogId;
use crate::tlog::AcceptedCheckpoint;

/// An accepted tree.
pub(super) struct Tree {
    pub(super) log_id: LogId,
    pub(super) size: TreeSize,
    root: Hash,
}

impl Tree {
    pub(super) fn of(accepted: &AcceptedCheckpoint) -> Self {
        let checkpoint = accepted.verified().checkpoint();
        let log_id = LogId::of_origin(checkpoint.origin().as_str());
        Self { log_id, size: checkpoint.size(), root: checkpoint.root() }
    }

    /// Whether the entry is at that place.
    pub(super) fn has(&self, entry: &[u8], index: LeafIndex, path: &[Hash]) -> Result<(), ProofError> {
        verify_inclusion(&leaf_hash(entry), index, self.size, path, &self.root)
    }

    /// Whether this is the place of the last leaf.
    pub(super) fn ends_at(&self, index: LeafIndex) -> bool {
        index.size_with() == self.size
    }
}
