//! Why a proof is refused: every reason belongs to one check.

use core::fmt;

use super::check::{Check, Passed};
use super::extra_bytes::ExtraError;
use crate::map::MapProofError;
use crate::merkle::{LeafIndex, ProofError, TreeSize};
use crate::registry::RecordError;
use crate::soul::{Identity, Kid, LinkError, LinkType, LogId, Refusal, Seqno};
use crate::tlog::{TlogError, VerifyError};

/// A proof that is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The check that failed.
    pub check: Check,
    /// How.
    pub why: Why,
    /// The checks that held before it.
    pub passed: Vec<Passed>,
}

/// How a check failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Why {
    /// `format`: the file is no tlog-proof.
    File(TlogError),
    /// `format`: there is no extra data.
    NoExtra,
    /// `format`: the extra data is not that of a proof of this log.
    Extra(ExtraError),
    /// `format`: the record does not have the members of one.
    RecordForm(RecordError),
    /// `format`: a genesis comes with key events.
    KeyEventsOfGenesis,
    /// `format`: a state is wanted and there is none.
    NoState,
    /// `format`: a name or identity is asked about, and the proof is of a link.
    NotAsked,
    /// `format`: the proof is of absence, and not one name or identity is asked about, but none or two.
    AbsenceOfWhat,
    /// `format`: the policy has logs of several origins, and which one the question is about was not said.
    WhichLog,
    /// `checkpoint`: it is of another log than the one asked about.
    OtherLog {
        /// Its origin.
        origin: String,
    },
    /// `checkpoint`: no log of the policy signed it, or a signature by a known key is wrong.
    Checkpoint(VerifyError),
    /// `quorum`: too few witnesses of the policy cosigned.
    Quorum,
    /// `age`: an age is asked for, and no time is given to judge it by.
    NoClock,
    /// `age`: the cosignatures of that age do not meet the quorum.
    Age {
        /// In seconds, as asked for.
        max: u64,
    },
    /// `link`: the entry is no link.
    Link(LinkError),
    /// `link`: it is made for another log.
    OfLog(LogId),
    /// `link`: a genesis that is not the first link of a chain.
    NotFirst,
    /// `inclusion`: the path does not lead from the entry to the root.
    Inclusion(ProofError),
    /// `body`: it breaks a rule.
    Body(Refusal),
    /// `trailer`: the bytes are no trailer.
    NoTrailer,
    /// `trailer`: it does not cover all before it, or the proof is of another leaf than the last.
    NotLast {
        /// What it covers, or the leaf's place.
        index: LeafIndex,
        /// Size of the tree.
        size: TreeSize,
    },
    /// `trailer`: the path does not lead from it to the root.
    TrailerPath(ProofError),
    /// `map`: the record, or absence, is not in the map.
    Map(MapProofError),
    /// `record`: the map does not have the identity of the link.
    NoRecord(Identity),
    /// `record`: it is of another identity.
    OtherIdentity {
        /// Whose it is.
        found: Identity,
    },
    /// `record`: it does not bear the name asked about.
    OtherName,
    /// `record`: the link comes after what it calls the newest.
    BeyondHead,
    /// `record`: the link has index, seqno or id of the newest, and not all of them.
    NotHead,
    /// `record`: the genesis is not where it says.
    GenesisIndex {
        /// Where it says.
        recorded: LeafIndex,
    },
    /// `key`: the link itself names its signer, and it is another key, or no admin.
    Signer(Kid),
    /// `key`: the record does not have it.
    UnknownKey(Kid),
    /// `key`: it was not live at the link's index.
    NotLive(Kid),
    /// `key`: it does not have the role for this type of link.
    Role(Kid),
    /// `key`: a key event is wrong.
    KeyEvent {
        /// Its place among them, from 0.
        at: usize,
        /// What is wrong.
        fault: KeyEventFault,
    },
    /// `key`: the link does not follow from the key events.
    AfterKeyEvents(KeyEventFault),
    /// `signature`: it does not verify.
    Signature(Kid),
    /// `disputed`: the identity disowns what this key signed from a link on.
    Disputed {
        /// The first link that is disowned.
        from: Seqno,
    },
}

/// What is wrong with a key event, or with the link after the last of them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyEventFault {
    /// It is refused whatever came before: its bytes, log, body, signature or a proof of possession.
    Refused(Refusal),
    /// The first is not the genesis of the identity.
    NotGenesis,
    /// It is of another type.
    NotKeyEvent(LinkType),
    /// It is of another identity.
    OtherIdentity(Identity),
    /// Its seqno is not greater than that of the one before.
    Seqno(Seqno),
    /// It does not name the one before.
    Auth,
    /// The recovery key ended the identity before it.
    Ended,
    /// Its key is not one that the one before lists with the role, nor the one that the newest `next` commits to.
    Signer(Kid),
    /// It sets a `next` over another.
    NextReplaced,
    /// It adds this key without a proof of possession.
    PopMissing(Kid),
    /// It has a proof of possession of this key, which it does not add.
    PopNotAdded(Kid),
}

