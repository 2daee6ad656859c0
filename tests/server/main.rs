//! A real server on a real port, in a directory of its own: requests in, answers out.
//!
//! Every test ends with an audit through the public routes: the tiles lead to the root that the log tells, and a replay
//! of the entries finds no fault.

#![allow(clippy::pedantic, reason = "what these lints want makes a test no clearer")]
#![cfg(feature = "node")]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    reason = "a test that cannot go on panics; sizes here are small"
)]

#[path = "../common/mod.rs"]
mod common;

mod agent;
mod support;

mod bodies;
mod events;
mod lasting;
mod life;
mod operation;
mod proofs;
mod tiles;
mod types;

mod held;
mod refusals;
mod requests;
mod rules;
mod unavailable;

mod crowd;
