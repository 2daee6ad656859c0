//! A real server on a real port, in a directory of its own: requests in, answers out.
//!
//! Every test ends with an audit through the public routes: the tiles lead to the root that the log tells, and a replay
//! of the entries finds no fault.

#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../common/mod.rs"]
mod common;

mod agent;
mod platform;
mod support;

mod about;
mod bodies;
mod erasure;
mod events;
mod lasting;
mod life;
mod operation;
mod proofs;
mod tiles;
mod types;

mod damaged;
mod held;
mod refusals;
mod requests;
mod rules;
mod unavailable;

mod crowd;
mod stalled;
