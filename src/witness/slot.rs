//! One log in memory: what was decided last, and what of it is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::queue::Share;
use super::record::Record;

/// A log that the witness has been asked about with a valid signature, or remembers.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<LogState>,
    /// What may be shown. Beside the lock: what commits, and so all other logs, never waits for who judges a request of
    /// this one.
    pub(super) durable: ArcSwapOption<Record>,
    /// What of the queue is its own.
    pub(super) share: Share,
}

#[derive(Default)]
pub(super) struct LogState {
    /// What the next request is held against; it may not be durable yet.
    pub(super) newest: Option<Arc<Record>>,
    /// The number of the answer that `newest` came with.
    pub(super) number: u64,
}

impl Slot {
    /// A log as it was remembered.
    pub(super) fn remembered(record: &Arc<Record>) -> Self {
        let record = Some(Arc::clone(record));
        Self {
            state: Mutex::new(LogState { newest: record.clone(), number: 0 }),
            durable: ArcSwapOption::new(record),
            share: Share::default(),
        }
    }

    /// Comparing and deciding is one step: nobody else sees or changes the log in between.
    pub(super) fn lock(&self) -> MutexGuard<'_, LogState> {
        // The last thing that is done under the lock is the change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
