//! Erasing bodies: from the order to the moment when nothing of a body is left on disk.
//!
//! | step | what a crash after it leaves |
//! |---|---|
//! | a frame that names the entry is committed; from here on nobody reads the body | the frame, which opening follows |
//! | a flush erases the slot of the body, or writes an erased one if none was written (`flush`, `bodies`) | the same |
//! | its manifest passes the frame | the body in older frames of the journal: opening drops their segments |
//! | old segments go, and the body's frame in one that stays is overwritten with zeros | nothing |
//! | who ordered it is told | |
//!
//! The payload of the frame is the index of the entry, 8 bytes. What this process holds of the journal begins at its
//! opening: the frames with bodies since then are remembered here, so that they are found again.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use tokio::sync::oneshot;

use super::batch;
use super::error::ReadError;
use crate::encoding::Reader;
use crate::merkle::LeafIndex;
use crate::storage::{Commits, Frame, FrameBuffer, FrameKind, Mark, StorageError};

/// Why a body was not erased.
#[derive(Debug)]
#[non_exhaustive]
pub enum EraseError {
    /// No body is kept beside this entry, and none was erased.
    NoBody,
    /// Whether there is one could not be read.
    Read(ReadError),
    /// There is too little room on disk. Nothing was changed.
    NoSpace,
    /// The engine has stopped writing. The body may be erased: ordering it again after the next opening tells.
    Stopped,
}

impl std::fmt::Display for EraseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoBody => f.write_str("no body is kept beside this entry"),
            Self::Read(error) => error.fmt(f),
            Self::NoSpace => f.write_str("there is too little room on disk"),
            Self::Stopped => f.write_str("the engine has stopped writing; the body may be erased"),
        }
    }
}

impl std::error::Error for EraseError {}

impl From<ReadError> for EraseError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<StorageError> for EraseError {
    fn from(error: StorageError) -> Self {
        if error.outcome_is_known() { Self::NoSpace } else { Self::Stopped }
    }
}

/// The frame of an erasure.
pub(crate) fn encode(index: LeafIndex) -> FrameBuffer {
    let payload = index.get().to_be_bytes();
    let mut frame = FrameBuffer::with_capacity(payload.len());
    frame.raw(&payload);
    frame
}

/// Reads a payload back.
pub(crate) fn decode(payload: &[u8]) -> Option<LeafIndex> {
    let mut reader = Reader::new(payload);
    let index = LeafIndex::new(reader.u64()?);
    reader.is_empty().then_some(index)
}

/// Who waits for an erasure.
pub(crate) type Waiter = oneshot::Sender<Result<(), StorageError>>;

/// An erasure that is committed and not finished.
struct Pending {
    /// Number of its frame.
    number: u64,
    index: LeafIndex,
    waiting: Vec<Waiter>,
}

/// A frame of the journal that holds bodies.
struct BodyFrame {
    entries: Range<u64>,
    mark: Mark,
    payload_len: usize,
}

/// What the sequencer knows of erasures.
pub(crate) struct Erasures {
    /// Oldest first.
    frames: VecDeque<BodyFrame>,
    pending: Vec<Pending>,
}

impl Erasures {
    /// For a journal that was just opened: it begins with its last frame, rewritten at `mark`.
    pub(crate) fn new(last: &Frame, mark: Mark) -> Self {
        let mut erasures = Self { frames: VecDeque::new(), pending: Vec::new() };
        if last.kind == FrameKind::Batch
            && let Some((transition, entries)) = batch::decode(&last.payload)
            && batch::has_bodies(&entries)
        {
            let entries = transition.before.0.get()..transition.after.0.get();
            erasures.wrote_bodies(entries, mark, last.payload.len());
        }
        erasures
    }

    /// A frame with bodies of these entries was committed.
    pub(crate) fn wrote_bodies(&mut self, entries: Range<u64>, mark: Mark, payload_len: usize) {
        self.frames.push_back(BodyFrame { entries, mark, payload_len });
    }

    /// Adds who waits to an erasure that is under way already; gives it back where there is none.
    pub(crate) fn join(&mut self, index: LeafIndex, waiter: Waiter) -> Option<Waiter> {
        match self.pending.iter_mut().find(|pending| pending.index == index) {
            Some(pending) => {
                pending.waiting.push(waiter);
                None
            }
            None => Some(waiter),
        }
    }

    /// An erasure was committed.
    pub(crate) fn begin(&mut self, index: LeafIndex, mark: &Mark, waiter: Waiter) {
        self.pending.push(Pending { number: mark.number, index, waiting: vec![waiter] });
    }

    /// Whether one waits for a flush.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.pending.is_empty()
    }

    /// After the manifest has passed `mark` and older segments are gone: overwrites the bodies that the erasures up to
    /// there leave in the journal. Gives those that are finished by that.
    pub(crate) fn wipe_journal(&mut self, commits: &mut dyn Commits, mark: &Mark) -> Result<Finished, StorageError> {
        self.frames.retain(|frame| frame.mark.segment >= mark.segment);
        let done = self.pending.iter().filter(|pending| pending.number <= mark.number);
        let due: BTreeSet<u64> = done.map(|pending| pending.index.get()).collect();
        // A frame that was overwritten is forgotten: however many bodies of it are erased, that is done once.
        let (wiped, kept): (VecDeque<_>, _) = std::mem::take(&mut self.frames)
            .into_iter()
            .partition(|frame| due.range(frame.entries.clone()).next().is_some());
        self.frames = kept;
        for frame in wiped {
            commits.wipe(&frame.mark, frame.payload_len)?;
        }
        Ok(Finished(self.pending.extract_if(.., |pending| pending.number <= mark.number).collect()))
    }

    /// Nobody will finish them: who waits is told by the answer being dropped.
    pub(crate) fn give_up(&mut self) {
        self.pending.clear();
    }
}

/// Erasures of which nothing is left to do but to say so.
pub(crate) struct Finished(Vec<Pending>);

impl Finished {
    pub(crate) fn indexes(&self) -> impl Iterator<Item = LeafIndex> {
        self.0.iter().map(|pending| pending.index)
    }

    pub(crate) fn tell(self) {
        for waiter in self.0.into_iter().flat_map(|pending| pending.waiting) {
            // Who went away loses only the answer.
            let _ = waiter.send(Ok(()));
        }
    }
}
