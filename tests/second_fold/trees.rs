//! The tree of the log and the map of its state, by their recursive definitions (§1, §7).

use super::link::{Id, hash};

/// RFC 6962, section 2.1.
pub(crate) fn log_root(leaves: &[Id]) -> Id {
    match leaves {
        [] => hash(&[]),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            hash(&[&[1], &log_root(&leaves[..split]), &log_root(&leaves[split..])])
        }
    }
}

pub(crate) fn log_leaf(entry: &[u8]) -> Id {
    hash(&[&[0], entry])
}

/// The root over pairs of key and value.
pub(crate) fn map_root(leaves: &[(Id, Id)], depth: usize) -> Id {
    match leaves {
        [] => [0; 32],
        [(key, value)] => hash(&[&[2], key, value]),
        _ => {
            let bit = |key: &Id| key[depth / 8] >> (7 - depth % 8) & 1;
            let (ones, zeros): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| bit(key) == 1);
            hash(&[&[3], &map_root(&zeros, depth + 1), &map_root(&ones, depth + 1)])
        }
    }
}
