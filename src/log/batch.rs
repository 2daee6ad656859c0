//! The payload of a batch frame: everything that one commit makes durable.
//!
//! | bytes | field |
//! |---|---|
//! | 8, 32 | tree size and root before |
//! | 8, 32 | tree size and root after |
//! | per entry | u16 length ‖ entry ‖ u8: 0, or 1 and salt 32 ‖ u32 length ‖ body |
//!
//! Rows of the machine are not in it: replay makes them again.

use std::sync::Arc;

use bytes::Bytes;

use super::machine::Weight;
use super::tail::{HeldBody, Row, SideBody, Stored};
use crate::encoding::Reader;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize, leaf_hash};
use crate::storage::FrameBuffer;
use crate::tlog::MAX_ENTRY_LEN;

/// Greatest sum of entries and bodies of a batch.
pub const MAX_BATCH_BYTES: usize = 16 << 20;
/// Greatest number of entries of a batch.
pub const MAX_BATCH_ENTRIES: usize = 1 << 15;
/// Longest body that is kept beside an entry.
pub const MAX_BODY_LEN: usize = 1 << 20;
/// Bytes before the entries of a payload.
const HEAD_LEN: usize = 80;
/// Bytes that an entry with a body takes up beside both.
const ENTRY_HEAD_LEN: usize = 2 + 1 + 32 + 4;

/// Greatest length that entries of this weight have in a payload.
pub(crate) fn encoded_len(weight: Weight) -> usize {
    weight.bytes.saturating_add(weight.entries.saturating_mul(ENTRY_HEAD_LEN))
}

/// An entry of a length that entries have, with the hash of its leaf: made where there are many cores, so that the
/// sequencer does not hash.
#[derive(Clone, Debug)]
pub struct Entry {
    bytes: Bytes,
    leaf: Hash,
}

impl Entry {
    /// Hashes an entry; `None` if it is empty or longer than [`MAX_ENTRY_LEN`].
    pub fn new(bytes: Bytes) -> Option<Self> {
        (1..=MAX_ENTRY_LEN).contains(&bytes.len()).then(|| Self { leaf: leaf_hash(&bytes), bytes })
    }

    /// The entry.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The hash of its leaf.
    pub fn leaf(&self) -> Hash {
        self.leaf
    }
}

/// The entry with nothing beside it.
impl From<&Entry> for Stored {
    fn from(entry: &Entry) -> Self {
        Self { entry: entry.bytes.clone(), body: None, row: Row::default() }
    }
}

/// Entries that are about to be appended.
#[derive(Debug)]
pub struct Batch {
    start: TreeSize,
    pub(crate) entries: Vec<Stored>,
    /// The hashes of their leaves.
    pub(crate) leaves: Vec<Hash>,
}

impl Batch {
    pub(crate) fn new(start: TreeSize) -> Self {
        Self { start, entries: Vec::new(), leaves: Vec::new() }
    }

    /// The index that the next entry gets.
    pub fn next_index(&self) -> LeafIndex {
        LeafIndex::new(self.start.get() + self.entries.len() as u64)
    }

    /// Whether nothing has been appended.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an entry with what is kept beside it, a body of at most [`MAX_BODY_LEN`]. A longer one could not be read
    /// back; it is a fault of the machine, and stops the engine before it is written.
    pub fn push(&mut self, entry: Entry, body: Option<Arc<SideBody>>, row: Row) {
        assert!(body.as_ref().is_none_or(|body| body.bytes.len() <= MAX_BODY_LEN), "a body has at most 1 MiB");
        self.leaves.push(entry.leaf);
        self.entries.push(Stored { entry: entry.bytes, body: body.map(HeldBody::new), row });
    }

    /// An entry of this batch.
    pub fn entry(&self, index: LeafIndex) -> Option<&[u8]> {
        let at = usize::try_from(index.get().checked_sub(self.start.get())?).ok()?;
        self.entries.get(at).map(|stored| &stored.entry[..])
    }

    /// Takes back everything from the `len`-th entry on.
    pub fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
        self.leaves.truncate(len);
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

pub(crate) fn has_bodies(entries: &[Stored]) -> bool {
    entries.iter().any(|stored| stored.body.is_some())
}

/// What the tree was and what it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) before: (TreeSize, Hash),
    pub(crate) after: (TreeSize, Hash),
}

pub(crate) fn encode(transition: &Transition, entries: &[Stored]) -> FrameBuffer {
    let weight: usize = entries.iter().map(Stored::weight).sum();
    let mut frame = FrameBuffer::with_capacity(HEAD_LEN + weight);
    for (size, root) in [transition.before, transition.after] {
        frame.raw(&size.get().to_be_bytes()).raw(root.as_bytes());
    }
    for stored in entries {
        frame.raw(&(stored.entry.len() as u16).to_be_bytes()).raw(&stored.entry);
        match stored.body.as_ref().and_then(|held| held.body()) {
            None => frame.raw(&[0]),
            Some(body) => {
                frame.raw(&[1]).raw(&body.salt).raw(&(body.bytes.len() as u32).to_be_bytes()).raw(&body.bytes)
            }
        };
    }
    frame
}

/// Reads a payload back; entries come without rows.
pub(crate) fn decode(payload: &[u8]) -> Option<(Transition, Vec<Stored>)> {
    let mut reader = Reader::new(payload);
    let mut head = || Some((TreeSize::new(reader.u64()?), Hash::from_bytes(reader.array()?)));
    let transition = Transition { before: head()?, after: head()? };
    let mut entries = Vec::new();
    while !reader.is_empty() {
        let len = usize::from(reader.u16()?);
        let entry = Bytes::copy_from_slice(reader.take(len)?);
        let body = match reader.u8()? {
            0 => None,
            1 => {
                let salt = reader.array()?;
                let len = reader.u32()? as usize;
                Some(Arc::new(SideBody { salt, bytes: Bytes::copy_from_slice(reader.take(len)?) }))
            }
            _ => return None,
        };
        entries.push(Stored { entry, body: body.map(HeldBody::new), row: Row::default() });
    }
    (transition.before.0.get() + entries.len() as u64 == transition.after.0.get()).then_some((transition, entries))
}