impl Why {
    /// The check that it belongs to.
    pub const fn check(&self) -> Check {
        match self {
            Self::File(_)
            | Self::NoExtra
            | Self::Extra(_)
            | Self::RecordForm(_)
            | Self::KeyEventsOfGenesis
            | Self::NoState
            | Self::NotAsked
            | Self::AbsenceOfWhat
            | Self::WhichLog => Check::Format,
            Self::OtherLog { .. } | Self::Checkpoint(_) => Check::Checkpoint,
            Self::Quorum => Check::Quorum,
            Self::NoClock | Self::Age { .. } => Check::Age,
            Self::Link(_) | Self::OfLog(_) | Self::NotFirst => Check::Link,
            Self::Inclusion(_) => Check::Inclusion,
            Self::Body(_) => Check::Body,
            Self::NoTrailer | Self::NotLast { .. } | Self::TrailerPath(_) => Check::Trailer,
            Self::Map(_) => Check::Map,
            Self::NoRecord(_)
            | Self::OtherIdentity { .. }
            | Self::OtherName
            | Self::BeyondHead
            | Self::NotHead
            | Self::GenesisIndex { .. } => Check::Record,
            Self::Signer(_)
            | Self::UnknownKey(_)
            | Self::NotLive(_)
            | Self::Role(_)
            | Self::KeyEvent { .. }
            | Self::AfterKeyEvents(_) => Check::Key,
            Self::Signature(_) => Check::Signature,
            Self::Disputed { .. } => Check::Disputed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NoExtra => f.write_str("the proof carries no extra data"),
            Self::Extra(error) => write!(f, "the extra data: {error}"),
            Self::RecordForm(error) => error.fmt(f),
            Self::KeyEventsOfGenesis => f.write_str("a genesis comes without key events"),
            Self::NoState => f.write_str("a state is wanted, and the proof has none"),
            Self::NotAsked => f.write_str("the proof of a link does not answer for a name or an identity"),
            Self::AbsenceOfWhat => f.write_str("a proof of absence: say which one name or identity is asked about"),
            Self::WhichLog => f.write_str("the policy has logs of several origins: say which one is asked about"),
            Self::OtherLog { origin } => write!(f, "the checkpoint is of {origin}"),
            Self::Checkpoint(error) => error.fmt(f),
            Self::Quorum => f.write_str("too few witnesses of the policy cosigned"),
            Self::NoClock => f.write_str("an age is asked for, and no time is given to judge it by"),
            Self::Age { max } => write!(f, "not cosigned by a quorum within the last {max} seconds"),
            Self::Link(error) => error.fmt(f),
            Self::OfLog(log_id) => write!(f, "the link is made for another log, of id {log_id}"),
            Self::NotFirst => f.write_str("a genesis has seqno 1 and zero identity, prev and auth"),
            Self::Inclusion(error) | Self::TrailerPath(error) => error.fmt(f),
            Self::Body(refusal) => refusal.fmt(f),
            Self::NoTrailer => f.write_str("the bytes are no trailer"),
            Self::NotLast { index, size } => write!(f, "{index} is not the last leaf of a tree of {size}"),
            Self::Map(error) => error.fmt(f),
            Self::NoRecord(identity) => write!(f, "the log has no record of {identity}"),
            Self::OtherIdentity { found } => write!(f, "the record is of {found}"),
            Self::OtherName => f.write_str("the record does not bear the name asked about"),
            Self::BeyondHead => f.write_str("the link comes after the newest that the record knows"),
            Self::NotHead => f.write_str("the record's newest link and this one agree in part only"),
            Self::GenesisIndex { recorded } => write!(f, "the record has the genesis at index {recorded}"),
            Self::Signer(kid) => write!(f, "key {kid} is not one that may sign this link"),
            Self::UnknownKey(kid) => write!(f, "the record does not have key {kid}"),
            Self::NotLive(kid) => write!(f, "key {kid} was not live at that index"),
            Self::Role(kid) => write!(f, "key {kid} does not have the role for this link"),
            Self::KeyEvent { at, fault } => write!(f, "key event {at}: {fault}"),
            Self::AfterKeyEvents(fault) => write!(f, "the link after the key events: {fault}"),
            Self::Signature(kid) => write!(f, "the signature is not by key {kid}"),
            Self::Disputed { from } => write!(f, "the identity disowns what this key signed from seqno {from} on"),
        }
    }
}

impl fmt::Display for KeyEventFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NotGenesis => f.write_str("it is not the genesis of the identity"),
            Self::NotKeyEvent(link_type) => write!(f, "a link of type {link_type} is no key event"),
            Self::OtherIdentity(identity) => write!(f, "it is of {identity}"),
            Self::Seqno(seqno) => write!(f, "seqno {seqno} is not greater than that of the key event before"),
            Self::Auth => f.write_str("it does not name the key event before"),
            Self::Ended => f.write_str("the recovery key ended the identity before it"),
            Self::Signer(kid) => write!(f, "key {kid} was not listed for this, nor committed to"),
            Self::NextReplaced => f.write_str("it sets a `next` over another"),
            Self::PopMissing(kid) => write!(f, "it lacks the proof of possession of key {kid}"),
            Self::PopNotAdded(kid) => write!(f, "it has a proof of possession of key {kid}, which it does not add"),
        }
    }
}

impl core::error::Error for Failure {}
impl core::error::Error for Why {}
impl core::error::Error for KeyEventFault {}
