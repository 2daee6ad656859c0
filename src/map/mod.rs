//! The state map: a binary prefix tree that fixes the state of every identity and name under one root (formats.md §7).
//!
//! Keys are 256 bits, and bit 0 is the most significant bit of byte 0. A leaf hashes to `H(0x02 ‖ key ‖ value)`, an inner
//! node to `H(0x03 ‖ left ‖ right)`, and nothing at all to 32 zero bytes. A subtree with one leaf is that leaf, so a leaf
//! sits at the shallowest depth at which its prefix is unique. The root depends on the set of leaves alone, not on the
//! order in which they came.
//!
//! [`Tree`] holds the leaves, each with a payload of the caller's, and shares whatever did not change with its earlier
//! versions. [`Proof`] shows that a key is in the map with a value, or that it is not there.
//!
//! What a record is and when it changes is `registry`'s business, as is the JSON form of a proof; the trailer that carries
//! the root into the log is an entry of the log and lives there too.

mod key;
mod leaves;
mod node;
mod proof;
mod subtree;
mod tree;

pub use key::{MapKey, MapValue, identity_key, identity_value, name_key, name_value};
pub use leaves::Leaves;
pub use proof::{MapProofError, Proof, ProofKind};
pub use subtree::{Leaf, MAX_DEPTH};
pub use tree::{Change, Iter, Tree};
