//! Witnessing: cosigning the checkpoints of logs, and having those of one's own log cosigned.

mod feeder;

pub use feeder::{
    Contradiction, Feeder, Feeding, Head, HttpWitness, MAX_REPLY_LEN, NoReply, Pace, Reply, Source, Transport,
    WitnessStatus,
};
