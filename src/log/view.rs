//! What a reader sees: one size of the log, immutable.

use std::sync::Arc;

use super::tail::Tail;
use crate::hash::Hash;
use crate::merkle::TreeSize;

/// One size of a log, after a durable batch.
#[derive(Clone)]
pub struct LogView<S> {
    pub(crate) tail: Tail,
    root: Hash,
    checkpoint: Arc<[u8]>,
    state: S,
}

impl<S> LogView<S> {
    pub(crate) fn new(tail: Tail, root: Hash, checkpoint: Arc<[u8]>, state: S) -> Self {
        Self { tail, root, checkpoint, state }
    }

    /// The same with a tail of the same size that has let go of what is flushed.
    pub(crate) fn with_tail(&self, tail: Tail) -> Self
    where
        S: Clone,
    {
        Self { tail, ..self.clone() }
    }

    /// Number of entries.
    pub fn size(&self) -> TreeSize {
        self.tail.size()
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The checkpoint of this size, a note signed by the instant key; empty for the empty log.
    pub fn checkpoint(&self) -> &Arc<[u8]> {
        &self.checkpoint
    }

    /// The machine's state at this size.
    pub fn state(&self) -> &S {
        &self.state
    }
}

/// The checkpoint that is served at `/checkpoint`.
#[derive(Clone)]
pub struct Published<S> {
    /// The note, signed by the log key and by witnesses.
    pub note: Arc<[u8]>,
    /// Its size.
    pub size: TreeSize,
    /// Its root.
    pub root: Hash,
    /// The machine's state at that size; `None` after a restart, until the next publication.
    pub state: Option<S>,
}
