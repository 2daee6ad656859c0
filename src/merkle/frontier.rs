//! The right edge of a tree: all that appending needs to know of it.

use super::{LeafIndex, NodeId, TreeSize, node_hash, root_of_peaks};
use crate::hash::Hash;

/// A tree of which only the hashes of its [`peaks`](super::peaks) are kept.
///
/// Invariant: there are as many hashes as the size has binary digits 1, the greatest subtree's first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, hashes: Vec::new() }
    }

    /// A tree from its size and the hashes of its peaks, greatest first.
    ///
    /// `None` if their number is wrong, or the size above [`TreeSize::MAX`].
    pub fn from_parts(size: TreeSize, hashes: Vec<Hash>) -> Option<Self> {
        let fits = size <= TreeSize::MAX && hashes.len() == size.get().count_ones() as usize;
        fits.then_some(Self { size: size.get(), hashes })
    }

    /// Appends a leaf and says where it went: one hash each on average.
    pub fn push(&mut self, leaf_hash: Hash) -> LeafIndex {
        self.push_with(leaf_hash, |_, _| {})
    }

    /// Appends a leaf as [`push`](Self::push) does, and reports each node that it completes: first itself, then upwards.
    pub fn push_with(&mut self, leaf_hash: Hash, mut completed: impl FnMut(NodeId, &Hash)) -> LeafIndex {
        let index = LeafIndex::new(self.size);
        let (mut node, mut hash) = (NodeId::leaf(index), leaf_hash);
        completed(node, &hash);
        let kept = self.hashes.len() - self.size.trailing_ones() as usize;
        for left in self.hashes.drain(kept..).rev() {
            hash = node_hash(&left, &hash);
            node = NodeId { level: node.level + 1, index: node.index >> 1 };
            completed(node, &hash);
        }
        self.hashes.push(hash);
        self.size += 1;
        index
    }

    /// The root.
    pub fn root(&self) -> Hash {
        root_of_peaks(&self.hashes)
    }

    /// The number of leaves.
    pub const fn size(&self) -> TreeSize {
        TreeSize::new(self.size)
    }

    /// The hashes of the peaks, greatest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_must_fit() {
        let hashes = |count| vec![Hash::ZERO; count];
        for (size, count, fits) in [(0, 0, true), (0, 1, false), (5, 2, true), (5, 1, false), (5, 3, false)] {
            assert_eq!(Frontier::from_parts(TreeSize::new(size), hashes(count)).is_some(), fits, "{size} {count}");
        }
        let mut last = Frontier::from_parts(TreeSize::MAX, hashes(53)).unwrap();
        assert_eq!(last.push(Hash::ZERO).get(), (1 << 53) - 1);
        assert_eq!(last.hashes().len(), 1);
        assert_eq!(Frontier::from_parts(TreeSize::new(1 << 53), hashes(1)), None);
    }
}
