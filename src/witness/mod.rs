//! A witness (C2SP tlog-witness): remembers of each log the newest checkpoint that it cosigned, and cosigns only what
//! continues it.
//!
//! ```text
//! lock          held by the running witness
//! keys/         witness-ed25519.key, witness-ml-dsa-44.key
//! journal/      what was cosigned; the commit point
//! state         the snapshot, from which the journal counts; it names the keys
//! evidence/     what convicts logs
//! ```
//!
//! The wire formats are `tlog`'s, statuses and routes `http::witness`'s; the other side, the log's, is `feeder`. Whether a
//! log keeps its own rules is for monitors to see: a witness looks at the tree alone.
//!
//! Invariants: a cosignature leaves after the record of it is durable; of one log neither size nor time of what leaves
//! goes back, and a size has one root. What is not certain of the disk stops the witness: one that forgets would sign
//! both sides of a split view.

mod error;
mod keys;
mod logs;
mod outcome;

// The value: requests in, answers out.
mod service;

mod clock_doubt;
mod repeat;
mod request;
mod slot;

// Files and directories of the operating system.
mod directory;
mod held_disk;
mod log_files;

// The other side: a log that has its checkpoints cosigned.
mod feeder;

// What must not be forgotten.
mod committer;
mod exhibits;
mod queue;
mod record;
mod shelf;
mod store;

pub use clock_doubt::{ClockDoubt, MAX_CLOCK_LEAD_SECONDS};
pub use directory::Directory;
pub use error::OpenError;
pub use feeder::{
    Contradiction, Feeder, Feeding, Head, HttpWitness, MAX_REPLY_LEN, NoReply, Pace, Reply, Source, Transport,
    WitnessStatus,
};
pub use keys::WitnessKeys;
pub use log_files::{LogFiles, LogFilesError};
pub use logs::{LogList, LogListError, LogListFault, MAX_LIST_LEN, MAX_LISTED_LOGS};
pub use outcome::Outcome;
pub use queue::QueueLimits;
pub use service::{Pending, Submitted, Witness, WitnessOptions};
pub use store::{Recovery, create, create_with_segments};
