//! The disk of a directory that this process holds, as long as it holds it.
//!
//! Two locks keep a second process out: on the file `lock`, and on the directory itself, which holds where that file was
//! replaced. Names lead through the path, so a directory that was moved away and replaced would let two processes write
//! to the new one: therefore before each operation the path is looked at, and refused where it leads elsewhere than to
//! what was locked. Such an error latches the witness.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::error::OpenError;
use crate::storage::{Disk, DiskFile, OsDisk};

const LOCK: &str = "lock";

/// A directory and its lock file, both locked. The locks go when this is dropped.
pub(super) struct Hold {
    path: PathBuf,
    directory: File,
    lock: File,
}

/// Files of a held directory.
pub(super) struct HeldDisk {
    disk: OsDisk,
    hold: Arc<Hold>,
}

struct HeldFile {
    file: Box<dyn DiskFile>,
    hold: Arc<Hold>,
}

impl Hold {
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let at = |error| OpenError::Io(path.to_owned(), error);
        let locked = |handle: &File| match flock(handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(path.to_owned())),
            Err(error) => Err(at(error.into())),
        };
        let directory = File::open(path).map_err(at)?;
        locked(&directory)?;
        let lock = File::options().create(true).write(true).truncate(false).open(path.join(LOCK)).map_err(at)?;
        locked(&lock)?;
        Ok(Self { path: path.to_owned(), directory, lock })
    }

    /// Whether the path still leads to what was locked.
    pub(super) fn check(&self) -> io::Result<()> {
        let is_same = |held: &File, path: &Path| -> io::Result<bool> {
            let (held, found) = (held.metadata()?, fs::metadata(path)?);
            Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
        };
        let same = is_same(&self.directory, &self.path)
            .and_then(|same| Ok(same && is_same(&self.lock, &self.path.join(LOCK))?));
        if same.unwrap_or(false) { Ok(()) } else { Err(io::Error::other("the directory or its lock was replaced")) }
    }
}

impl HeldDisk {
    pub(super) fn open(hold: Hold) -> Result<Self, OpenError> {
        let disk = OsDisk::open(&hold.path).map_err(|error| OpenError::Io(hold.path.clone(), error))?;
        // After everything is open: what was replaced meanwhile was replaced before.
        hold.check().map_err(|_| OpenError::Replaced(hold.path.clone()))?;
        Ok(Self { disk, hold: Arc::new(hold) })
    }
}

impl Disk for HeldDisk {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.hold.check()?;
        self.disk.read(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.hold.check()?;
        self.disk.read_at(name, offset, len)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.hold.check()?;
        self.disk.len(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.hold.check()?;
        self.disk.list(dir)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.hold.check()?;
        Ok(Box::new(HeldFile { file: self.disk.open(name)?, hold: Arc::clone(&self.hold) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.hold.check()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.hold.check()?;
        self.disk.remove(name)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.hold.check()?;
        self.disk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.hold.check()?;
        self.disk.sync_dir(dir)
    }

    fn sync_fs(&self) -> io::Result<()> {
        self.hold.check()?;
        self.disk.sync_fs()
    }

    fn free(&self) -> io::Result<u64> {
        self.disk.free()
    }
}

impl DiskFile for HeldFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    /// What was synced into a directory that nobody will open again is not remembered.
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.hold.check()
    }
}
