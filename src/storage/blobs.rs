//! The first storage role: named blobs (tiles, bundles, bodies, chain index, manifest, checkpoint).
//!
//! Contract: what [`Blobs::put`] and [`Blobs::extend`] wrote is durable after the next [`Blobs::barrier`]; a crash
//! before it leaves any part of it. Neither disturbs bytes that were durable: `put` replaces a name atomically,
//! `extend` writes only from `offset` on. [`Blobs::commit`] is atomic and durable when it returns. Only
//! [`Blobs::overwrite`] replaces bytes in place: those that are to be gone.

use std::sync::Arc;

use super::disk::Disk;
use super::error::StorageError;

/// Named byte strings.
pub trait Blobs: Send + Sync {
    /// A whole blob; `None` where there is none.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError>;
    /// At most `len` bytes of a blob from `offset` on; `None` where there is no such blob.
    fn read_at(&self, name: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>, StorageError>;
    /// Length of a blob; `None` where there is none.
    fn len(&self, name: &str) -> Result<Option<u64>, StorageError>;
    /// Names in a folder, sorted.
    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError>;
    /// Makes or replaces a blob.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError>;
    /// Makes the blob end with `bytes` at `offset`; what lay beyond is gone.
    fn extend(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;
    /// Replaces bytes of a blob that is there, in place and durably. After a crash any part of it may have happened.
    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;
    /// Makes all that was put and extended durable.
    fn barrier(&self) -> Result<(), StorageError>;
    /// Makes or replaces a blob, durably.
    fn commit(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError>;
    /// Removes a folder that nothing rests on, with the blobs directly in it.
    fn remove_folder(&self, folder: &str) -> Result<(), StorageError>;
    /// Removes a blob that nothing rests on.
    fn remove(&self, name: &str) -> Result<(), StorageError>;
    /// Bytes that may still be written.
    fn free(&self) -> Result<u64, StorageError>;
}

/// Blobs as files of a [`Disk`].
pub struct FileBlobs {
    disk: Arc<dyn Disk>,
}

impl FileBlobs {
    /// Blobs in this directory.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    fn write_file(&self, name: &str, bytes: &[u8], sync: bool) -> Result<(), StorageError> {
        let mut file = self.disk.open(name).map_err(|e| StorageError::io("open", name, e))?;
        file.truncate(0).map_err(|e| StorageError::io("truncate", name, e))?;
        file.write_at(0, bytes).map_err(|e| StorageError::io("write", name, e))?;
        if sync {
            file.sync().map_err(|e| StorageError::io("sync", name, e))?;
        }
        Ok(())
    }

    /// Writes beside the name, syncs, and renames: the old bytes stay whole until the new ones are.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let temporary = format!("{name}.tmp");
        self.write_file(&temporary, bytes, true)?;
        self.disk.rename(&temporary, name).map_err(|e| StorageError::io("rename", name, e))
    }
}

impl Blobs for FileBlobs {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        optional("read", name, self.disk.read(name))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>, StorageError> {
        optional("read", name, self.disk.read_at(name, offset, len))
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StorageError> {
        optional("stat", name, self.disk.len(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.disk.list(folder).map_err(|e| StorageError::io("list", folder, e))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        // A name that exists may be one that the manifest rests on.
        if self.len(name)?.is_some() { self.replace(name, bytes) } else { self.write_file(name, bytes, false) }
    }

    fn extend(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut file = self.disk.open(name).map_err(|e| StorageError::io("open", name, e))?;
        file.truncate(offset).map_err(|e| StorageError::io("truncate", name, e))?;
        file.write_at(offset, bytes).map_err(|e| StorageError::io("write", name, e))
    }

    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut file = self.disk.open(name).map_err(|e| StorageError::io("open", name, e))?;
        file.write_at(offset, bytes).map_err(|e| StorageError::io("write", name, e))?;
        file.sync().map_err(|e| StorageError::io("sync", name, e))
    }

    fn barrier(&self) -> Result<(), StorageError> {
        self.disk.sync_fs().map_err(|e| StorageError::io("sync", "the file system", e))
    }

    fn commit(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.replace(name, bytes)?;
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.disk.sync_dir(folder).map_err(|e| StorageError::io("sync", folder, e))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.disk.remove(name).map_err(|e| StorageError::io("remove", name, e))
    }

    fn remove_folder(&self, folder: &str) -> Result<(), StorageError> {
        for name in self.list(folder)? {
            self.remove(&format!("{folder}/{name}"))?;
        }
        self.disk.remove_dir(folder).map_err(|e| StorageError::io("remove", folder, e))
    }

    fn free(&self) -> Result<u64, StorageError> {
        self.disk.free().map_err(|e| StorageError::io("stat", "the file system", e))
    }
}

fn optional<T>(op: &'static str, name: &str, result: std::io::Result<T>) -> Result<Option<T>, StorageError> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(op, name, error)),
        Ok(value) => Ok(Some(value)),
    }
}
