//! The way from a node up to the root: at which levels there is a sibling, and on which side.

use super::node_hash;
use crate::hash::Hash;

/// On which side of a node its sibling is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    /// The hash of the parent of `node` and of its sibling on this side.
    pub(super) fn join(self, node: &Hash, sibling: &Hash) -> Hash {
        match self {
            Self::Left => node_hash(sibling, node),
            Self::Right => node_hash(node, sibling),
        }
    }
}

/// Level and side of each sibling on the way up from the node over `leaf` at level `from`, lowest first.
///
/// The tree's last leaf is `last`, not below `leaf`. A node at the right edge that has no sibling goes up as it is.
pub(super) fn climb(leaf: u64, last: u64, from: u32) -> impl Iterator<Item = (u32, Side)> {
    (from..u64::BITS).take_while(move |level| last >> level > 0).filter_map(move |level| {
        let (node, edge) = (leaf >> level, last >> level);
        match node & 1 {
            1 => Some((level, Side::Left)),
            _ => (node < edge).then_some((level, Side::Right)),
        }
    })
}

/// How many siblings [`climb`] finds.
pub(super) fn climb_len(leaf: u64, last: u64, from: u32) -> usize {
    // Below the level where the way meets the right edge each level has a sibling; above it only those to the left.
    let meets = (u64::BITS - (leaf ^ last).leading_zeros()).max(from);
    let left = leaf.checked_shr(meets).map_or(0, u64::count_ones);
    (meets - from + left) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_the_count() {
        for last in 0..150 {
            for leaf in 0..=last {
                for from in 0..9 {
                    assert_eq!(climb_len(leaf, last, from), climb(leaf, last, from).count(), "{leaf} {last} {from}");
                }
            }
        }
        for (leaf, last) in [(0, u64::MAX), (u64::MAX, u64::MAX), (1 << 63, u64::MAX), (u64::MAX - 1, u64::MAX)] {
            for from in [0, 1, 62, 63, 64] {
                assert_eq!(climb_len(leaf, last, from), climb(leaf, last, from).count(), "{leaf} {last} {from}");
            }
        }
    }
}
