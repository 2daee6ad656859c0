//! Monitors: who follow logs, replay them, and say to others what they find (docs/operating.md, "Running a monitor").
//!
//! A [`LogMonitor`] follows one log in rounds. A round takes a [`World`]: the log's files, the witnesses' answers, proofs that
//! were handed in, and the clock; it keeps in a [`Store`] what must not be forgotten; it notes [`Report`]s, which are told
//! until it is told that they were. So rounds run in a simulation as they do in `soulchain monitor`; what runs them there,
//! [`run`], is thin.
//!
//! Replay is `audit`'s; what convicts a log, and how that is written, is `verify`'s. This module sees to it that what was seen
//! is never forgotten, that trees from all sides are compared, and that evidence is made while it can be.
//!
//! Invariants: a checkpoint is durable before anything rests on it, evidence before its report, and a report before the fact
//! counts as told. A cosignature is on a tree only that was replayed whole, of a log of which nothing was ever found.

mod report;
mod settings;
mod store;

mod bounds;
mod charges;
mod claims;
mod copies;
mod memory;

mod lookalike;
mod watch;

mod confirm;
mod cosign;
mod log;
mod replay;
mod round;
mod start;
mod witnesses;

mod run;
mod webhook;

pub use bounds::{Limits, MAX_PART_TIME, MAX_REPLAY_TIME, PART_CEILING, PART_TIME, REPLAY_CEILING, TIME_PER_ANSWER};
pub use claims::MAX_CLAIMS;
pub use confirm::{Unconfirmed, confirm};
pub use cosign::{Answer, Desk};
pub use log::{LogMonitor, World};
pub use lookalike::looks_like;
pub use memory::{MAX_EVIDENCE, MAX_FAULTS, MAX_TOLD, MAX_WITHOUT_FILE};
pub use report::{Kind, Report, Severity};
pub use run::{Board, Followed, LogStatus, Spool, Stop, run};
pub use settings::{LogKind, LogSettings, WatchList};
pub use store::{DirStore, MemoryStore, Store, StoreError};
pub use webhook::{MAX_QUEUED, Webhook};
pub use witnesses::{HttpWitnesses, MAX_ASKED, Witnesses};
