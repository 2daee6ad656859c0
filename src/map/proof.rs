//! Map proofs: that a key is in the state map with a value, or that it is not there (formats.md §7).
//!
//! A [`Proof`] has passed the checks that need neither key nor root; verifying then recomputes the root. Its JSON form is
//! written and read elsewhere, through the accessors and [`Proof::new`].

use core::fmt;

use super::key::{MapKey, MapValue};
use super::subtree::{MAX_DEPTH, inner_hash, leaf_hash};
use crate::hash::Hash;

/// What a state map has at a key, with the hashes that lead from there to the root.
///
/// Invariants: `depth` is at most [`MAX_DEPTH`]; the bitmap has ⌈depth/8⌉ bytes and no bit from `depth` on; there are as
/// many siblings as bits, none of them zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    kind: ProofKind,
    depth: u16,
    siblings: Vec<Hash>,
    bitmap: Vec<u8>,
}

/// What ends the path of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProofKind {
    /// The key's own leaf.
    Included,
    /// The leaf of another key, which stands for all keys with that prefix: the key is absent.
    Other {
        /// That leaf's key.
        key: MapKey,
        /// That leaf's value.
        value: MapValue,
    },
    /// An empty subtree: the key is absent.
    Empty,
}

/// Why a map proof is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MapProofError {
    /// Deeper than a key has bits.
    Depth {
        /// The depth given.
        depth: u16,
    },
    /// The bitmap does not have ⌈depth/8⌉ bytes.
    BitmapLength {
        /// Bytes that the depth asks for.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The bitmap names a sibling deeper than the path.
    BitmapBit {
        /// Depth of the path.
        depth: u16,
    },
    /// Siblings are missing or left over.
    SiblingCount {
        /// Siblings that the bitmap names.
        expected: usize,
        /// Siblings given.
        actual: usize,
    },
    /// A sibling is written that is zero, and so to be omitted.
    ZeroSibling {
        /// Its place among the siblings.
        place: usize,
    },
    /// Inclusion was asked for, and the proof is one of absence.
    NotIncluded,
    /// Absence was asked for, and the proof is one of inclusion.
    NotAbsent,
    /// The other leaf has the very key whose absence it should show.
    OtherIsKey,
    /// The other leaf does not lie on the key's path.
    OtherPrefix {
        /// Depth of the path.
        depth: u16,
        /// Leading bits that both keys share.
        shared: u16,
    },
    /// The path leads to another root.
    Root {
        /// The root asked about.
        expected: Hash,
        /// The root that the path leads to.
        actual: Hash,
    },
}

impl Proof {
    /// A proof from its parts: `siblings` from `depth` to 1 without the zero ones, which `bitmap` leaves out.
    pub fn new(kind: ProofKind, depth: u16, siblings: Vec<Hash>, bitmap: Vec<u8>) -> Result<Self, MapProofError> {
        if depth > MAX_DEPTH {
            return Err(MapProofError::Depth { depth });
        }
        check_bitmap(&bitmap, depth)?;
        check_siblings(&siblings, &bitmap)?;
        Ok(Self { kind, depth, siblings, bitmap })
    }

    /// Checks that the map with this root has `key` with `value`.
    pub fn verify_included(&self, key: &MapKey, value: &MapValue, root: &Hash) -> Result<(), MapProofError> {
        match self.kind {
            ProofKind::Included => self.check_root(key, leaf_hash(key, value), root),
            ProofKind::Other { .. } | ProofKind::Empty => Err(MapProofError::NotIncluded),
        }
    }

    /// Checks that the map with this root does not have `key`.
    pub fn verify_absent(&self, key: &MapKey, root: &Hash) -> Result<(), MapProofError> {
        let end = match &self.kind {
            ProofKind::Included => return Err(MapProofError::NotAbsent),
            ProofKind::Empty => Hash::ZERO,
            ProofKind::Other { key: other, value } => {
                self.check_other(key, other)?;
                leaf_hash(other, value)
            }
        };
        self.check_root(key, end, root)
    }

    /// What ends the path.
    pub const fn kind(&self) -> &ProofKind {
        &self.kind
    }

    /// Length of the path, 0 to [`MAX_DEPTH`].
    pub const fn depth(&self) -> u16 {
        self.depth
    }

    /// The siblings that are not zero, from the deepest to the one nearest the root.
    pub fn siblings(&self) -> &[Hash] {
        &self.siblings
    }

