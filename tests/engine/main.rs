//! The engine on a disk that fails and loses power: operations in, a log out that contradicts nothing it ever told.
//!
//! Each case ends with a full audit ([`audit`]). Everything is decided by seeds, and what fails names its case.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on panics; sizes here are small"
)]

mod audit;
mod disk;
mod rules;
mod world;

mod alterations;
mod basics;
mod directory;
mod erasure;
mod faults;
mod journal;
mod pressure;
mod stores;
