//! The fold: what a log's entries make of its identities and names (formats.md §4 to §7).
//!
//! `state = fold(apply, entries)`, a pure function of entries and indexes: no clock, no I/O, nothing random. A node
//! admits links with it, a monitor replays a log with it, and both come to the same map root.
//!
//! - [`Registry`] judges a link ([`Registry::admit`]), applies it ([`Registry::apply`]), and takes a group back whole
//!   ([`Registry::mark`], [`Registry::undo`]). [`Registry::seal`] ends a batch: each record that changed is written once.
//! - [`Snapshot`] is the state as of a trailer, immutable and cheap to hand to readers.
//! - What lies in the past is asked of a [`History`]; [`questions`] tells what a link will ask.
//! - [`Replay`] takes raw entries and reports what an honest log would not have; [`Prepared`] ones, on which all was done
//!   that needs no state, it takes faster.
//!
//! Reading and signing links is `soul`'s; proofs of the map are `map`'s, and judging a proof offline is `verify`'s, for
//! which [`Record`] is read here. Reputation has its place in [`Evidence`], which stays zero.

// What the state map shows.
mod evidence;
mod record;
mod record_bytes;
mod state;
mod state_bytes;
// The fold.
mod batch;
mod fold;
mod history;
mod shelf;
mod snapshot;
// Rules.
mod admit;
mod refusal;
mod signer;
// Effects.
mod apply;
mod keyset;
mod overlays;
mod seal;
// A whole log.
mod past;
mod prepared;
mod replay;
mod replay_bytes;

pub use admit::{Admitted, CLOCK_LEEWAY_MS, MAX_DOMAINS};
pub use batch::{Mark, Statement, StatementKind};
pub use evidence::Evidence;
pub use fold::{Parts, Registry};
pub use history::{History, PastLink, Question, Said, questions};
pub use prepared::{LinkName, Prepared};
pub use record::{Head, KeyRecord, KeyRoles, Overlay, OverlayKind, Record, Standing, Status, Suspect};
pub use record_bytes::RecordError;
pub use refusal::{BodyRule, ChainEnd, Reference, Refusal};
pub use replay::{Fault, FaultReason, Replay, Stop};
pub use seal::{Changes, TrailerFault};
pub use shelf::Shelf;
pub use signer::signer_key;
pub use snapshot::{Held, Known, Leaf, Office, Snapshot};
pub use state::IdentityState;
