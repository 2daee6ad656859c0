//! Time, as the log claims it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::encoding::UnixMillis;

/// What a clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The time that the log may claim.
    Time(UnixMillis),
    /// The system clock has moved by over an hour against the monotonic one: no time can be claimed.
    Jumped,
}

/// A source of log time.
pub trait Clock: Send + Sync {
    /// The system's time, or `least` where that is later.
    fn read(&self, least: UnixMillis) -> Reading;
}

/// How far the system clock may move against the monotonic one.
pub const MAX_JUMP: Duration = Duration::from_hours(1);

/// The system's clock, held against the monotonic one since the process started. After a jump it goes on when the system
/// clock is back; that the new time is the right one an operator says by starting the process again.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    system_start: Duration,
}

impl SystemClock {
    /// The clock as it stands.
    pub fn new() -> Self {
        Self { start: Instant::now(), system_start: since_epoch() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn read(&self, least: UnixMillis) -> Reading {
        let now = since_epoch();
        if now.abs_diff(self.system_start + self.start.elapsed()) > MAX_JUMP {
            return Reading::Jumped;
        }
        Reading::Time(millis(now).max(least))
    }
}

/// The system's time, for what no rule rests on.
pub fn now() -> UnixMillis {
    millis(since_epoch())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(time: Duration) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A clock that is set by hand, for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: std::sync::atomic::AtomicU64,
}

impl ManualClock {
    /// Sets the time.
    pub fn set(&self, now: UnixMillis) {
        self.now.store(now.get(), std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn read(&self, least: UnixMillis) -> Reading {
        Reading::Time(UnixMillis::new(self.now.load(std::sync::atomic::Ordering::SeqCst)).max(least))
    }
}
