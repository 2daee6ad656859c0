//! The command line.

pub mod backup;
pub mod fsck;
mod progress;
pub mod serve;
