//! The time that a signer claims.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::encoding::UnixMillis;

/// The system's time.
#[expect(clippy::disallowed_methods, reason = "a signer's claim is the clock of its own machine")]
pub fn now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
