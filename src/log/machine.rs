//! What a log is for: the rules by which entries are admitted, as the engine sees them.

use std::time::Duration;

use bytes::Bytes;

use super::batch::Batch;
use super::error::ReadError;
use super::tail::Row;
use crate::encoding::UnixMillis;
use crate::merkle::LeafIndex;
use crate::storage::{StorageError, ViewBatch, Views};

/// How much of the pool a group takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Entries that it may become.
    pub entries: usize,
    /// Their bytes, with bodies: the most that they may become, since room is made for no more.
    pub bytes: usize,
}

/// An entry of the log does not fit the machine: the log is damaged, or was written by other rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayError {
    /// Which entry.
    pub index: LeafIndex,
    /// What is wrong.
    pub what: String,
}

/// What replay may read: the entries before the one that it has come to, and the rows that the machine gave for them.
pub trait Past {
    /// An entry.
    fn entry(&self, index: LeafIndex) -> Result<Bytes, ReadError>;

    /// The row beside an entry. It is derived: whoever uses it checks where it leads.
    fn row(&self, index: LeafIndex) -> Result<Row, ReadError>;
}

/// Rules over the entries of a log. The engine calls it from one thread.
///
/// A batch is: `begin`, any number of `admit`, `seal`, and then, when it is durable, `commit`. If it cannot become
/// durable the engine stops for good and the machine is made anew at the next opening.
pub trait Machine: Send + 'static {
    /// What is submitted: admitted whole or not at all.
    type Group: Send + 'static;
    /// What the submitter of an admitted group learns.
    type Answer: Send + 'static;
    /// Why a group was not admitted.
    type Refusal: Send + 'static;
    /// What readers see of the state at one size.
    type State: Clone + Send + Sync + 'static;

    /// Least time between two batches.
    const LEAST_GAP: Duration;

    /// How much of the pool this group takes up.
    fn weight(group: &Self::Group) -> Weight;

    /// Length of the body that may be kept beside an entry, where the entry says it. An erasure relies on it: it
    /// overwrites a slot of this length and no other.
    fn body_len(_entry: &[u8]) -> Option<u32> {
        None
    }

    /// Whether a batch may end with this entry: there is a view for the end of each batch, and for no place within one.
    fn ends_batch(_entry: &[u8]) -> bool {
        true
    }

    /// The least time that the next batch may carry; the engine's clock never gives an earlier one.
    fn least_time(&self) -> UnixMillis;

    /// A batch begins, at this time of the log's clock.
    fn begin(&mut self, now: UnixMillis);

    /// Appends the entries of a group to the batch, or leaves no trace of it. A group that is logged already is
    /// answered without appending anything.
    fn admit(&mut self, group: Self::Group, batch: &mut Batch) -> Result<Self::Answer, Self::Refusal>;

    /// Ends a batch that is not empty; may append entries of its own, 60 KiB of them.
    fn seal(&mut self, batch: &mut Batch);

    /// A batch without entries is given up; nothing was changed.
    fn abandon(&mut self);

    /// The state after all batches that were sealed.
    fn state(&mut self) -> Self::State;

    /// Replay: takes an entry that is in the log, and gives its row.
    fn apply(&mut self, index: LeafIndex, entry: &[u8], past: &dyn Past) -> Result<Row, ReplayError>;

    /// The derived values that have changed since the last call, for the store of views. `applied` is set by the
    /// engine.
    fn changes(&mut self) -> ViewBatch;

    /// Takes the state from the store of views, as of the size that the store says.
    fn load(&mut self, views: &dyn Views) -> Result<(), StorageError>;

    /// Forgets everything: replay begins at the first entry.
    fn reset(&mut self);

    /// Whether the state may be relied upon after loading and replay, by the last entry that is in it; a reason if not.
    fn check(&self, last_entry: Option<&[u8]>) -> Result<(), String>;
}
