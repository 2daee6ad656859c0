//! Nodes of the tree in memory: how they are built and changed.
//!
//! Subtrees of at most [`BUCKET_LEAVES`] leaves lie as one sorted row; only above that do inner nodes exist. A row keeps no
//! hash but that of its subtree, so a leaf costs little more than itself, and a change rehashes one row. A branch holds
//! the hashes of its children beside the pointers to them: a path is rehashed without reading what lies beside it.
//!
//! Invariants: a row is sorted by key without repeats and has 1 to `BUCKET_LEAVES` leaves; a branch has more leaves than
//! that beneath it; every hash is that of its subtree. So the shape follows from the set of leaves alone.

use std::sync::Arc;
use std::thread;
use std::vec;

use super::key::MapKey;
use super::subtree::{Leaf, inner_hash, left_count, subtree_hash};
use super::tree::Change;
use crate::hash::Hash;

/// Most leaves of a row. More of them would take less memory a leaf, and longer to copy and rehash: with 4 a leaf takes
/// about 100 bytes over its key (payload of 8), with 8 about 70 and some twice the hashes in its row at each change.
pub(super) const BUCKET_LEAVES: usize = 4;

/// Fewer leaves than these are built before a thread would have started.
const LEAVES_WORTH_A_THREAD: usize = 1 << 14;

/// A subtree with its hash.
#[derive(Clone)]
pub(super) enum Node<P> {
    Empty,
    Bucket { hash: Hash, leaves: Arc<[Leaf<P>]> },
    Branch { hash: Hash, children: Arc<[Self; 2]> },
}

impl<P> Node<P> {
    /// Hash of this subtree.
    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Empty => Hash::ZERO,
            Self::Bucket { hash, .. } | Self::Branch { hash, .. } => *hash,
        }
    }

    /// The subtree at `depth` of leaves that are sorted, without repeats, and share the first `depth` bits.
    pub(super) fn build(leaves: Vec<Leaf<P>>, depth: usize) -> Self {
        let count = leaves.len();
        Self::build_next(&mut leaves.into_iter(), count, depth)
    }

    /// The same as [`Node::build`], on up to `threads` threads.
    pub(super) fn build_on_threads(mut leaves: Vec<Leaf<P>>, depth: usize, threads: usize) -> Self
    where
        P: Send + Sync,
    {
        if threads < 2 || leaves.len() < LEAVES_WORTH_A_THREAD {
            return Self::build(leaves, depth);
        }
        let right = leaves.split_off(left_count(&leaves, depth));
        thread::scope(|scope| {
            let right = scope.spawn(move || Self::build_on_threads(right, depth + 1, threads / 2));
            let left = Self::build_on_threads(leaves, depth + 1, threads - threads / 2);
            Self::branch([left, right.join().expect("building moves and hashes: nothing in it panics")])
        })
    }

    /// Takes the next `count` leaves, all of the subtree at `depth`, and nothing more.
    fn build_next(source: &mut vec::IntoIter<Leaf<P>>, count: usize, depth: usize) -> Self {
        if count == 0 {
            return Self::Empty;
        }
        if count <= BUCKET_LEAVES {
            return Self::bucket(source.take(count).collect(), depth);
        }
        let left_count = left_count(&source.as_slice()[..count], depth);
        let left = Self::build_next(source, left_count, depth + 1);
        let right = Self::build_next(source, count - left_count, depth + 1);
        Self::branch([left, right])
    }

    fn bucket(leaves: Arc<[Leaf<P>]>, depth: usize) -> Self {
        Self::Bucket { hash: subtree_hash(&leaves, depth), leaves }
    }

    fn branch(children: [Self; 2]) -> Self {
        Self::Branch { hash: inner_hash(&children[0].hash(), &children[1].hash()), children: Arc::new(children) }
    }

    /// The leaves of a subtree that has no branch.
    fn row(&self) -> Option<&[Leaf<P>]> {
        match self {
            Self::Empty => Some(&[]),
            Self::Bucket { leaves, .. } => Some(leaves),
            Self::Branch { .. } => None,
        }
    }
}

impl<P: Clone> Node<P> {
    /// The subtree at `depth` of both children, whatever they are.
    pub(super) fn join(children: [Self; 2], depth: usize) -> Self {
        match joined_row(&children) {
            Some(row) => Self::build(row, depth),
            None => Self::branch(children),
        }
    }

