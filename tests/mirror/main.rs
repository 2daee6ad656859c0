//! Mirrors: of a real node, as programs; of a log that does as it is told; and what C2SP tlog-mirror asks of one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../server/agent.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod agent;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod support;

mod agents;
mod follow;
mod log;
mod programs;
mod spec;
mod upstream;
