//! Hashes of the state map, straight from formats.md §7, over leaves that lie sorted in a row.

use super::key::{MapKey, MapValue};
use crate::hash::{Hash, sha256_pair};

/// Depth at which no two keys share their prefix any more.
pub const MAX_DEPTH: u16 = 256;

const LEAF_PREFIX: u8 = 0x02;
const INNER_PREFIX: u8 = 0x03;

/// A key with its value, and what the caller keeps beside them; the payload is in no hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf<P> {
    /// Where it sits.
    pub key: MapKey,
    /// What it commits to.
    pub value: MapValue,
    /// The caller's own.
    pub payload: P,
}

/// Hash of the subtree at `depth` that holds exactly `leaves`: sorted by key, no two alike, all sharing the first
/// `depth` bits.
pub(super) fn subtree_hash<P>(leaves: &[Leaf<P>], depth: usize) -> Hash {
    match leaves {
        [] => Hash::ZERO,
        [leaf] => leaf_hash(&leaf.key, &leaf.value),
        _ => {
            let (left, right) = leaves.split_at(left_count(leaves, depth));
            inner_hash(&subtree_hash(left, depth + 1), &subtree_hash(right, depth + 1))
        }
    }
}

/// How many of these sorted leaves go left at `depth`.
pub(super) fn left_count<P>(leaves: &[Leaf<P>], depth: usize) -> usize {
    leaves.partition_point(|leaf| !leaf.key.bit(depth))
}

/// `H(0x02 ‖ key ‖ value)`.
pub(super) fn leaf_hash(key: &MapKey, value: &MapValue) -> Hash {
    Hash::from_bytes(sha256_pair(LEAF_PREFIX, key.as_bytes(), value.as_bytes()))
}

/// `H(0x03 ‖ left ‖ right)`.
pub(super) fn inner_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::from_bytes(sha256_pair(INNER_PREFIX, left.as_bytes(), right.as_bytes()))
}