    /// Applies `changes` (sorted by key, no two alike, all within this subtree at `depth`) and keeps `len`, the leaves of
    /// the whole tree. Nodes that nobody else holds are changed in place, others are copied first.
    pub(super) fn update(&mut self, depth: usize, changes: &mut [Change<P>], len: &mut usize) {
        match self {
            Self::Branch { hash, children } => {
                let children = Arc::make_mut(children);
                update_children(children, depth, changes, len);
                if let Some(row) = joined_row(children) {
                    *self = Self::build(row, depth);
                } else {
                    *hash = inner_hash(&children[0].hash(), &children[1].hash());
                }
            }
            Self::Bucket { hash, leaves } if replaces_only(leaves, changes) => {
                let leaves = Arc::make_mut(leaves);
                replace(leaves, changes);
                *hash = subtree_hash(leaves, depth);
            }
            Self::Empty | Self::Bucket { .. } => {
                let row = self.row().unwrap_or_default();
                let merged = merge(row, changes);
                *len = *len - row.len() + merged.len();
                *self = Self::build(merged, depth);
            }
        }
    }
}

fn update_children<P: Clone>(children: &mut [Node<P>; 2], depth: usize, changes: &mut [Change<P>], len: &mut usize) {
    let (left, right) = changes.split_at_mut(changes.partition_point(|(key, _)| !key.bit(depth)));
    for (child, changes) in children.iter_mut().zip([left, right]) {
        if !changes.is_empty() {
            child.update(depth + 1, changes, len);
        }
    }
}

/// The leaves beneath a branch that removals have left with too few to be one.
fn joined_row<P: Clone>(children: &[Node<P>; 2]) -> Option<Vec<Leaf<P>>> {
    let (left, right) = (children[0].row()?, children[1].row()?);
    (left.len() + right.len() <= BUCKET_LEAVES).then(|| [left, right].concat())
}

/// Whether every change gives a new value to a leaf that is there, so that the row keeps its keys.
fn replaces_only<P>(leaves: &[Leaf<P>], changes: &[Change<P>]) -> bool {
    changes.iter().all(|(key, content)| content.is_some() && position(leaves, key).is_ok())
}

fn replace<P>(leaves: &mut [Leaf<P>], changes: &mut [Change<P>]) {
    for (key, content) in changes {
        if let (Ok(at), Some((value, payload))) = (position(leaves, key), content.take()) {
            leaves[at] = Leaf { key: *key, value, payload };
        }
    }
}

/// The leaves of `row`, without those that a change names, and the new ones, in order.
fn merge<P: Clone>(row: &[Leaf<P>], changes: &mut [Change<P>]) -> Vec<Leaf<P>> {
    let mut merged = Vec::with_capacity(row.len() + changes.len());
    let mut rest = row;
    for (key, content) in changes {
        let (before, from) = rest.split_at(rest.partition_point(|leaf| leaf.key < *key));
        merged.extend_from_slice(before);
        rest = from.split_first().filter(|(leaf, _)| leaf.key == *key).map_or(from, |(_, after)| after);
        merged.extend(content.take().map(|(value, payload)| Leaf { key: *key, value, payload }));
    }
    merged.extend_from_slice(rest);
    merged
}

/// Where the leaf with this key lies in a sorted row, or where it would.
pub(super) fn position<P>(leaves: &[Leaf<P>], key: &MapKey) -> Result<usize, usize> {
    leaves.binary_search_by(|leaf| leaf.key.cmp(key))
}

#[cfg(test)]
mod tests {
    use super::{BUCKET_LEAVES, Node};
    use crate::hash::sha256;
    use crate::map::{Change, Leaf, MapKey, MapValue, Tree};

    fn leaf(number: u64) -> Leaf<u64> {
        let key = MapKey::from_bytes(sha256(&[b"key ", &number.to_be_bytes()]));
        Leaf { key, value: MapValue::from_bytes(sha256(&[b"value ", &number.to_be_bytes()])), payload: number }
    }

    fn sorted(numbers: impl Iterator<Item = u64>) -> Vec<Leaf<u64>> {
        let mut leaves: Vec<_> = numbers.map(leaf).collect();
        leaves.sort_by_key(|leaf| leaf.key);
        leaves
    }

