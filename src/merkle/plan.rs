//! Which nodes a proof needs, and how they become its path (RFC 6962, sections 2.1.1 and 2.1.2).
//!
//! A plan names perfect subtrees only: hashes that never change once made, and that a log keeps. The one element of a
//! path that can be a ragged subtree, at the right edge, is folded from several.

use core::ops::Range;

use super::climb::{Side, climb, climb_len};
use super::node::{peaks, perfect_nodes};
use super::{LeafIndex, NodeId, Subtree, TreeSize, root_of_peaks};
use crate::hash::Hash;

/// The nodes of a path, lowest element first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    nodes: Vec<NodeId>,
    /// The nodes that together are one element; every other node is an element of its own.
    ragged: Option<Range<usize>>,
}

/// The path that shows a leaf to be in a tree of `size`; `None` if it is not.
pub fn inclusion_plan(index: LeafIndex, size: TreeSize) -> Option<Plan> {
    (index.get() < size.get()).then(|| {
        let mut plan = Plan::default();
        plan.climb(index.get(), size, 0);
        plan
    })
}

/// The path that shows a tree of `old` to be the beginning of one of `new`; `None` if `old` is greater.
///
/// It is empty when the sizes are equal or `old` is 0.
pub fn consistency_plan(old: TreeSize, new: TreeSize) -> Option<Plan> {
    match Subtree::new(0, old) {
        Some(subtree) => subtree_consistency_plan(subtree, new),
        None => Some(Plan::default()),
    }
}

/// The path that shows a subtree to be in a tree of `size`; `None` if it ends beyond it.
pub fn subtree_consistency_plan(subtree: Subtree, size: TreeSize) -> Option<Plan> {
    (subtree.end() <= size).then(|| {
        let (last, level) = (subtree.end().get() - 1, subtree.shared_level(size));
        let mut plan = Plan::default();
        if level < subtree.level() {
            plan.nodes.push(NodeId { level: level as u8, index: last >> level });
        }
        plan.climb(last, size, level);
        plan
    })
}

impl Plan {
    /// The nodes whose hashes are needed: at most 127.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The path, from the hashes of the nodes, which are asked for once each and in the order of [`Self::nodes`].
    pub fn path<E>(&self, hashes: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
        let mut path = evaluate(&self.nodes, hashes)?;
        if let Some(ragged) = self.ragged.clone() {
            let root = root_of_peaks(&path[ragged.clone()]);
            path.splice(ragged, [root]);
        }
        Ok(path)
    }

    /// Adds the siblings on the way up from the node over `leaf` at level `from`.
    fn climb(&mut self, leaf: u64, size: TreeSize, from: u32) {
        self.nodes.reserve(climb_len(leaf, size.get() - 1, from));
        for (level, side) in climb(leaf, size.get() - 1, from) {
            let (node, level) = (leaf >> level, level as u8);
            match side {
                Side::Left => self.nodes.push(NodeId { level, index: node - 1 }),
                Side::Right => self.right_sibling(NodeId { level, index: node + 1 }, size),
            }
        }
    }

    /// Adds a node, or what of it there is in a tree of `size`, which is at least one leaf.
    fn right_sibling(&mut self, node: NodeId, size: TreeSize) {
        let start = node.index << node.level;
        if size.get() - start >= 1 << node.level {
            return self.nodes.push(node);
        }
        let first = self.nodes.len();
        self.nodes.extend(perfect_nodes(start, size.get()));
        self.ragged = Some(first..self.nodes.len());
    }
}

/// The nodes of a root: a tree's [`peaks`], or those of a subtree.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RootPlan {
    nodes: Vec<NodeId>,
}

/// The root of a tree of `size`.
pub fn root_plan(size: TreeSize) -> RootPlan {
    RootPlan { nodes: peaks(size) }
}

/// The root of a subtree.
pub fn subtree_root_plan(subtree: Subtree) -> RootPlan {
    RootPlan { nodes: perfect_nodes(subtree.start(), subtree.end().get()).collect() }
}

impl RootPlan {
    /// The nodes whose hashes are needed, greatest first.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The root, from the hashes of the nodes, which are asked for once each and in the order of [`Self::nodes`].
    pub fn root<E>(&self, hashes: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Hash, E> {
        evaluate(&self.nodes, hashes).map(|peaks| root_of_peaks(&peaks))
    }
}

fn evaluate<E>(nodes: &[NodeId], hashes: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    nodes.iter().copied().map(hashes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1.3: the tree of seven leaves, with its nodes a..n named by level and index.
    #[test]
    fn the_example_of_the_rfc() {
        let inclusion = |index| inclusion_plan(LeafIndex::new(index), TreeSize::new(7)).unwrap();
        let named = |plan: &Plan| plan.nodes().iter().map(|node| (node.level, node.index)).collect::<Vec<_>>();
        // d0: [b, h, l], where l is made of i and j.
        let plan = inclusion(0);
        assert_eq!(named(&plan), [(0, 1), (1, 1), (1, 2), (0, 6)]);
        assert_eq!(plan.ragged, Some(2..4));
        // d3: [c, g, l]; d4: [f, j, k]; d6: [i, k].
        assert_eq!(named(&inclusion(3)), [(0, 2), (1, 0), (1, 2), (0, 6)]);
        assert_eq!(named(&inclusion(4)), [(0, 5), (0, 6), (2, 0)]);
        assert_eq!(named(&inclusion(6)), [(1, 2), (2, 0)]);
        // 3: [c, d, g, l]; 4: [l]; 6: [i, j, k].
        let consistency = |old| consistency_plan(TreeSize::new(old), TreeSize::new(7)).unwrap();
        assert_eq!(named(&consistency(3)), [(0, 2), (0, 3), (1, 0), (1, 2), (0, 6)]);
        assert_eq!(named(&consistency(4)), [(1, 2), (0, 6)]);
        assert_eq!(named(&consistency(6)), [(1, 2), (0, 6), (2, 0)]);
        assert_eq!(named(&consistency(7)), []);
        assert_eq!(named(&consistency(0)), []);
    }

    #[test]
    fn what_is_not_there_has_no_plan() {
        let [zero, one, two] = [0, 1, 2].map(TreeSize::new);
        assert_eq!(inclusion_plan(LeafIndex::new(0), zero), None);
        assert_eq!(inclusion_plan(LeafIndex::new(1), one), None);
        assert_eq!(consistency_plan(two, one), None);
        assert_eq!(consistency_plan(one, zero), None);
        assert_eq!(consistency_plan(zero, zero), Some(Plan::default()));
    }

    #[test]
    fn the_greatest_sizes_have_plans() {
        let size = TreeSize::new(u64::MAX);
        let last = inclusion_plan(LeafIndex::new(u64::MAX - 1), size).unwrap();
        assert_eq!((last.nodes().len(), last.ragged), (63, None));
        let first = inclusion_plan(LeafIndex::new(0), size).unwrap();
        assert_eq!((first.nodes().len(), &first.ragged), (63 + 63, &Some(63..126)));
        assert_eq!(consistency_plan(TreeSize::new(1), size).unwrap(), first);
        assert_eq!(consistency_plan(TreeSize::new(u64::MAX - 1), size).unwrap().nodes().len(), 64);
    }
}
