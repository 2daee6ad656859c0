//! The feeder: offers a log's checkpoints to its witnesses, and publishes what a quorum of them has cosigned.
//!
//! Each round offers *one and the same* checkpoint to all witnesses, signed by the log's keys, which sign nothing else.
//! It is published with all cosignatures that came in time. If the quorum is not met, what is published stays as it is,
//! and the log goes on. A witness that shows a checkpoint of this log that the log does not have stops it: going on
//! would fork it.
//!
//! The feeder knows neither the engine nor HTTP: [`Source`] is the log, [`Transport`] a witness.

mod feed;
mod member;
mod source;
mod status;
mod transport;

pub use feed::{Contradiction, Feeder, Pace};
pub use source::{Head, Source};
pub use status::{Feeding, WitnessStatus};
pub use transport::{HttpWitness, MAX_REPLY_LEN, NoReply, Reply, Transport};
