//! Verification of paths (RFC 6962, sections 2.1.1 and 2.1.2; the algorithms are those of RFC 9162, section 2.1).
//!
//! The length of a path follows from the sizes: it is checked before anything is hashed, and no other is accepted.

use super::climb::{Side, climb, climb_len};
use super::{EMPTY_ROOT, LeafIndex, Subtree, TreeSize};
use crate::hash::Hash;

/// Why a path proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf is not in a tree of this size, or not in this subtree.
    NoSuchLeaf {
        /// The leaf.
        index: LeafIndex,
        /// The tree's size, or the subtree's end.
        size: TreeSize,
    },
    /// The older tree, or the subtree, goes beyond the newer tree.
    SizesReversed {
        /// The older tree's size, or the subtree's end.
        old: TreeSize,
        /// The newer tree's size.
        new: TreeSize,
    },
    /// The path has too few hashes or too many.
    PathLength {
        /// How many these sizes ask for.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The path leads to another root of the older tree, or of the subtree.
    OldRoot {
        /// The one it leads to.
        computed: Hash,
        /// The one that was to be shown.
        claimed: Hash,
    },
    /// The path leads to another root of the tree.
    Root {
        /// The one it leads to.
        computed: Hash,
        /// The one that was to be shown.
        claimed: Hash,
    },
}

/// Checks that the leaf with this hash is at `index` in the tree of `size` with this root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: LeafIndex,
    size: TreeSize,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    same_root(root_from_inclusion(leaf, index, size, path)?, root)
}

/// The root that a path leads to from a leaf: whoever relies on it compares it with one that is trusted.
pub fn root_from_inclusion(leaf: &Hash, index: LeafIndex, size: TreeSize, path: &[Hash]) -> Result<Hash, ProofError> {
    if index.get() >= size.get() {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    let (leaf_at, last) = (index.get(), size.get() - 1);
    path_length(climb_len(leaf_at, last, 0), path)?;
    let siblings = climb(leaf_at, last, 0).zip(path);
    Ok(siblings.fold(*leaf, |node, ((_, side), sibling)| side.join(&node, sibling)))
}

/// Checks that the tree of `old_size` is the beginning of that of `new_size`.
///
/// With `old_size` 0 the path is empty, `old_root` is [`EMPTY_ROOT`], and nothing is said of a new tree that is not
/// empty. With equal sizes the path is empty and the roots are equal.
pub fn verify_consistency(
    old_size: TreeSize,
    new_size: TreeSize,
    old_root: &Hash,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if let Some(old_tree) = Subtree::new(0, old_size) {
        return verify_subtree_consistency(old_tree, new_size, old_root, new_root, path);
    }
    path_length(0, path)?;
    same_old_root(EMPTY_ROOT, old_root)?;
    if new_size == TreeSize::ZERO { same_root(EMPTY_ROOT, new_root) } else { Ok(()) }
}

/// Checks that the leaf with this hash is at `index` (of the whole tree) in the subtree with this root.
pub fn verify_subtree_inclusion(
    leaf: &Hash,
    index: LeafIndex,
    subtree: Subtree,
    path: &[Hash],
    subtree_root: &Hash,
) -> Result<(), ProofError> {
    let outside = ProofError::NoSuchLeaf { index, size: subtree.end() };
    let within = index.get().checked_sub(subtree.start()).ok_or(outside)?;
    if index.get() >= subtree.end().get() {
        return Err(outside);
    }
    verify_inclusion(leaf, LeafIndex::new(within), subtree.size(), path, subtree_root)
}

/// Checks that the subtree with this root is part of the tree of `size` with that root.
pub fn verify_subtree_consistency(
    subtree: Subtree,
    size: TreeSize,
    subtree_root: &Hash,
    root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if subtree.end() > size {
        return Err(ProofError::SizesReversed { old: subtree.end(), new: size });
    }
    let (leaf, last, level) = (subtree.end().get() - 1, size.get() - 1, subtree.shared_level(size));
    // A subtree that is itself a node of the tree is where the way up begins; else its greatest node at the edge is,
    // which only the path knows.
    let whole = level == subtree.level();
    path_length(climb_len(leaf, last, level) + usize::from(!whole), path)?;
    let (start, siblings) = match path.split_first() {
        Some((first, rest)) if !whole => (first, rest),
        _ => (subtree_root, path),
    };
    // One way up, two results: the subtree takes only what is left of its edge and within it, the tree takes all.
    let (mut old, mut new) = (*start, *start);
    for ((at, side), sibling) in climb(leaf, last, level).zip(siblings) {
        if side == Side::Left && at < subtree.level() {
            old = side.join(&old, sibling);
        }
        new = side.join(&new, sibling);
    }
    same_old_root(old, subtree_root)?;
    same_root(new, root)
}

fn path_length(expected: usize, path: &[Hash]) -> Result<(), ProofError> {
    let found = path.len();
    if found == expected { Ok(()) } else { Err(ProofError::PathLength { expected, found }) }
}

fn same_root(computed: Hash, claimed: &Hash) -> Result<(), ProofError> {
    if computed == *claimed { Ok(()) } else { Err(ProofError::Root { computed, claimed: *claimed }) }
}

fn same_old_root(computed: Hash, claimed: &Hash) -> Result<(), ProofError> {
    if computed == *claimed { Ok(()) } else { Err(ProofError::OldRoot { computed, claimed: *claimed }) }
}

impl core::fmt::Display for ProofError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoSuchLeaf { index, size } => write!(f, "leaf {index} is not in a tree of {size} leaves"),
            Self::SizesReversed { old, new } => write!(f, "the older tree has {old} leaves, the newer {new}"),
            Self::PathLength { expected, found } => write!(f, "the path has {found} hashes, not {expected}"),
            Self::OldRoot { computed, claimed } => {
                write!(f, "the path leads to the older root {computed}, not {claimed}")
            }
            Self::Root { computed, claimed } => write!(f, "the path leads to the root {computed}, not {claimed}"),
        }
    }
}

impl core::error::Error for ProofError {}
