//! The fixed header `M` of a link: what is hashed and signed (formats.md §2).
//!
//! ```text
//! magic 18 | suite 1 | log_id 32 | identity 32 | seqno 8 | prev 32 | auth 32 | type 2 | flags 1 | ctime_ms 8
//! | anchor_size 8 | anchor_root 32 | kid 32 | body_len 4 | body_commit 32
//! ```
//!
//! [`Header::parse`] decides the part of rule `malformed` (§5) that the header alone decides. What follows it in an
//! entry is `link`'s business; whether seqno, prev, auth and anchor fit the log is the registry's.

use super::ids::{BodyCommit, Curr, Identity, Kid, LogId, Seqno};
use super::key::SUITE;
use super::link_error::LinkError;
use super::names::names;
use crate::encoding::{MAX_SAFE_INTEGER, Reader, UnixMillis, Writer};
use crate::hash::Hash;

/// Bytes of the fixed header `M`.
pub const HEADER_LEN: usize = 274;
/// Bytes of the longest body.
pub const MAX_BODY_LEN: u32 = 1_048_576;
/// Bytes of the longest body that is part of its entry.
pub const MAX_INLINE_LEN: u32 = 60_000;

const MAGIC: &[u8; 18] = b"soulchain/link/v1\n";
const FLAG_INLINE: u8 = 0b001;
const FLAG_OUTCOME_SHIFT: u8 = 1;
const FLAGS_RESERVED: u8 = 0b1111_1000;

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

names! {
    LinkType {
        Genesis => "genesis", Keys => "keys", Recover => "recover", RevokeAgent => "revoke_agent",
        Profile => "profile", Action => "action", Receipt => "receipt", Feedback => "feedback", Attest => "attest",
        Retract => "retract", Notice => "notice", Policy => "policy",
    }
}

names! {
    Outcome { None => "none", Success => "success", Failure => "failure", Denied => "denied" }
}

impl LinkType {
    /// Its number in a header.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The type with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.code() == code)
    }

    /// Whether it changes the key set, so that later links name it in `auth`.
    pub const fn is_key_event(self) -> bool {
        matches!(self, Self::Genesis | Self::Keys | Self::Recover | Self::RevokeAgent)
    }

    /// Whether its body may be kept beside the log, or be empty.
    pub const fn may_lie_beside(self) -> bool {
        matches!(self, Self::Action)
    }

    /// Whether its flags may tell an outcome.
    pub const fn may_tell_outcome(self) -> bool {
        matches!(self, Self::Action | Self::Receipt)
    }
}

impl Header {
    /// Reads `M`: exactly 274 bytes that are not `malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, LinkError> {
        if bytes.len() != HEADER_LEN {
            return Err(LinkError::HeaderLength(bytes.len()));
        }
        let header = read(bytes)?;
        header.check()?;
        Ok(header)
    }

    /// The bytes of `M`.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = Writer::with_capacity(HEADER_LEN);
        out.raw(MAGIC).u8(SUITE).raw(self.log_id.as_ref()).raw(self.identity.as_ref());
        out.u64(self.seqno.get()).raw(self.prev.as_ref()).raw(self.auth.as_ref());
        out.u16(self.link_type.code()).u8(self.flags()).u64(self.ctime.get());
        out.u64(self.anchor_size).raw(self.anchor_root.as_ref()).raw(self.kid.as_ref());
        out.u32(self.body_len).raw(self.body_commit.as_ref());
        out.into_bytes().try_into().expect("the fields above are 274 bytes")
    }

    /// The flags byte: `inline` and the outcome.
    pub fn flags(&self) -> u8 {
        u8::from(self.inline) | ((self.outcome as u8) << FLAG_OUTCOME_SHIFT)
    }

    /// Whether it stands where only a genesis stands, and has to: no identity yet, seqno 1, nothing before it.
    pub fn begins_chain(&self) -> bool {
        self.identity.is_zero() && self.seqno == Seqno::FIRST && self.prev.is_zero() && self.auth.is_zero()
    }

    /// The rules that bind several fields; also what a header that is about to be signed is held to.
    pub(super) fn check(&self) -> Result<(), LinkError> {
        for (field, value) in
            [("seqno", self.seqno.get()), ("ctime_ms", self.ctime.get()), ("anchor_size", self.anchor_size)]
        {
            if value > MAX_SAFE_INTEGER {
                return Err(LinkError::TooGreat { field, value });
            }
        }
        if self.outcome != Outcome::None && !self.link_type.may_tell_outcome() {
            return Err(LinkError::OutcomeNotAllowed(self.link_type));
        }
        if self.body_len > MAX_BODY_LEN || (self.inline && self.body_len > MAX_INLINE_LEN) {
            return Err(LinkError::BodyTooLong { len: self.body_len, inline: self.inline });
        }
        if self.inline && self.body_len == 0 {
            return Err(LinkError::EmptyInline);
        }
        if !self.inline && !self.link_type.may_lie_beside() {
            return Err(LinkError::NotInline(self.link_type));
        }
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Result<Header, LinkError> {
    const LONG_ENOUGH: &str = "the length was checked and the fields are 274 bytes";
    let mut rest = Reader::new(bytes);
    let id = |rest: &mut Reader<'_>| rest.array::<32>().expect(LONG_ENOUGH);
    if rest.take(MAGIC.len()) != Some(MAGIC) {
        return Err(LinkError::Magic);
    }
    let suite = rest.u8().expect(LONG_ENOUGH);
    if suite != SUITE {
        return Err(LinkError::Suite(suite));
    }
    let log_id = LogId::from_bytes(id(&mut rest));
    let identity = Identity::from_bytes(id(&mut rest));
    let seqno = Seqno::new(rest.u64().expect(LONG_ENOUGH));
    let prev = Curr::from_bytes(id(&mut rest));
    let auth = Curr::from_bytes(id(&mut rest));
    let code = rest.u16().expect(LONG_ENOUGH);
    let link_type = LinkType::from_code(code).ok_or(LinkError::UnknownType(code))?;
    let flags = rest.u8().expect(LONG_ENOUGH);
    if flags & FLAGS_RESERVED != 0 {
        return Err(LinkError::ReservedFlags(flags));
    }
    Ok(Header {
        log_id,
        identity,
        seqno,
        prev,
        auth,
        link_type,
        inline: flags & FLAG_INLINE != 0,
        outcome: Outcome::ALL[usize::from(flags >> FLAG_OUTCOME_SHIFT)],
        ctime: UnixMillis::new(rest.u64().expect(LONG_ENOUGH)),
        anchor_size: rest.u64().expect(LONG_ENOUGH),
        anchor_root: Hash::from_bytes(id(&mut rest)),
        kid: Kid::from_bytes(id(&mut rest)),
        body_len: rest.u32().expect(LONG_ENOUGH),
        body_commit: BodyCommit::from_bytes(id(&mut rest)),
    })
}
