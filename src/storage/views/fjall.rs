//! Views on fjall, the default store: batches are atomic.

use std::path::Path;

use fjall::config::BlockSizePolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::{TreeSize, ViewBatch, Views, Visit};
use crate::storage::error::StorageError;

/// Where the watermark lies; no value's key begins with a zero byte.
const APPLIED: &[u8] = b"\0applied";
/// Memory for cached blocks.
const CACHE_BYTES: u64 = 16 << 20;
/// Memory for what is not in a table yet: an opening reads it from the store's own journal.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// Bytes of a block. Openings read everything, nobody else reads much: so few large ones.
const BLOCK_BYTES: u32 = 32 << 10;

/// A fjall database in a directory of its own.
pub struct FjallViews {
    database: Database,
    values: Keyspace,
}

impl FjallViews {
    /// Opens or makes the store.
    pub fn open(directory: &Path) -> Result<Self, StorageError> {
        let database = Database::builder(directory).cache_size(CACHE_BYTES).open().map_err(failed)?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        };
        let values = database.keyspace("values", options).map_err(failed)?;
        Ok(Self { database, values })
    }
}

impl Views for FjallViews {
    fn state(&self) -> Result<Option<TreeSize>, StorageError> {
        let applied = self.values.get(APPLIED).map_err(failed)?;
        Ok(applied
            .and_then(|bytes| bytes.as_ref().try_into().ok())
            .map(|bytes| TreeSize::new(u64::from_be_bytes(bytes))))
    }

    fn write(&self, batch: &ViewBatch) -> Result<(), StorageError> {
        let mut changes = self.database.batch();
        for (key, value) in &batch.changes {
            match value {
                Some(value) => changes.insert(&self.values, key.as_slice(), value.as_slice()),
                None => changes.remove(&self.values, key.as_slice()),
            }
        }
        changes.insert(&self.values, APPLIED, batch.applied.get().to_be_bytes());
        changes.commit().map_err(failed)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for pair in self.values.prefix(prefix) {
            let (key, value) = pair.into_inner().map_err(failed)?;
            if !key.starts_with(b"\0") {
                visit(&key, &value)?;
            }
        }
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.values.get(key).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn clear(&self) -> Result<(), StorageError> {
        self.values.clear().map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError::Views(error.to_string())
}
