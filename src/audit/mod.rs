//! Replay of a whole log through its public files, as anyone can do it who trusts nobody (C2SP tlog-tiles; formats.md §4
//! to §7).
//!
//! [`audit`] reads a log from a [`Source`], recomputes its tree, judges every entry by the rules of `registry`, and reports
//! each [`Finding`] with its place, going on after each. What an audit needs to go on later is a [`State`].
//!
//! [`follow`] hands the state back, for who audits again and again; [`consistency`], [`inclusion`] and [`entries`] fetch what it
//! takes to show to others what was found.
//!
//! The rules are those of [`crate::registry::Replay`]; here are the files, the order of things, and all cores. What a
//! data directory holds beside the public files is the business of `fsck`.

mod finding;
mod source;

mod batch;
mod crew;
mod state;
mod tree;

mod proofs;
mod run;

pub use crew::{BUNDLES_AHEAD, BYTES_AHEAD};
pub use finding::{CheckpointFault, Finding, FindingView, TileFault};
pub use proofs::{AtCheckpoint, consistency, entries, inclusion};
pub use run::{AuditError, Blind, Event, KEEP_EVERY, Report, Request, audit, follow};
pub use source::{DirSource, HttpSource, MAX_BUNDLE_LEN, Source, SourceError, TileBytes};
pub use state::{Keep, MAX_NOTED, State, StateError};
