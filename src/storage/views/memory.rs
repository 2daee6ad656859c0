//! Views that live as long as the process: for logs without derived values, and for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{TreeSize, ViewBatch, Views, Visit};
use crate::storage::error::StorageError;

/// A sorted map in memory.
#[derive(Debug, Default)]
pub struct MemoryViews {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    applied: Option<TreeSize>,
}

impl MemoryViews {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Views for MemoryViews {
    fn state(&self) -> Result<Option<TreeSize>, StorageError> {
        Ok(self.inner().applied)
    }

    fn write(&self, batch: &ViewBatch) -> Result<(), StorageError> {
        let mut inner = self.inner();
        for (key, value) in &batch.changes {
            match value {
                Some(value) => inner.values.insert(key.clone(), value.clone()),
                None => inner.values.remove(key),
            };
        }
        inner.applied = Some(batch.applied);
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let inner = self.inner();
        for (key, value) in inner.values.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            visit(key, value)?;
        }
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.inner().values.get(key).cloned())
    }

    fn clear(&self) -> Result<(), StorageError> {
        *self.inner() = Inner::default();
        Ok(())
    }
}
