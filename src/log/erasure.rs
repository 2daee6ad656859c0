//! Erasing bodies: from the order to the moment when nothing of a body is left on disk.
//!
//! | step | what a crash after it leaves |
//! |---|---|
//! | a frame that names the entry is committed: no read that begins now is given the body | the frame, which opening follows |
//! | a flush erases the slot of the body, or writes an erased one if none was written (`flush`, `bodies`) | the same |
//! | its manifest passes the frame | the body in older frames of the journal: opening drops their segments |
//! | old segments go, and the body's frame in one that stays is overwritten with zeros | nothing |
//! | who ordered it is told | |
//!
//! What is kept beside an entry is no part of a view. So a view that was taken before the commit gives the body out no
//! more: in memory all views share it and lose it at once, and the disk is read only after the erasures under way were
//! asked. A read that had begun may still end with it.
//!
//! Whether the slot on disk is one that can be erased is looked at before the frame is committed: an order that cannot
//! be carried out is refused. Damage that comes between is told to who ordered, and the order is kept (`owed`). Orders
//! are bounded; each takes up a place until it is answered.
//!
//! The payload of the frame is the index of the entry, 8 bytes. What this process holds of the journal begins at its
//! opening: the frames with bodies since then are remembered here, so that they are found again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch;
use super::error::ReadError;
use super::owed::OwedErasures;
use crate::encoding::Reader;
use crate::merkle::LeafIndex;
use crate::storage::{Commits, Frame, FrameBuffer, FrameKind, Mark, Scan, StorageError};

/// Greatest number of orders to erase a body that are not answered.
pub const MAX_PENDING_ERASURES: usize = 1_024;

/// Why a body was not erased.
#[derive(Debug)]
#[non_exhaustive]
pub enum EraseError {
    /// No body is kept beside this entry, and none was erased.
    NoBody,
    /// Whether there is one could not be read.
    Read(ReadError),
    /// [`MAX_PENDING_ERASURES`] orders are not answered yet. Nothing was changed.
    Overloaded,
    /// The order is kept, and nobody is given the body any more; but the file that it lies in is damaged. It is gone when
    /// `fsck` has repaired that.
    Owed(ReadError),
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
            Self::Owed(error) => write!(f, "the order is kept, and waits for the repair of a file: {error}"),
            Self::Overloaded => f.write_str("too many bodies are being erased at the moment"),
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
        match error {
            StorageError::Damaged { .. } => Self::Owed(error.into()),
            error if error.outcome_is_known() => Self::NoSpace,
            _ => Self::Stopped,
        }
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

/// The entries whose bodies opening erases.
pub(crate) fn ordered_in(scan: &Scan) -> impl Iterator<Item = LeafIndex> {
    let frames = scan.frames.iter().filter(|frame| frame.kind == FrameKind::Erasure);
    frames.filter_map(|frame| decode(&frame.payload))
}

/// The body beside an entry, which is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyToErase {
    pub(crate) index: LeafIndex,
    /// Its length, where the entry says it.
    pub(crate) len: Option<u32>,
}

/// An order to erase a body, and who waits for it.
pub(crate) struct Order {
    pub(crate) body: BodyToErase,
    answer: oneshot::Sender<Result<(), StorageError>>,
    /// One of [`MAX_PENDING_ERASURES`]; free again however the order ends.
    _place: OwnedSemaphorePermit,
}

impl Order {
    pub(crate) fn new(
        body: BodyToErase,
        place: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<(), StorageError>>) {
        let (answer, done) = oneshot::channel();
        (Self { body, answer, _place: place }, done)
    }

    /// Answers it. Who went away loses only the answer.
    pub(crate) fn answer(self, result: Result<(), StorageError>) {
        let _ = self.answer.send(result);
    }
}

/// An erasure that is committed and not finished.
struct Pending {
    /// Number of its frame.
    number: u64,
    body: BodyToErase,
    orders: Vec<Order>,
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
    pending: BTreeMap<LeafIndex, Pending>,
}

impl Erasures {
    /// For a journal that was just opened: it begins with its last frame, rewritten at `mark`.
    pub(crate) fn new(last: &Frame, mark: Mark) -> Self {
        let mut erasures = Self { frames: VecDeque::new(), pending: BTreeMap::new() };
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

    /// Adds an order to an erasure that is under way already; gives it back where there is none.
    pub(crate) fn join(&mut self, order: Order) -> Option<Order> {
        match self.pending.get_mut(&order.body.index) {
            Some(pending) => {
                pending.orders.push(order);
                None
            }
            None => Some(order),
        }
    }

    /// An erasure was committed.
    pub(crate) fn begin(&mut self, order: Order, mark: &Mark) {
        let body = order.body;
        self.pending.insert(body.index, Pending { number: mark.number, body, orders: vec![order] });
    }

    /// What the next flush is to erase.
    pub(crate) fn bodies(&self) -> Vec<BodyToErase> {
        self.pending.values().map(|pending| pending.body).collect()
    }

    /// Whether one waits for a flush.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.pending.is_empty()
    }

    /// After the manifest has passed `mark` and older segments are gone: overwrites the bodies that the erasures up to
    /// there leave in the journal. Gives those that are finished by that.
    pub(crate) fn wipe_journal(&mut self, commits: &mut dyn Commits, mark: &Mark) -> Result<Finished, StorageError> {
        self.frames.retain(|frame| frame.mark.segment >= mark.segment);
        let (due, later): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.pending).into_iter().partition(|(_, pending)| pending.number <= mark.number);
        self.pending = later;
        // A frame that was overwritten is forgotten: however many bodies of it are erased, that is done once.
        let (wiped, kept): (VecDeque<_>, _) = std::mem::take(&mut self.frames).into_iter().partition(|frame| {
            let entries = LeafIndex::new(frame.entries.start)..LeafIndex::new(frame.entries.end);
            due.range(entries).next().is_some()
        });
        self.frames = kept;
        for frame in wiped {
            commits.wipe(&frame.mark, frame.payload_len)?;
        }
        Ok(Finished(due.into_values().collect()))
    }

    /// Nobody will finish them: who waits is told by the answer being dropped.
    pub(crate) fn give_up(&mut self) {
        self.pending.clear();
    }
}

/// Erasures of which the engine can do no more; most are done.
pub(crate) struct Finished(Vec<Pending>);

impl Finished {
    pub(crate) fn indexes(&self) -> impl Iterator<Item = LeafIndex> {
        self.0.iter().map(|pending| pending.body.index)
    }

    /// Answers who waits. Of one that is owed only the journal's part is done.
    pub(crate) fn tell(self, owed: &OwedErasures) {
        for pending in self.0 {
            let owed = owed.get(&pending.body.index);
            for order in pending.orders {
                order.answer(owed.map_or(Ok(()), |owed| Err(owed.error())));
            }
        }
    }
}
