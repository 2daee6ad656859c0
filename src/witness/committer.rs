//! Group commit: takes what waits, makes it durable with one sync, and then answers.
//!
//! Nothing that rests on a record leaves before the record is durable, refusals included. A write whose outcome is not
//! known latches: from then on everything is refused, until a restart has read what is on disk. So does a panic, whose
//! outcome nobody knows either. Where there is no room for a frame nothing has changed, and the same batch is tried again.

use core::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::outcome::Outcome;
use super::queue::{Queue, Waiting};
use super::record::Record;
use super::store::Store;

/// Why it latched where the code is at fault.
const PANIC: &str = "what writes the state has panicked";
/// How long a batch that found no room waits.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Committer {
    pub(super) queue: Queue,
    /// The greatest number of an answer whose records, and all before, are durable.
    durable: AtomicU64,
    latched: OnceLock<String>,
    is_out_of_room: AtomicBool,
    store: Mutex<Work>,
}

struct Work {
    store: Store,
    /// Taken from the queue, and not written for want of room.
    held: Vec<Waiting>,
}

impl Committer {
    pub(super) fn new(queue: Queue, store: Store) -> Self {
        let work = Work { store, held: Vec::new() };
        Self {
            queue,
            durable: AtomicU64::new(0),
            latched: OnceLock::new(),
            is_out_of_room: AtomicBool::new(false),
            store: Mutex::new(work),
        }
    }

    /// Whether the answer of this number is durable.
    pub(super) fn is_durable(&self, number: u64) -> bool {
        number <= self.durable.load(Ordering::Acquire)
    }

    /// Why nothing is written any more.
    pub(super) fn latched(&self) -> Option<&str> {
        self.latched.get().map(String::as_str)
    }

    /// Whether a batch waits for room on disk.
    pub(super) fn is_out_of_room(&self) -> bool {
        self.is_out_of_room.load(Ordering::Relaxed)
    }

    /// Makes durable, and answers, what waits now. False where there was no room: it waits on.
    pub(super) fn commit(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.commit_all())).unwrap_or_else(|_| {
            self.latch(&PANIC);
            // What is left is refused; there is nothing in this that could panic again.
            self.commit_all()
        })
    }

    fn commit_all(&self) -> bool {
        let mut work = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let batch = if work.held.is_empty() { self.queue.take() } else { std::mem::take(&mut work.held) };
            if batch.is_empty() {
                return true;
            }
            if !self.commit_batch(&mut work, batch) {
                return false;
            }
        }
    }

    /// Commits until the queue is closed and empty.
    pub(super) fn run(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.run_on())).is_err() {
            self.latch(&PANIC);
            self.queue.close();
            self.commit_all();
        }
    }

    fn run_on(&self) {
        // Batches are taken under the lock of the store alone, so that they are written in the order of the queue.
        while self.queue.wait() {
            while !self.commit() {
                if self.queue.is_closed() {
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }

    fn commit_batch(&self, work: &mut Work, batch: Vec<Waiting>) -> bool {
        // It goes before the batch does: who waits for an answer hears of no end before the witness has latched.
        let _guard = LatchIfPanicking(self);
        if self.latched().is_some() {
            for waiting in batch {
                drop(waiting.answer.send(Outcome::Latched));
            }
            return true;
        }
        let records: Vec<Arc<Record>> = batch.iter().filter_map(|waiting| waiting.record.clone()).collect();
        let written = if records.is_empty() { Ok(()) } else { work.store.append(&records) };
        match written {
            Ok(()) => {
                self.is_out_of_room.store(false, Ordering::Relaxed);
                self.answer(batch);
            }
            Err(error) if error.outcome_is_known() => {
                tracing::warn!(%error, "nothing can be cosigned");
                self.is_out_of_room.store(true, Ordering::Relaxed);
                work.held = batch;
                return false;
            }
            Err(error) => {
                self.latch(&error);
                return self.commit_batch(work, batch);
            }
        }
        if work.store.wants_snapshot()
            && let Err(error) = work.store.snapshot()
        {
            self.latch(&error);
        }
        true
    }

    fn answer(&self, batch: Vec<Waiting>) {
        let last = batch.last().map_or(0, Waiting::number);
        for waiting in &batch {
            if let Some(record) = &waiting.record {
                waiting.slot.durable.store(Some(Arc::clone(record)));
            }
        }
        self.durable.fetch_max(last, Ordering::Release);
        for waiting in batch {
            // Who has gone has gone: the checkpoint is remembered all the same.
            drop(waiting.answer.send(waiting.outcome));
        }
    }

    fn latch(&self, error: &dyn Display) {
        if self.latched.set(error.to_string()).is_ok() {
            tracing::error!(%error, "the state on disk is not known: nothing is cosigned until a restart");
        }
    }
}

struct LatchIfPanicking<'a>(&'a Committer);

impl Drop for LatchIfPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.latch(&PANIC);
        }
    }
}
