//! The link: one event on one identity's chain (formats.md §2).

use super::ids::{BodyCommit, Curr, Identity, Kid, LogId, Seqno};
use crate::encoding::UnixMillis;
use crate::hash::Hash;

/// Bytes of the fixed header `M`.
pub const HEADER_LEN: usize = 274;

/// The type of a link (formats.md §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum LinkType {
    /// Founds an identity.
    Genesis = 0x0001,
    /// Replaces the key set.
    Keys = 0x0002,
    /// Takes an identity back.
    Recover = 0x0003,
    /// Ends an identity.
    RevokeAgent = 0x0004,
    /// Describes an identity.
    Profile = 0x0005,
    /// What an agent did.
    Action = 0x0100,
    /// Confirms another's action.
    Receipt = 0x0101,
    /// Rates another.
    Feedback = 0x0102,
    /// Vouches for another.
    Attest = 0x0103,
    /// Takes an own statement back.
    Retract = 0x0104,
    /// Says something of standing about another.
    Notice = 0x0105,
    /// Sets registrars and scoring.
    Policy = 0x0200,
}

/// How an action ended (flags, bits 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Nothing is said.
    #[default]
    None = 0,
    /// It succeeded.
    Success = 1,
    /// It failed.
    Failure = 2,
    /// It was not allowed.
    Denied = 3,
}

/// The fields of `M`, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which log.
    pub log_id: LogId,
    /// Whose chain; zero in a genesis.
    pub identity: Identity,
    /// Place in the chain.
    pub seqno: Seqno,
    /// The link before it; zero in a genesis.
    pub prev: Curr,
    /// The newest key event before it; zero in a genesis.
    pub auth: Curr,
    /// What it is.
    pub link_type: LinkType,
    /// Whether the body is part of the entry.
    pub inline: bool,
    /// How an action ended.
    pub outcome: Outcome,
    /// The signer's claim.
    pub ctime: UnixMillis,
    /// Size of a checkpoint that the signer had seen; 0 = none.
    pub anchor_size: u64,
    /// Its root; zero if none.
    pub anchor_root: Hash,
    /// Who signs.
    pub kid: Kid,
    /// Bytes of the body.
    pub body_len: u32,
    /// Commitment to the body.
    pub body_commit: BodyCommit,
}
