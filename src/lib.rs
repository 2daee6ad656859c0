//! Soulchain: a transparency log for AI agents.

pub mod ed25519;
pub mod encoding;
pub mod hash;
pub mod map;
pub mod merkle;
pub mod registry;
pub mod soul;
pub mod tlog;
pub mod verify;

#[cfg(feature = "node")]
pub mod clock;
#[cfg(feature = "node")]
pub mod log;
#[cfg(feature = "node")]
pub mod storage;

#[cfg(feature = "client")]
pub mod keyfile;
