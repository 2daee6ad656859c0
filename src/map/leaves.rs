//! Leaves on their way into a tree: gathered in any order, by several threads, and built by several.
//!
//! They lie in groups by the first bits of their keys, each of which is a subtree of its own: nothing is sorted but what
//! fits a processor's cache.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::node::Node;
use super::subtree::Leaf;

/// Depth of a group's subtree: a byte of the key.
const GROUP_DEPTH: usize = 8;
const GROUPS: usize = 1 << GROUP_DEPTH;

/// Leaves for [`Tree::gather`](super::Tree::gather), in any order.
#[derive(Debug)]
pub struct Leaves<P> {
    groups: Vec<Vec<Leaf<P>>>,
}

impl<P> Leaves<P> {
    /// Makes room for so many leaves more: keys are hashes, so each group gets its share and an eighth.
    pub fn reserve(&mut self, count: usize) {
        let each = count / GROUPS;
        self.groups.iter_mut().for_each(|group| group.reserve(each + each / 8 + 1));
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a leaf. Of several with one key any may count.
    pub fn push(&mut self, leaf: Leaf<P>) {
        self.groups[usize::from(leaf.key.as_bytes()[0])].push(leaf);
    }
}

impl<P> Default for Leaves<P> {
    fn default() -> Self {
        Self { groups: (0..GROUPS).map(|_| Vec::new()).collect() }
    }
}

/// The tree of all these leaves, and their number.
pub(super) fn gather<P: Clone + Send + Sync>(parts: Vec<Leaves<P>>, threads: usize) -> (Node<P>, usize) {
    let mut groups: Vec<Vec<Vec<Leaf<P>>>> = (0..GROUPS).map(|_| Vec::with_capacity(parts.len())).collect();
    for part in parts {
        groups.iter_mut().zip(part.groups).for_each(|(group, leaves)| group.push(leaves));
    }
    let waiting = Mutex::new(groups.into_iter().enumerate());
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(take).map(|(at, group)| (at, build_group(group))).collect::<Vec<_>>();
    let mut built = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut built = work();
        for other in others {
            built.extend(other.join().expect("building moves and hashes: nothing in it panics"));
        }
        built
    });
    built.sort_unstable_by_key(|(at, _)| *at);
    let len = built.iter().map(|(_, (_, len))| len).sum();
    (join(built.into_iter().map(|(_, (node, _))| node).collect()), len)
}

fn build_group<P>(group: Vec<Vec<Leaf<P>>>) -> (Node<P>, usize) {
    let mut parts = group.into_iter();
    let mut leaves = parts.next().unwrap_or_default();
    for part in parts {
        leaves.extend(part);
    }
    // In place: memory that a sort needs beside would be touched for the first time, which takes longer than the sort.
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    leaves.dedup_by(|a, b| a.key == b.key);
    let len = leaves.len();
    (Node::build(leaves, GROUP_DEPTH), len)
}

/// The tree above subtrees that lie side by side, a power of two of them.
fn join<P: Clone>(mut nodes: Vec<Node<P>>) -> Node<P> {
    for depth in (0..GROUP_DEPTH).rev() {
        let mut below = nodes.into_iter();
        nodes = std::iter::from_fn(|| Some(Node::join([below.next()?, below.next()?], depth))).collect();
    }
    nodes.pop().unwrap_or(Node::Empty)
}
