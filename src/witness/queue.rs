//! What waits to be durable: answers, in their order, with the records that they rest on.
//!
//! Bounded in answers and bytes, in all and of one log: full means no, at once. Every answer is numbered; one is durable when all up to its
//! number have been taken and written. An answer without a record waits only for those before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::outcome::Outcome;
use super::record::Record;
use super::slot::Slot;
use super::store::MAX_BATCH_LEN;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Answers.
    pub answers: usize,
    /// Bytes of their records and cosignatures.
    pub bytes: usize,
    /// Answers of one log.
    pub answers_of_a_log: usize,
    /// Bytes of those of one log, where it has more than one.
    pub bytes_of_a_log: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { answers: 65_536, bytes: 64 << 20, answers_of_a_log: 256, bytes_of_a_log: 4 << 20 }
    }
}

/// An answer that is not given yet.
pub(super) struct Waiting {
    /// The log that it is about.
    pub(super) slot: Arc<Slot>,
    /// What has to be durable first, and is the newest of the log then.
    pub(super) record: Option<Arc<Record>>,
    pub(super) outcome: Outcome,
    pub(super) answer: oneshot::Sender<Outcome>,
    number: u64,
}

pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    limits: QueueLimits,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Answers ever queued.
    count: u64,
    closed: bool,
}

/// What waits of one log; changed under the lock of the queue alone.
#[derive(Default)]
pub(super) struct Share {
    answers: AtomicUsize,
    bytes: AtomicUsize,
}

/// The queue has no room.
pub(super) enum Full {
    /// For anybody.
    All,
    /// For this log.
    Log,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self { inner: Mutex::default(), wake: Condvar::new(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done in it by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an answer, and says its number.
    pub(super) fn push(
        &self,
        slot: &Arc<Slot>,
        record: Option<Arc<Record>>,
        outcome: Outcome,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), Full> {
        let bytes = len(record.as_deref(), &outcome);
        let mut inner = self.lock();
        if inner.waiting.len() >= self.limits.answers || inner.bytes + bytes > self.limits.bytes || inner.closed {
            return Err(Full::All);
        }
        slot.share.take(bytes, &self.limits)?;
        inner.bytes += bytes;
        inner.count += 1;
        let number = inner.count;
        let (answer, receiver) = oneshot::channel();
        inner.waiting.push_back(Waiting { slot: Arc::clone(slot), record, outcome, answer, number });
        if inner.waiting.len() == 1 {
            self.wake.notify_one();
        }
        Ok((number, receiver))
    }

    /// Takes what fits into one batch; nothing if nothing waits.
    pub(super) fn take(&self) -> Vec<Waiting> {
        self.lock().take()
    }

    /// Waits until there is something to take; false once the queue is closed and empty.
    pub(super) fn wait(&self) -> bool {
        let inner = self.lock();
        let idle = |inner: &mut Inner| inner.waiting.is_empty() && !inner.closed;
        let inner = self.wake.wait_while(inner, idle).unwrap_or_else(PoisonError::into_inner);
        !inner.waiting.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes nothing more; what waits is still brought to its end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }
}

impl Inner {
    fn take(&mut self) -> Vec<Waiting> {
        let (mut batch, mut len) = (Vec::new(), 0);
        while len < MAX_BATCH_LEN
            && let Some(next) = self.waiting.pop_front()
        {
            len += next.len();
            next.slot.share.give_back(next.len());
            batch.push(next);
        }
        self.bytes -= len;
        batch
    }
}

impl Waiting {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    fn len(&self) -> usize {
        len(self.record.as_deref(), &self.outcome)
    }
}

/// Bytes of what waits. An answer without a record may have cosignatures as well, those that were made before.
fn len(record: Option<&Record>, outcome: &Outcome) -> usize {
    let lines = if let Outcome::Signed(lines) = outcome { lines.len() } else { 0 };
    lines + record.map_or(0, Record::encoded_len)
}

impl Share {
    fn take(&self, bytes: usize, limits: &QueueLimits) -> Result<(), Full> {
        let (answers, held) = (self.answers.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        if answers >= limits.answers_of_a_log || (held > 0 && held + bytes > limits.bytes_of_a_log) {
            return Err(Full::Log);
        }
        self.answers.store(answers + 1, Ordering::Relaxed);
        self.bytes.store(held + bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.answers.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Full {
    pub(super) const fn outcome(self) -> Outcome {
        match self {
            Self::All => Outcome::Overloaded,
            Self::Log => Outcome::LogOverloaded,
        }
    }
}
