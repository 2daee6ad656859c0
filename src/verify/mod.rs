//! Offline verification of proofs (formats.md §8): a proof file and a policy go in, a verdict or the name of the check
//! that failed comes out.
//!
//! - [`verify`] judges a [`Request`] and gives a [`Verdict`], or a [`Failure`] that names its [`Check`]. Both tell which
//!   checks held before, in their order, for people to read.
//! - [`Extra`] is what a proof of this log carries beside index, path and checkpoint; a log writes it and a verifier
//!   reads it.
//! - [`Evidence`] is what a monitor writes about a log that broke its promises; [`convict`] judges it.
//!
//! Reads no clock: the time is an argument. The file around `extra`, the policy and the quorum are `tlog`'s, the paths
//! `merkle`'s and `map`'s, links and their bodies `soul`'s, the record `registry`'s.
//!
//! Invariants: a [`Verdict`] is made by [`verify`] alone; nothing that it shows was taken from a proof before the check
//! that vouches for it held.

// What a proof carries.
mod extra;
mod extra_bytes;
// The judgement as a whole, and what it is made of: `format`;
mod judge;
mod proof;
// what all else is held against;
mod tree;
// `trailer`, `map`, `record`;
mod state;
// `link`, `inclusion`, `body`;
mod link;
// `key`, `signature`, `disputed`.
mod key;
mod key_events;
// What comes out.
mod check;
mod failure;
mod verdict;
// What convicts a log: the files, the rules that entries show broken by themselves, and the judgement.
mod evidence;
mod evidence_judge;
mod evidence_rules;
mod evidence_text;

pub use check::{Check, Passed};
pub use evidence::{
    BadEntry, BadReplay, Evidence, Fork, MAX_EVIDENCE_ENTRIES_LEN, MAX_EVIDENCE_LEN, NamedKey, OneSigned, Placed,
    Unsealed,
};
pub use evidence_judge::{Charge, Conviction, Doubt, INSTANT_KEY_LABEL, convict, log_keys, policy_of_keys};
pub use evidence_rules::{Broken, broken_by_one, broken_by_two};
pub use evidence_text::EvidenceError;
pub use extra::{Extra, LinkExtra, MAX_KEY_EVENTS, SignerState, StatePart};
pub use extra_bytes::ExtraError;
pub use failure::{Failure, KeyEventFault, Why};
pub use judge::{MAX_AHEAD_SECONDS, Request, verify};
pub use verdict::{Absent, Asked, KeyProven, LinkShown, Shown, StateShown, Verdict};
