//! Views on sled: offered because they can be rebuilt. A large batch costs sled gigabytes of memory, so a flush goes in
//! small pieces, with a mark that stands while it is incomplete and the watermark last.

use std::path::Path;

use super::{TreeSize, ViewBatch, Views, Visit};
use crate::storage::error::StorageError;

const APPLIED: &[u8] = b"\0applied";
const FLUSHING: &[u8] = b"\0flushing";
const PIECE: usize = 100;
/// Memory for cached pages.
const CACHE_BYTES: u64 = 16 << 20;

/// A sled database in a directory of its own.
pub struct SledViews {
    database: sled::Db,
}

impl SledViews {
    /// Opens or makes the store.
    pub fn open(directory: &Path) -> Result<Self, StorageError> {
        let database = sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).open().map_err(failed)?;
        Ok(Self { database })
    }
}

impl Views for SledViews {
    fn state(&self) -> Result<Option<TreeSize>, StorageError> {
        if self.database.get(FLUSHING).map_err(failed)?.is_some() {
            return Ok(None);
        }
        let applied = self.database.get(APPLIED).map_err(failed)?;
        Ok(applied
            .and_then(|bytes| bytes.as_ref().try_into().ok())
            .map(|bytes| TreeSize::new(u64::from_be_bytes(bytes))))
    }

    fn write(&self, batch: &ViewBatch) -> Result<(), StorageError> {
        self.database.insert(FLUSHING, b"").map_err(failed)?;
        self.database.flush().map_err(failed)?;
        for piece in batch.changes.chunks(PIECE) {
            let mut changes = sled::Batch::default();
            for (key, value) in piece {
                match value {
                    Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                    None => changes.remove(key.as_slice()),
                }
            }
            self.database.apply_batch(changes).map_err(failed)?;
        }
        self.database.flush().map_err(failed)?;
        let mut done = sled::Batch::default();
        done.insert(APPLIED, &batch.applied.get().to_be_bytes());
        done.remove(FLUSHING);
        self.database.apply_batch(done).map_err(failed)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for pair in self.database.scan_prefix(prefix) {
            let (key, value) = pair.map_err(failed)?;
            if !key.starts_with(b"\0") {
                visit(&key, &value)?;
            }
        }
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.database.get(key).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn clear(&self) -> Result<(), StorageError> {
        self.database.clear().map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError::Views(error.to_string())
}
