//! What a node stands on, changed by hand: a clock that jumps, a disk that runs full.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soulchain::clock::{self, Clock, Reading};
use soulchain::encoding::UnixMillis;
use soulchain::node::Platform;
use soulchain::storage::{Disk, DiskFile, OsDisk};

/// The system's clock, until it jumps.
#[derive(Default)]
pub(crate) struct JumpyClock {
    has_jumped: AtomicBool,
}

impl JumpyClock {
    pub(crate) fn set_jumped(&self, jumped: bool) {
        self.has_jumped.store(jumped, Ordering::SeqCst);
    }

    pub(crate) fn platform(self: &Arc<Self>) -> Platform {
        Platform { clock: Arc::<Self>::clone(self), ..Platform::default() }
    }
}

impl Clock for JumpyClock {
    fn read(&self, least: UnixMillis) -> Reading {
        if self.has_jumped.load(Ordering::SeqCst) { Reading::Jumped } else { Reading::Time(clock::now().max(least)) }
    }
}

/// A directory of the system, until it is full.
pub(crate) struct FillingDisk {
    directory: OsDisk,
    is_full: AtomicBool,
    takes_no_bodies: AtomicBool,
}

impl FillingDisk {
    pub(crate) fn at(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            directory: OsDisk::open(path).unwrap(),
            is_full: AtomicBool::new(false),
            takes_no_bodies: AtomicBool::new(false),
        })
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.is_full.store(full, Ordering::SeqCst);
    }

    /// Writes to the files of bodies find no room, and flushes wait.
    pub(crate) fn set_no_room_for_bodies(&self, full: bool) {
        self.takes_no_bodies.store(full, Ordering::SeqCst);
    }

    pub(crate) fn platform(self: &Arc<Self>) -> Platform {
        Platform { disk: Some(Arc::<Self>::clone(self)), ..Platform::default() }
    }
}

impl Disk for FillingDisk {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.directory.read(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.directory.read_at(name, offset, len)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.directory.len(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.directory.list(dir)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        if self.takes_no_bodies.load(Ordering::SeqCst) && name.starts_with("bodies/") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.directory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.directory.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.directory.sync_dir(dir)
    }

    fn sync_fs(&self) -> io::Result<()> {
        self.directory.sync_fs()
    }

    fn free(&self) -> io::Result<u64> {
        // Enough beside, whatever the disk has on which the tests run.
        Ok(if self.is_full.load(Ordering::SeqCst) { 0 } else { 1 << 40 })
    }
}
