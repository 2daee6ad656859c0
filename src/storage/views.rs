//! The third storage role: the key-value store of derived values. Everything in it can be rebuilt from the log.
//!
//! Contract: a batch of [`Views::write`] is applied whole, or, on a store without atomic batches, leaves the store saying
//! that it is incomplete ([`Views::state`] gives `None` then) so that it is rebuilt. What is written need not be durable
//! at once: the watermark says how far the values go, and is never ahead of them.

use super::error::StorageError;
use crate::merkle::TreeSize;

mod fjall;
mod memory;
#[cfg(feature = "sled")]
mod sled;

pub use fjall::FjallViews;
pub use memory::MemoryViews;
#[cfg(feature = "sled")]
pub use sled::SledViews;

/// Changes of one flush.
#[derive(Clone, Debug, Default)]
pub struct ViewBatch {
    /// Key and new value, `None` to remove it.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The tree size that the values belong to after this.
    pub applied: TreeSize,
}

/// Called with each key and value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StorageError> + 'a;

/// A store of derived values.
pub trait Views: Send + Sync {
    /// The size that the values belong to; `None` where they are incomplete or there are none.
    fn state(&self) -> Result<Option<TreeSize>, StorageError>;
    /// Applies changes and moves the watermark.
    fn write(&self, batch: &ViewBatch) -> Result<(), StorageError>;
    /// Visits every key that begins with `prefix`, in order. No key begins with a zero byte: those are the store's own.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError>;
    /// The value of a key.
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;
    /// Removes everything.
    fn clear(&self) -> Result<(), StorageError>;
}
