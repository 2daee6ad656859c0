//! Subtrees (draft-ietf-plants-merkle-tree-certs-03, section 4.1): the leaves `start..end` of a tree.
//!
//! Later drafts count empty ranges among them; C2SP tlog-witness cites this one, which does not.

use super::TreeSize;

/// Leaves `start..end`, where `start` is a multiple of the least power of two that is not below their number.
///
/// Of a tree's first `end` leaves it is a node, perfect or at the right edge; every tree is one, with `start` 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subtree {
    start: u64,
    end: TreeSize,
}

impl Subtree {
    /// The subtree over `start..end`, if that is one; none is empty.
    pub fn new(start: u64, end: TreeSize) -> Option<Self> {
        let subtree = Self { start, end };
        (start < end.get() && start.trailing_zeros() >= subtree.level()).then_some(subtree)
    }

    /// The first leaf.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The leaf after the last: also the size of the smallest tree that holds the subtree.
    pub const fn end(self) -> TreeSize {
        self.end
    }

    /// Its size as a tree of its own.
    pub const fn size(self) -> TreeSize {
        TreeSize::new(self.end.get() - self.start)
    }

    /// Its height over the leaves, as a perfect subtree's of at least its size; at most 64.
    pub(super) const fn level(self) -> u32 {
        u64::BITS - (self.size().get() - 1).leading_zeros()
    }

    /// The level of the greatest node at this subtree's right edge that it shares with a tree of `size`.
    ///
    /// It is the subtree's own level where it is itself a node of that tree.
    pub(super) fn shared_level(self, size: TreeSize) -> u32 {
        if self.end == size { self.level() } else { self.end.get().trailing_zeros().min(self.level()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_starts_at_a_multiple_of_its_width() {
        let is = |start, end| Subtree::new(start, TreeSize::new(end)).is_some();
        for start in 0..70_u64 {
            for end in 0..140_u64 {
                let width = end.saturating_sub(start).next_power_of_two();
                assert_eq!(is(start, end), start < end && start.is_multiple_of(width), "{start} {end}");
            }
        }
        assert!(is(0, u64::MAX) && is(1 << 63, u64::MAX) && !is(1 << 62, u64::MAX) && is(u64::MAX - 1, u64::MAX));
    }
}
