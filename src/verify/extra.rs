//! What a proof carries in `extra` (formats.md §8): the link, and the state of its signer; or a state alone.
//!
//! Plain data, read and not believed; its bytes are in `extra_bytes`. What binds the members to the link is looked at in
//! `proof`.

use crate::hash::Hash;
use crate::map;
use crate::soul::Beside;

/// Most key events of a link proof.
pub const MAX_KEY_EVENTS: usize = 256;

/// What a proof is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Extra {
    /// A link.
    Link(LinkExtra),
    /// An identity, or a name or identity that is not there; the proof is of the trailer.
    State(StatePart),
}

/// A link, and what shows more of it than that it is logged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkExtra {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// The body that lies beside the log, and its salt, where the holder discloses it.
    pub disclosed: Option<Beside>,
    /// The entries of the chain's key events, from the genesis to the one that the link names; empty where absent, at
    /// most [`MAX_KEY_EVENTS`].
    pub key_events: Vec<Vec<u8>>,
    /// The signer's state under the same checkpoint.
    pub state: Option<SignerState>,
}

/// A state under the checkpoint of a link proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignerState {
    /// The inclusion path of the last leaf, the trailer.
    pub path: Vec<Hash>,
    /// The state.
    pub part: StatePart,
}

/// A trailer, and what its map has at one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatePart {
    /// The trailer's entry.
    pub trailer: Vec<u8>,
    /// The record's bytes as the map commits to them; `None` for absence.
    pub record: Option<Vec<u8>>,
    /// That it is in the map, or that nothing is.
    pub map: map::Proof,
}
