//! What waits to be durable: answers, in their order, with the records that they rest on.
//!
//! Bounded in answers and bytes: full means no, at once. Every answer is numbered; one is durable when all up to its
//! number have been taken and written. An answer without a record waits only for those before it.

use std::collections::VecDeque;
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
    /// Bytes of their records.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { answers: 65_536, bytes: 64 << 20 }
    }
}

/// An answer that is not given yet.
pub(super) struct Waiting {
    /// What has to be durable first, and whose newest it is.
    pub(super) record: Option<(Arc<Slot>, Arc<Record>)>,
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

/// The queue has no room.
pub(super) struct Full;

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
        record: Option<(Arc<Slot>, Arc<Record>)>,
        outcome: Outcome,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), Full> {
        let bytes = record.as_ref().map_or(0, |(_, record)| record.encoded_len());
        let mut inner = self.lock();
        if inner.waiting.len() >= self.limits.answers || inner.bytes + bytes > self.limits.bytes || inner.closed {
            return Err(Full);
        }
        inner.bytes += bytes;
        inner.count += 1;
        let number = inner.count;
        let (answer, receiver) = oneshot::channel();
        inner.waiting.push_back(Waiting { record, outcome, answer, number });
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
        self.record.as_ref().map_or(0, |(_, record)| record.encoded_len())
    }
}
