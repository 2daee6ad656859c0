//! Why a link is not admitted, as far as the state decides (formats.md §5).

use super::record::Head;
use crate::encoding::UnixMillis;
use crate::merkle::LeafIndex;
use crate::soul::{self, Code, Curr, Identity, Kid, LogId};

/// The rule that a link breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// Link, body or signature refuse it, whatever the log holds.
    Link(soul::Refusal),
    /// It is of another log.
    WrongLog(LogId),
    /// Its body breaks a rule that only the state can tell.
    BadBody(BodyRule),
    /// The log does not know this identity, or has no valid genesis as entry 0.
    UnknownIdentity(Identity),
    /// The identity has ended.
    Revoked,
    /// It is not the next link of its chain, which ends here; `None` where there is no chain.
    Conflict(Option<ChainEnd>),
    /// The key may not sign this link.
    Unauthorised(Kid),
    /// The handle or domain name is held, by this identity.
    NameTaken(Identity),
    /// The key was used before.
    KeyInUse(Kid),
    /// The commitment to a recovery key was made before on this chain.
    NextCommittedBefore,
    /// The record would hold this many keys retired in the last 30 days.
    TooManyKeys(usize),
    /// The signer's clock is behind both of these.
    ClockBehind {
        /// What the previous link claims.
        previous: UnixMillis,
        /// Log time.
        log_time: UnixMillis,
    },
    /// The signer's clock is ahead of the log's by more than is allowed.
    ClockAhead {
        /// The log's clock.
        clock: UnixMillis,
    },
    /// The anchor is no checkpoint of this log.
    BadAnchor,
    /// What the body names is not there, or not as it has to be.
    BadReference(Reference),
}

/// Where a chain ends: what the next link has to name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainEnd {
    /// The newest link.
    pub head: Head,
    /// The newest key event.
    pub auth: Curr,
}

/// Rules of bodies that need the state (formats.md §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BodyRule {
    /// Entry 0, and no other, is named `registrar`.
    RegistrarName,
    /// A live key that stays keeps its roles.
    RolesChanged(Kid),
    /// There are proofs of possession for exactly the keys that are added and did not sign.
    Pops,
    /// A `keys` event sets `next` only while none is set.
    NextIsSet,
    /// No listed key is the one that `next` commits to.
    NextIsListed(Kid),
    /// A `keys` event adds or retires a key, or sets `next`.
    NothingChanges,
    /// `suspect_from` is above 1 and in the chain.
    SuspectOutOfChain,
    /// More time has passed since the link at `suspect_from` than the signer may look back.
    SuspectTooLate,
    /// No key that `suspect_from` could mark.
    SuspectMarksNone,
}

/// Rules about what a body names (formats.md §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reference {
    /// Nobody speaks about itself.
    OwnSubject,
    /// There is no such identity.
    Unknown(Identity),
    /// The subject has ended.
    SubjectRevoked,
    /// The chain has no such link at that place.
    NoSuchLink,
    /// A receipt or feedback names an action.
    NotAnAction,
    /// The issuer's statement about this link stands already.
    StandsAlready,
    /// Of the signer's links receipt, feedback, attest and notice can be taken back, `bind` and `release` not.
    NotRetractable,
    /// It was taken back before.
    RetractedBefore(LeafIndex),
    /// The subject does not hold the name.
    NameNotHeld,
    /// The subject holds as many domain names as it may.
    TooManyDomains,
}

impl Refusal {
    /// The word of formats.md §5.
    pub const fn code(&self) -> Code {
        match self {
            Self::Link(refusal) => refusal.code(),
            Self::WrongLog(_) => Code::WrongLog,
            Self::BadBody(_) => Code::BadBody,
            Self::UnknownIdentity(_) => Code::UnknownIdentity,
            Self::Revoked => Code::Revoked,
            Self::Conflict(_) => Code::Conflict,
            Self::Unauthorised(_) => Code::Unauthorised,
            Self::NameTaken(_) => Code::NameTaken,
            Self::KeyInUse(_) | Self::NextCommittedBefore => Code::KeyInUse,
            Self::TooManyKeys(_) => Code::TooManyKeys,
            Self::ClockBehind { .. } | Self::ClockAhead { .. } => Code::Clock,
            Self::BadAnchor => Code::BadAnchor,
            Self::BadReference(_) => Code::BadReference,
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Link(refusal) => refusal.fmt(f),
            Self::WrongLog(log_id) => write!(f, "the link is of another log, {log_id}"),
            Self::BadBody(rule) => rule.fmt(f),
            Self::UnknownIdentity(identity) => write!(f, "this log has no identity {identity}"),
            Self::Revoked => f.write_str("the identity is revoked"),
            Self::Conflict(None) => f.write_str("a genesis names no identity and no earlier link"),
            Self::Conflict(Some(end)) => {
                write!(f, "the chain ends at seqno {} with {}", end.head.seqno, end.head.curr)
            }
            Self::Unauthorised(kid) => write!(f, "key {kid} may not sign this link"),
            Self::NameTaken(holder) => write!(f, "the name is held by {holder}"),
            Self::KeyInUse(kid) => write!(f, "key {kid} was used before in this log"),
            Self::NextCommittedBefore => f.write_str("next was committed before on this chain"),
            Self::TooManyKeys(count) => write!(f, "{count} keys would be retired within 30 days"),
            Self::ClockBehind { previous, log_time } => {
                write!(f, "ctime_ms is before the previous link's ({previous}) and before log time ({log_time})")
            }
            Self::ClockAhead { clock } => {
                write!(f, "ctime_ms is more than 5 minutes ahead of the log's clock ({clock})")
            }
            Self::BadAnchor => f.write_str("the anchor is no checkpoint of this log"),
            Self::BadReference(reference) => reference.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<soul::Refusal> for Refusal {
    fn from(refusal: soul::Refusal) -> Self {
        Self::Link(refusal)
    }
}

impl core::fmt::Display for BodyRule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::RegistrarName => f.write_str("the first identity, and no other, is named registrar"),
            Self::RolesChanged(kid) => write!(f, "key {kid} is live and keeps its roles"),
            Self::Pops => f.write_str("pop is for exactly the keys that are added and did not sign"),
            Self::NextIsSet => f.write_str("next is set, and only recover replaces it"),
            Self::NextIsListed(kid) => write!(f, "key {kid} is the one that next commits to"),
            Self::NothingChanges => f.write_str("a keys event adds or retires a key, or sets next"),
            Self::SuspectOutOfChain => f.write_str("suspect_from is not a link of this chain after its first"),
            Self::SuspectTooLate => f.write_str("too much time has passed since the link at suspect_from"),
            Self::SuspectMarksNone => f.write_str("no retired key was live at the link at suspect_from, or since"),
        }
    }
}

impl core::fmt::Display for Reference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OwnSubject => f.write_str("the subject is the signer itself"),
            Self::Unknown(identity) => write!(f, "this log has no identity {identity}"),
            Self::SubjectRevoked => f.write_str("the subject is revoked"),
            Self::NoSuchLink => f.write_str("the chain has no such link at that seqno"),
            Self::NotAnAction => f.write_str("the link is not an action"),
            Self::StandsAlready => f.write_str("the signer has said this of that link, and it stands"),
            Self::NotRetractable => f.write_str("a link of that type cannot be retracted"),
            Self::RetractedBefore(index) => write!(f, "the link at index {index} was retracted before"),
            Self::NameNotHeld => f.write_str("the subject does not hold the name"),
            Self::TooManyDomains => f.write_str("the subject holds as many domain names as it may"),
        }
    }
}
