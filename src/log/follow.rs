//! Following: a log whose entries another log has ordered.
//!
//! In the place of groups the sequencer is given runs of entries. It commits and folds them as it would its own batches,
//! one frame each. There is no key: a view has no checkpoint of its own, and what is published is what the other log has
//! signed. That the entries are that log's is the caller's business; they are given here when that is known.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::batch::{Entry, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, encoded_len};
use super::engine::Engine;
use super::error::OpenError;
use super::machine::{Machine, ReplayError, Weight};
use super::manifest::PublishedNote;
use super::open::{Options, Recovery, Storage, open};
use super::pool::Control;
use super::sequencer::FLUSH_AT_BYTES;
use super::view::LogView;
use crate::clock::SystemClock;
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::storage::StorageError;

/// A log that follows another. Cloning gives another handle.
pub struct Following<M: Machine>(Engine<M>);

/// Entries from one place on, which end where a batch of the other log ends.
pub(crate) struct Run {
    pub(crate) start: TreeSize,
    pub(crate) entries: Vec<Entry>,
}

/// Why a run was not appended.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExtendError {
    /// It does not begin where the log ends.
    NotNext {
        /// Where that is.
        size: TreeSize,
    },
    /// It is longer than a batch may be.
    TooLarge,
    /// There is too little room on disk. Nothing was appended.
    NoSpace,
    /// An entry breaks the rules of the machine. Nothing of the run was committed, and the engine has latched.
    Rules(ReplayError),
    /// The engine takes no more writes.
    Stopped,
}

/// Opens a log that follows another, and starts its threads. It takes no groups.
pub fn follow<M: Machine>(
    machine: M,
    storage: Storage,
    options: Options,
) -> Result<(Following<M>, Recovery), OpenError> {
    // Neither is asked for anything that counts: no time is claimed, and an empty note is no checkpoint.
    let (sign, clock) = (Arc::new(|_: TreeSize, _: &Hash| Vec::new()), Arc::new(SystemClock::new()));
    let (engine, recovery) = open(machine, storage, sign, clock, options)?;
    engine.hold();
    Ok((Following(engine), recovery))
}

impl<M: Machine> Following<M> {
    /// The engine beneath, for reading.
    pub fn engine(&self) -> &Engine<M> {
        &self.0
    }

    /// How many of these entries, from the first on, make up the longest run: it ends with one that ends a batch. `None`
    /// where it is not known yet: the end of the batch is not among them. An error where no batch is as long.
    pub fn run_len(entries: &[Entry]) -> Result<Option<usize>, ExtendError> {
        let (mut len, mut weight) = (None, Weight { entries: 0, bytes: 0 });
        for (at, entry) in (1..).zip(entries) {
            weight.entries += 1;
            weight.bytes += entry.bytes().len();
            if !fits(weight) {
                return len.map(Some).ok_or(ExtendError::TooLarge);
            }
            if M::ends_batch(entry.bytes()) {
                len = Some(at);
            }
        }
        Ok(len)
    }

    /// Appends a run from `start` on. Returns when it is durable. Where more is unflushed than a flush takes up at once,
    /// it waits for that first.
    pub async fn extend(&self, start: TreeSize, entries: Vec<Entry>) -> Result<Arc<LogView<M::State>>, ExtendError> {
        let run = Run { start, entries };
        if !fits(run.weight()) {
            return Err(ExtendError::TooLarge);
        }
        if self.0.unflushed() >= FLUSH_AT_BYTES {
            self.0.flush().await.map_err(|_| ExtendError::Stopped)?;
        }
        let (answer, done) = oneshot::channel();
        self.0.control(Control::Extend(run, answer));
        done.await.unwrap_or(Err(ExtendError::Stopped))
    }

    /// Publishes a checkpoint of the other log, as it came, with the state of its size. One that is older than the
    /// published one is ignored.
    pub async fn publish(
        &self,
        (size, root): (TreeSize, Hash),
        state: M::State,
        note: Vec<u8>,
    ) -> Result<(), StorageError> {
        self.0.publish_note(PublishedNote { size, root, note }, state).await
    }
}

impl Run {
    fn weight(&self) -> Weight {
        let bytes = self.entries.iter().map(|entry| entry.bytes().len()).sum();
        Weight { entries: self.entries.len(), bytes }
    }

    /// Greatest length of its payload.
    pub(crate) fn encoded_len(&self) -> usize {
        encoded_len(self.weight()) + HEAD_RESERVE
    }
}

/// Room for the head of a payload.
const HEAD_RESERVE: usize = 128;

fn fits(weight: Weight) -> bool {
    weight.entries <= MAX_BATCH_ENTRIES && encoded_len(weight) <= MAX_BATCH_BYTES
}

impl<M: Machine> Clone for Following<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Display for ExtendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNext { size } => write!(f, "the entries do not go on at {size}, where the log ends"),
            Self::TooLarge => f.write_str("more entries follow each other than a batch has"),
            Self::NoSpace => f.write_str("there is too little room on disk"),
            Self::Rules(fault) => write!(f, "entry {} breaks the rules: {}", fault.index, fault.what),
            Self::Stopped => f.write_str("nothing more is written until it is started again"),
        }
    }
}

impl std::error::Error for ExtendError {}