    /// Checks the invariants of the module header, and returns the leaves in order.
    fn check(node: &Node<u64>, depth: usize) -> Vec<Leaf<u64>> {
        let leaves = match node {
            Node::Empty => Vec::new(),
            Node::Bucket { leaves, .. } => {
                assert!((1..=BUCKET_LEAVES).contains(&leaves.len()));
                leaves.to_vec()
            }
            Node::Branch { children, .. } => {
                let leaves = [check(&children[0], depth + 1), check(&children[1], depth + 1)].concat();
                assert!(leaves.len() > BUCKET_LEAVES);
                leaves
            }
        };
        assert!(leaves.is_sorted_by(|a, b| a.key < b.key));
        assert_eq!(node.hash(), super::subtree_hash(&leaves, depth));
        leaves
    }

    #[test]
    fn the_shape_follows_from_the_leaves_alone() {
        let change = |leaf: Leaf<u64>| -> Change<u64> { (leaf.key, Some((leaf.value, leaf.payload))) };
        let mut node = Node::Empty;
        let mut len = 0;
        for batch in 0..40 {
            node.update(
                0,
                &mut sorted(batch * 15..batch * 15 + 15).into_iter().map(change).collect::<Vec<_>>(),
                &mut len,
            );
            assert_eq!(check(&node, 0), sorted(0..batch * 15 + 15));
        }
        for batch in (0..40).rev() {
            let mut changes: Vec<Change<u64>> =
                sorted(batch * 15..batch * 15 + 15).into_iter().map(|leaf| (leaf.key, None)).collect();
            node.update(0, &mut changes, &mut len);
            assert_eq!(check(&node, 0), sorted(0..batch * 15));
            assert_eq!(len as u64, batch * 15);
        }
        assert!(matches!(node, Node::Empty));
    }

    #[test]
    fn threads_build_the_same() {
        let leaves = sorted(0..=2 * super::LEAVES_WORTH_A_THREAD as u64);
        for threads in 0..4 {
            let node = Node::build_on_threads(leaves.clone(), 0, threads);
            assert!(check(&node, 0) == leaves);
        }
    }

    #[test]
    fn a_snapshot_shares_what_did_not_change() {
        let before = Tree::build(sorted(0..1000));
        let mut after = before.clone();
        let Leaf { key, value, payload } = leaf(1000);
        after.update(vec![(key, Some((value, payload)))]);
        let (old, new) = (pieces(&before.top), pieces(&after.top));
        let copied = new.iter().filter(|piece| !old.contains(piece)).count();
        assert!(copied <= 30, "one path of some ten nodes, and a row that may be split: {copied} were copied");
        // Without a snapshot even that path stays where it is.
        drop(before);
        after.update(vec![(key, Some((value, 7)))]);
        assert_eq!(pieces(&after.top), new);
        assert_eq!(after.get(&key), Some((&value, &7)));
    }

    /// Where the rows and branches lie in memory.
    fn pieces(node: &Node<u64>) -> Vec<*const u8> {
        match node {
            Node::Empty => Vec::new(),
            Node::Bucket { leaves, .. } => vec![leaves.as_ptr().cast()],
            Node::Branch { children, .. } => {
                let own = children.as_ptr().cast();
                [vec![own], pieces(&children[0]), pieces(&children[1])].concat()
            }
        }
    }

    /// Bytes on the heap, for an allocator with a word of its own at each piece and pieces of 16 bytes.
    fn heap_bytes(node: &Node<u64>) -> usize {
        const COUNTERS: usize = 16;
        let piece = |bytes: usize| (COUNTERS + bytes + 8).next_multiple_of(16);
        match node {
            Node::Empty => 0,
            Node::Bucket { leaves, .. } => piece(size_of_val::<[_]>(leaves)),
            Node::Branch { children, .. } => {
                piece(size_of_val(children.as_ref())) + heap_bytes(&children[0]) + heap_bytes(&children[1])
            }
        }
    }

    #[test]
    fn a_leaf_takes_at_most_120_bytes_over_its_key() {
        const LEAVES: u64 = 50_000;
        let bytes = heap_bytes(&Node::build(sorted(0..LEAVES), 0)) as u64;
        assert!(bytes <= LEAVES * (120 + 32), "{} bytes a leaf", bytes / LEAVES);
    }
}
