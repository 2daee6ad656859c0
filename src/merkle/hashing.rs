//! Hashes of leaves and nodes (RFC 6962, section 2.1).

use crate::hash::{Hash, sha256, sha256_pair};

/// Goes before the bytes of a leaf.
const LEAF_PREFIX: u8 = 0x00;
/// Goes before the two hashes of a node, so that no node can pose as a leaf.
const NODE_PREFIX: u8 = 0x01;

/// The root of the empty tree: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash::from_bytes([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The hash of a leaf with these bytes.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash::from_bytes(sha256(&[&[LEAF_PREFIX], entry]))
}

/// The hash of a node with these children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::from_bytes(sha256_pair(NODE_PREFIX, left.as_bytes(), right.as_bytes()))
}

/// The root over consecutive nodes of one level: a perfect subtree's, when their number is a power of two.
///
/// Over any other number it is the root of the ragged tree that RFC 6962 shapes; of none, [`EMPTY_ROOT`].
pub fn root_of_perfect(nodes: &[Hash]) -> Hash {
    match nodes {
        [] => EMPTY_ROOT,
        [only] => *only,
        [left, right] => node_hash(left, right),
        _ => {
            let (left, right) = nodes.split_at(nodes.len().next_power_of_two() / 2);
            node_hash(&root_of_perfect(left), &root_of_perfect(right))
        }
    }
}

/// The root of a tree from the hashes of its [`peaks`](super::peaks), greatest first; of none, [`EMPTY_ROOT`].
pub fn root_of_peaks(peaks: &[Hash]) -> Hash {
    let folded = peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    folded.unwrap_or(EMPTY_ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_part_leaves_from_nodes() {
        assert_eq!(EMPTY_ROOT, Hash::from_bytes(sha256(&[])));
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        assert_eq!(left.as_bytes(), &sha256(&[b"\0l"]));
        let joined = [left.as_bytes().as_slice(), right.as_bytes()].concat();
        assert_eq!(node_hash(&left, &right).as_bytes(), &sha256(&[&[1], &joined]));
        assert_ne!(node_hash(&left, &right), leaf_hash(&joined));
        assert_ne!(node_hash(&left, &right), node_hash(&right, &left));
    }

    #[test]
    fn few_nodes_fold_by_hand() {
        let d = [b"0", b"1", b"2", b"3", b"4"].map(|leaf| leaf_hash(leaf));
        let four = node_hash(&node_hash(&d[0], &d[1]), &node_hash(&d[2], &d[3]));
        for root in [root_of_perfect, root_of_peaks] {
            assert_eq!(root(&[]), EMPTY_ROOT);
            assert_eq!(root(&d[..1]), d[0]);
        }
        assert_eq!(root_of_perfect(&d[..4]), four);
        assert_eq!(root_of_perfect(&d), node_hash(&four, &d[4]));
        assert_eq!(root_of_peaks(&d[..3]), node_hash(&d[0], &node_hash(&d[1], &d[2])));
    }
}