    /// Which siblings are not zero: the most significant bit of the first byte stands for the one nearest the root.
    pub fn bitmap(&self) -> &[u8] {
        &self.bitmap
    }

    /// The proof of a path whose siblings are all given, from the root down.
    pub(super) fn from_path(kind: ProofKind, path: &[Hash]) -> Self {
        let mut bitmap = vec![0; path.len().div_ceil(8)];
        for (level, _) in path.iter().enumerate().filter(|(_, sibling)| !sibling.is_zero()) {
            bitmap[level / 8] |= bitmap_bit(level);
        }
        let siblings = path.iter().rev().filter(|sibling| !sibling.is_zero()).copied().collect();
        Self { kind, depth: path.len() as u16, siblings, bitmap }
    }

    fn check_other(&self, key: &MapKey, other: &MapKey) -> Result<(), MapProofError> {
        let shared = key.shared_bits(other) as u16;
        if shared == MAX_DEPTH {
            return Err(MapProofError::OtherIsKey);
        }
        if shared < self.depth {
            return Err(MapProofError::OtherPrefix { depth: self.depth, shared });
        }
        Ok(())
    }

    fn check_root(&self, key: &MapKey, end: Hash, expected: &Hash) -> Result<(), MapProofError> {
        let actual = self.root_from(key, end);
        if actual == *expected { Ok(()) } else { Err(MapProofError::Root { expected: *expected, actual }) }
    }

    /// The root of a map in which the path of `key` ends in a subtree with the hash `end`.
    fn root_from(&self, key: &MapKey, end: Hash) -> Hash {
        let mut siblings = self.siblings.iter();
        let mut node = end;
        for level in (0..usize::from(self.depth)).rev() {
            let sibling = if self.bitmap[level / 8] & bitmap_bit(level) == 0 {
                &Hash::ZERO
            } else {
                siblings.next().expect("as many siblings as bits: checked when the proof was made")
            };
            node = if key.bit(level) { inner_hash(sibling, &node) } else { inner_hash(&node, sibling) };
        }
        node
    }
}

/// The bit, in its byte of the bitmap, of the sibling that is chosen against by bit `level` of the key.
const fn bitmap_bit(level: usize) -> u8 {
    0x80 >> (level % 8)
}

fn check_bitmap(bitmap: &[u8], depth: u16) -> Result<(), MapProofError> {
    let expected = usize::from(depth).div_ceil(8);
    if bitmap.len() != expected {
        return Err(MapProofError::BitmapLength { expected, actual: bitmap.len() });
    }
    let unused = expected * 8 - usize::from(depth);
    match bitmap.last() {
        Some(last) if (last.trailing_zeros() as usize) < unused => Err(MapProofError::BitmapBit { depth }),
        _ => Ok(()),
    }
}

fn check_siblings(siblings: &[Hash], bitmap: &[u8]) -> Result<(), MapProofError> {
    let expected = bitmap.iter().map(|byte| byte.count_ones() as usize).sum();
    if siblings.len() != expected {
        return Err(MapProofError::SiblingCount { expected, actual: siblings.len() });
    }
    match siblings.iter().position(Hash::is_zero) {
        Some(place) => Err(MapProofError::ZeroSibling { place }),
        None => Ok(()),
    }
}

impl fmt::Display for MapProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth { depth } => write!(f, "depth {depth} is more than {MAX_DEPTH}"),
            Self::BitmapLength { expected, actual } => write!(f, "bitmap has {actual} bytes, not {expected}"),
            Self::BitmapBit { depth } => write!(f, "bitmap names a sibling beyond depth {depth}"),
            Self::SiblingCount { expected, actual } => write!(f, "{actual} siblings, but the bitmap names {expected}"),
            Self::ZeroSibling { place } => write!(f, "sibling {place} is zero and yet written"),
            Self::NotIncluded => f.write_str("the proof is one of absence, not of inclusion"),
            Self::NotAbsent => f.write_str("the proof is one of inclusion, not of absence"),
            Self::OtherIsKey => f.write_str("the other leaf is that of the key itself"),
            Self::OtherPrefix { depth, shared } => {
                write!(f, "the other leaf shares {shared} bits with the key, not {depth}")
            }
            Self::Root { expected, actual } => write!(f, "the path leads to root {actual}, not to {expected}"),
        }
    }
}

impl std::error::Error for MapProofError {}
