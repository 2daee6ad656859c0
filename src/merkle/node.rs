//! Names of nodes, and where in a tile (C2SP tlog-tiles) a node comes from.

use core::ops::Range;

use super::{LeafIndex, TreeSize, root_of_perfect};
use crate::hash::Hash;

/// Levels of the tree that one level of tiles spans.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;

/// A perfect subtree: the one over the leaves from `index << level` on, `1 << level` of them.
///
/// Its hash is the same in every tree that holds all of these leaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId {
    /// Height over the leaves, which are at 0; at most 63.
    pub level: u8,
    /// Place in its level, from 0.
    pub index: u64,
}

impl NodeId {
    /// The node that a leaf is.
    pub const fn leaf(index: LeafIndex) -> Self {
        Self { level: 0, index: index.get() }
    }
}

/// The perfect subtrees that a tree of this size is made of, one for each binary digit 1, greatest first.
pub fn peaks(size: TreeSize) -> Vec<NodeId> {
    perfect_nodes(0, size.get()).collect()
}

/// The perfect subtrees that the leaves `start..end` are made of, greatest first.
///
/// `start` is a multiple of every power of two that `end - start` is a sum of.
pub(super) fn perfect_nodes(start: u64, end: u64) -> impl Iterator<Item = NodeId> {
    let len = end - start;
    let set = move |level: &u8| (len >> level) & 1 == 1;
    (0..64).rev().filter(set).map(move |level| NodeId { level, index: (start >> level) + (len >> level) - 1 })
}

/// Consecutive hashes of one tile, over which [`root_of_perfect`] is a node's hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TileSpan {
    /// The tile's level: it holds nodes of level `8 * tile_level`.
    pub tile_level: u8,
    /// The tile's place in its level, from 0.
    pub tile_index: u64,
    /// The first hash, counted from 0.
    pub first: u8,
    /// How many hashes: a power of two, at most 128.
    pub count: u8,
}

/// Where a node comes from: the tile of the greatest level that is not above it.
pub const fn tile_of(node: NodeId) -> TileSpan {
    let height = node.level % TILE_HEIGHT;
    let nodes_a_tile = 1 << (TILE_HEIGHT - height);
    TileSpan {
        tile_level: node.level / TILE_HEIGHT,
        tile_index: node.index / nodes_a_tile,
        first: ((node.index % nodes_a_tile) << height) as u8,
        count: 1 << height,
    }
}

impl TileSpan {
    /// The hashes' places in the tile.
    pub const fn range(self) -> Range<usize> {
        self.first as usize..self.first as usize + self.count as usize
    }

    /// The node's hash, from the tile's; `None` if the tile is too narrow to hold the node.
    pub fn hash(self, tile: &[Hash]) -> Option<Hash> {
        tile.get(self.range()).map(root_of_perfect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_the_binary_digits() {
        let named = |size| peaks(TreeSize::new(size)).into_iter().map(|node| (node.level, node.index)).collect();
        let expect: [(u64, Vec<(u8, u64)>); 5] = [
            (0, vec![]),
            (1, vec![(0, 0)]),
            (7, vec![(2, 0), (1, 2), (0, 6)]),
            (8, vec![(3, 0)]),
            (u64::MAX, (0..64).rev().map(|level| (level, (u64::MAX >> level) - 1)).collect()),
        ];
        for (size, nodes) in expect {
            let found: Vec<(u8, u64)> = named(size);
            assert_eq!(found, nodes, "{size}");
        }
    }

    #[test]
    fn nodes_are_found_in_tiles() {
        let expect = [
            ((0, 0), (0, 0, 0, 1)),
            ((0, 255), (0, 0, 255, 1)),
            ((0, 256), (0, 1, 0, 1)),
            ((3, 31), (0, 0, 248, 8)),
            ((3, 32), (0, 1, 0, 8)),
            ((7, 1), (0, 0, 128, 128)),
            ((8, 0), (1, 0, 0, 1)),
            ((9, 257), (1, 2, 2, 2)),
            ((63, 1), (7, 0, 128, 128)),
        ];
        for ((level, index), (tile_level, tile_index, first, count)) in expect {
            let span = TileSpan { tile_level, tile_index, first, count };
            assert_eq!(tile_of(NodeId { level, index }), span, "{level} {index}");
        }
    }
}
