//! Whether the clock of a start can be believed.
//!
//! A running witness holds its clock against the monotonic one; at a start there is nothing but the times that it has
//! cosigned with. A clock behind these is wrong, or they were. One far ahead would put times under checkpoints that no later
//! cosignature may go behind. So nothing is cosigned until the clock has been seen in between once, or the operator has said
//! that it is right.

use core::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tlog::Timestamp;

/// How far the clock of a start may be ahead of the newest cosignature.
pub const MAX_CLOCK_LEAD_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Why the clock is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClockDoubt {
    /// It is behind the newest cosignature.
    Behind {
        /// The time of that.
        newest: Timestamp,
        /// The clock's.
        now: Timestamp,
    },
    /// It is ahead of the newest cosignature by more than [`MAX_CLOCK_LEAD_SECONDS`].
    Ahead {
        /// The time of that.
        newest: Timestamp,
        /// The clock's.
        now: Timestamp,
    },
}

pub(super) struct StartClock {
    /// The newest time that was cosigned with before this start.
    newest: Option<Timestamp>,
    is_believed: AtomicBool,
}

impl StartClock {
    pub(super) const fn new(newest: Option<Timestamp>, is_believed: bool) -> Self {
        Self { newest, is_believed: AtomicBool::new(is_believed) }
    }

    pub(super) fn check(&self, now: Timestamp) -> Result<(), ClockDoubt> {
        if self.is_believed.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(newest) = self.newest {
            if now < newest {
                return Err(ClockDoubt::Behind { newest, now });
            }
            if now.get() - newest.get() > MAX_CLOCK_LEAD_SECONDS {
                return Err(ClockDoubt::Ahead { newest, now });
            }
        }
        self.is_believed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Display for ClockDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { newest, now } => {
                write!(f, "the clock says {now}, which is before the newest cosignature, {newest}")
            }
            Self::Ahead { newest, now } => {
                write!(f, "the clock says {now}, which is more than a week after the newest cosignature, {newest}")
            }
        }
    }
}

impl std::error::Error for ClockDoubt {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::new(seconds).unwrap()
    }

    #[test]
    fn a_clock_is_believed_between_the_newest_cosignature_and_a_week_later() {
        for (now, believed) in [(999, false), (1_000, true), (605_800, true), (605_801, false)] {
            assert_eq!(StartClock::new(Some(at(1_000)), false).check(at(now)).is_ok(), believed, "{now}");
        }
        assert!(StartClock::new(None, false).check(Timestamp::MAX).is_ok());
        assert!(StartClock::new(Some(at(1_000)), true).check(at(5)).is_ok());
        // Once is enough: from then on it is held against the monotonic clock.
        let clock = StartClock::new(Some(at(1_000)), false);
        assert!(clock.check(at(5)).is_err());
        assert!(clock.check(at(1_005)).is_ok());
        assert!(clock.check(at(1_000_000)).is_ok());
    }
}
