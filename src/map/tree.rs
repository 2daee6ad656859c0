//! The state map in memory: a tree whose versions share what did not change.

use std::slice;

use super::key::{MapKey, MapValue};
use super::leaves::{Leaves, gather};
use super::node::{Node, position};
use super::proof::{Proof, ProofKind};
use super::subtree::{Leaf, left_count, subtree_hash};
use crate::hash::Hash;

/// A new value for a key, with its payload, or `None` to remove it.
pub type Change<P> = (MapKey, Option<(MapValue, P)>);

/// The state map, with a payload of the caller's at each leaf.
///
/// A clone costs nothing and is a snapshot: it keeps its leaves and its root whatever is done to the original, and readers
/// in other threads may hold it.
#[derive(Clone)]
pub struct Tree<P> {
    pub(super) top: Node<P>,
    len: usize,
}

impl<P> Tree<P> {
    /// A tree without leaves.
    pub const fn new() -> Self {
        Self { top: Node::Empty, len: 0 }
    }

    /// A tree of these leaves: fastest when they come sorted by key. Of several with one key the last counts.
    pub fn build(mut leaves: Vec<Leaf<P>>) -> Self {
        sort_last_wins(&mut leaves, |leaf| &leaf.key);
        let len = leaves.len();
        Self { top: Node::build(leaves, 0), len }
    }

    /// The same as [`Tree::build`], on up to `threads` threads.
    pub fn build_on_threads(mut leaves: Vec<Leaf<P>>, threads: usize) -> Self
    where
        P: Send + Sync,
    {
        sort_last_wins(&mut leaves, |leaf| &leaf.key);
        let len = leaves.len();
        Self { top: Node::build_on_threads(leaves, 0, threads), len }
    }

    /// The hash that fixes all keys and values; zero for a tree without leaves.
    pub fn root(&self) -> Hash {
        self.top.hash()
    }

    /// Number of leaves.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no leaf.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Value and payload of a key, if it is there.
    pub fn get(&self, key: &MapKey) -> Option<(&MapValue, &P)> {
        let mut node = &self.top;
        let mut depth = 0;
        loop {
            match node {
                Node::Empty => return None,
                Node::Bucket { leaves, .. } => {
                    let leaf = &leaves[position(leaves, key).ok()?];
                    return Some((&leaf.value, &leaf.payload));
                }
                Node::Branch { children, .. } => node = &children[usize::from(key.bit(depth))],
            }
            depth += 1;
        }
    }

    /// All leaves in the order of their keys.
    pub fn iter(&self) -> Iter<'_, P> {
        Iter { ahead: vec![&self.top], row: [].iter() }
    }

    /// Shows what the tree has at `key`: its value, or that it is not there.
    pub fn prove(&self, key: &MapKey) -> Proof {
        let mut siblings = Vec::new();
        let mut node = &self.top;
        while let Node::Branch { children, .. } = node {
            let side = usize::from(key.bit(siblings.len()));
            siblings.push(children[1 - side].hash());
            node = &children[side];
        }
        let row: &[Leaf<P>] = if let Node::Bucket { leaves, .. } = node { leaves } else { &[] };
        let kind = match descend_row(row, key, &mut siblings) {
            None => ProofKind::Empty,
            Some(leaf) if leaf.key == *key => ProofKind::Included,
            Some(leaf) => ProofKind::Other { key: leaf.key, value: leaf.value },
        };
        Proof::from_path(kind, &siblings)
    }
}

impl<P: Clone> Tree<P> {
    /// A tree of all these leaves, built on up to `threads` threads. Of several with one key any may count.
    pub fn gather(parts: Vec<Leaves<P>>, threads: usize) -> Self
    where
        P: Send + Sync,
    {
        let (top, len) = gather(parts, threads);
        Self { top, len }
    }

    /// Applies a batch, of which each touched node is hashed once. Of several changes to one key the last counts; to remove
    /// a key that is not there does nothing.
    pub fn update(&mut self, mut changes: Vec<Change<P>>) {
        sort_last_wins(&mut changes, |(key, _)| key);
        if !changes.is_empty() {
            self.top.update(0, &mut changes, &mut self.len);
        }
    }
}

impl<P> Default for Tree<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> core::fmt::Debug for Tree<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tree").field("len", &self.len).field("root", &self.root()).finish_non_exhaustive()
    }
}

impl<'a, P> IntoIterator for &'a Tree<P> {
    type Item = &'a Leaf<P>;
    type IntoIter = Iter<'a, P>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The leaves of a [`Tree`] in the order of their keys.
#[derive(Clone)]
pub struct Iter<'a, P> {
    /// Subtrees still to visit, the next one last.
    ahead: Vec<&'a Node<P>>,
    row: slice::Iter<'a, Leaf<P>>,
}

impl<'a, P> Iterator for Iter<'a, P> {
    type Item = &'a Leaf<P>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(leaf) = self.row.next() {
                return Some(leaf);
            }
            match self.ahead.pop()? {
                Node::Empty => {}
                Node::Bucket { leaves, .. } => self.row = leaves.iter(),
                Node::Branch { children, .. } => self.ahead.extend([&children[1], &children[0]]),
            }
        }
    }
}

impl<P> core::fmt::Debug for Iter<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

/// Follows `key` through a row whose leaves share as many bits as there are `siblings`, to the one leaf, or none, that its
/// prefix leads to; adds the siblings that it passes.
fn descend_row<'a, P>(mut row: &'a [Leaf<P>], key: &MapKey, siblings: &mut Vec<Hash>) -> Option<&'a Leaf<P>> {
    while row.len() > 1 {
        let depth = siblings.len();
        let (left, right) = row.split_at(left_count(row, depth));
        let (taken, beside) = if key.bit(depth) { (right, left) } else { (left, right) };
        siblings.push(subtree_hash(beside, depth + 1));
        row = taken;
    }
    row.first()
}

/// Sorts by key and keeps the last of those with one key.
fn sort_last_wins<T>(items: &mut Vec<T>, key: impl Fn(&T) -> &MapKey) {
    if items.is_sorted_by(|a, b| key(a) < key(b)) {
        return;
    }
    items.sort_by(|a, b| key(a).cmp(key(b)));
    items.dedup_by(|later, earlier| {
        let same = key(later) == key(earlier);
        if same {
            core::mem::swap(later, earlier);
        }
        same
    });
}
