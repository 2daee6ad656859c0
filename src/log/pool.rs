//! The pool: what was submitted and waits for the sequencer. Bounded in entries and bytes; full means no, at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::batch::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, encoded_len};
use super::erasure::Order;
use super::error::SubmitError;
use super::follow::{ExtendError, Run};
use super::machine::{Machine, Weight};
use super::manifest::PublishedNote;
use super::sequencer::Committed;
use super::view::LogView;
use crate::merkle::TreeSize;
use crate::storage::{Mark, StorageError};

/// Limits of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Entries that may wait.
    pub entries: usize,
    /// Bytes that may wait.
    pub bytes: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { entries: 65_536, bytes: 64 << 20 }
    }
}

/// Room in a batch that is left for its head and for what the machine adds when it seals.
const SEAL_RESERVE: usize = 64 << 10;

pub(crate) type Answer<M> = Result<Committed<M>, SubmitError<<M as Machine>::Refusal>>;

pub(crate) struct Submission<M: Machine> {
    pub(crate) group: M::Group,
    pub(crate) answer: oneshot::Sender<Answer<M>>,
    weight: Weight,
}

/// Bytes of a frame that these groups may need, with what the machine adds.
pub(crate) fn room_for<M: Machine>(submissions: &[Submission<M>]) -> usize {
    submissions.iter().map(|submission| encoded_len(submission.weight)).sum::<usize>() + SEAL_RESERVE
}

/// What the sequencer is told besides submissions.
pub(crate) enum Control<M: Machine> {
    /// A checkpoint of a view is to be published.
    Publish(PublishedNote, M::State, oneshot::Sender<Result<(), StorageError>>),
    /// Entries that the log that is followed has ordered.
    Extend(Run, oneshot::Sender<Result<Arc<LogView<M::State>>, ExtendError>>),
    /// The body beside an entry, which there is, is to be erased.
    Erase(Order),
    /// Everything that is committed is to be flushed.
    Flush(oneshot::Sender<Result<(), StorageError>>),
    /// A flush has ended well.
    Flushed { size: TreeSize, mark: Mark },
    /// A flush was given up; the journal still holds what it was to write.
    FlushFailed,
}

pub(crate) struct Pool<M: Machine> {
    inner: Mutex<Inner<M>>,
    wake: Condvar,
    limits: PoolLimits,
}

struct Inner<M: Machine> {
    queue: VecDeque<Submission<M>>,
    controls: VecDeque<Control<M>>,
    waiting: Weight,
    closed: bool,
    /// Nobody takes anything any more.
    ended: bool,
}

/// For what the sequencer waits.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    /// Submissions are taken; otherwise they are left where they are.
    pub(crate) take: bool,
    /// Once closed and empty there is nothing more to wait for.
    pub(crate) may_end: bool,
    /// Then at the latest.
    pub(crate) deadline: Option<Instant>,
}

/// What the sequencer takes from the pool at once.
pub(crate) struct Work<M: Machine> {
    pub(crate) submissions: Vec<Submission<M>>,
    pub(crate) controls: VecDeque<Control<M>>,
    pub(crate) closed: bool,
}

impl<M: Machine> Pool<M> {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            controls: VecDeque::new(),
            waiting: Weight { entries: 0, bytes: 0 },
            closed: false,
            ended: false,
        };
        Self { inner: Mutex::new(inner), wake: Condvar::new(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        // Nothing is left half done in it by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a group, or says at once why not.
    pub(crate) fn submit(&self, group: M::Group) -> Result<oneshot::Receiver<Answer<M>>, SubmitError<M::Refusal>> {
        let mut weight = M::weight(&group);
        // A group that appends nothing takes up a place too.
        weight.entries = weight.entries.max(1);
        if encoded_len(weight) > MAX_BATCH_BYTES - SEAL_RESERVE || weight.entries > MAX_BATCH_ENTRIES / 2 {
            return Err(SubmitError::TooLarge);
        }
        let mut inner = self.lock();
        if inner.closed {
            return Err(SubmitError::Closed);
        }
        let entries = inner.waiting.entries + weight.entries;
        let bytes = inner.waiting.bytes + weight.bytes;
        if entries > self.limits.entries || bytes > self.limits.bytes {
            return Err(SubmitError::Overloaded);
        }
        inner.waiting = Weight { entries, bytes };
        let (answer, receiver) = oneshot::channel();
        let was_empty = inner.queue.is_empty();
        inner.queue.push_back(Submission { group, answer, weight });
        drop(inner);
        if was_empty {
            self.wake.notify_one();
        }
        Ok(receiver)
    }

    /// Tells the sequencer something. When that has ended the order is dropped, which answers who waits for it.
    pub(crate) fn control(&self, control: Control<M>) {
        let mut inner = self.lock();
        if !inner.ended {
            inner.controls.push_back(control);
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Entries and bytes that wait.
    pub(crate) fn waiting(&self) -> Weight {
        self.lock().waiting
    }

    /// Refuses everything from now on; what is queued is still sequenced.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits for something to do.
    pub(crate) fn work(&self, wait: Wait) -> Work<M> {
        let mut inner = self.lock();
        loop {
            let ready = !inner.controls.is_empty() || (wait.take && !inner.queue.is_empty());
            if ready || (wait.may_end && inner.closed && inner.queue.is_empty()) {
                break;
            }
            let left = wait.deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            // A wait without a deadline is cut into long ones.
            let step = left.min(Duration::from_mins(1));
            inner = self.wake.wait_timeout(inner, step).unwrap_or_else(PoisonError::into_inner).0;
        }
        if wait.take && !inner.queue.is_empty() {
            // Where the cores are busy, those who are about to submit come first: the batch grows instead of the number
            // of commits. Where they are idle this returns at once.
            drop(inner);
            std::thread::yield_now();
            inner = self.lock();
        }
        let submissions = if wait.take { inner.take_batch() } else { Vec::new() };
        Work {
            submissions,
            controls: std::mem::take(&mut inner.controls),
            closed: inner.closed && inner.queue.is_empty(),
        }
    }

    /// Empties the queue: its submitters are told that the engine is gone when their answers are dropped.
    pub(crate) fn drain(&self) -> Vec<Submission<M>> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.ended = true;
        inner.waiting = Weight { entries: 0, bytes: 0 };
        inner.controls.clear();
        inner.queue.drain(..).collect()
    }
}

impl<M: Machine> Inner<M> {
    /// As many groups as one batch holds.
    fn take_batch(&mut self) -> Vec<Submission<M>> {
        let mut taken = Weight { entries: 0, bytes: 0 };
        let fits = |taken: &mut Weight, next: &Weight| {
            taken.entries += next.entries;
            taken.bytes += next.bytes;
            taken.entries <= MAX_BATCH_ENTRIES - 2 && encoded_len(*taken) <= MAX_BATCH_BYTES - SEAL_RESERVE
        };
        let count = self.queue.iter().take_while(|submission| fits(&mut taken, &submission.weight)).count();
        let batch: Vec<_> = self.queue.drain(..count).collect();
        for submission in &batch {
            self.waiting.entries -= submission.weight.entries;
            self.waiting.bytes -= submission.weight.bytes;
        }
        batch
    }
}
