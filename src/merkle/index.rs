//! Sizes and places in a tree.

use crate::encoding::MAX_SAFE_INTEGER;

/// Number of leaves of a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TreeSize(u64);

/// Place of a leaf, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LeafIndex(u64);

impl TreeSize {
    /// The empty tree.
    pub const ZERO: Self = Self(0);

    /// The greatest size that any format here allows (every u64 of them is at most 2^53 − 1).
    pub const MAX: Self = Self(MAX_SAFE_INTEGER);

    /// A size from its value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Its value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The index that the next leaf gets.
    pub const fn next_index(self) -> LeafIndex {
        LeafIndex(self.0)
    }
}

impl LeafIndex {
    /// An index from its value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Its value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size of the smallest tree that holds this leaf.
    pub const fn size_with(self) -> TreeSize {
        TreeSize(self.0 + 1)
    }
}

impl core::fmt::Display for TreeSize {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
