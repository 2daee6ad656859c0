//! The files that convict logs, kept where the state is.
//!
//! ```text
//! evidence/<origin hash>-<id>.evidence    a fork
//! evidence/<origin hash>-<id>.txt         notes
//! ```
//!
//! Each contradiction is written once. They are bounded in number and bytes, those that wait to be written included: of a
//! log that signs ever new roots the first few say it all. Nothing of the state rests on these files; who has published
//! them may take them away.
//!
//! No answer waits for them. A place is reserved under the lock, and the file is written outside of it, by a thread of its
//! own where the witness runs. What could not be written stays in memory, and is tried again with later contradictions of
//! that log, ever more seldom while that fails, and when the witness is closed. A folder that cannot be read is one without
//! room; room that is made in it counts after a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::exhibits::{Contradiction, Exhibit, MAX_FILE_LEN, log_of};
use crate::storage::{Blobs as _, Disk, FileBlobs, StorageError};

const FOLDER: &str = "evidence";
/// Most files of one log.
const MAX_FILES_OF_A_LOG: usize = 8;
/// Most files.
const MAX_FILES: usize = 4_096;
/// Most bytes of all files.
const MAX_LEN: u64 = 64 << 20;
/// Most bytes of one log's files, but for the first, which may be longer: so a log takes the room of a few, and not of all.
const MAX_LEN_OF_A_LOG: u64 = 128 << 10;
/// Most logs of which it is remembered that somebody was told of the want of room.
const MAX_TOLD: usize = 4_096;

/// The files that are there, and those that are to be.
pub(super) struct Shelf {
    disk: Arc<dyn Disk>,
    blobs: FileBlobs,
    /// Whether the folder could be read at the start.
    is_readable: bool,
    held: Mutex<Held>,
    wake: Condvar,
}

#[derive(Default)]
struct Held {
    /// By the hash of the origin, as in the name. They are reserved: their files may not be there yet.
    logs: BTreeMap<String, OfLog>,
    count: usize,
    len: u64,
    /// To be written.
    waiting: VecDeque<Exhibit>,
    /// What could not be written, by the hash of the origin.
    failed: BTreeMap<String, Failed>,
    /// Logs whose evidence found no room, of which that was told.
    told: BTreeSet<String>,
    /// Contradictions that left nothing here for want of room.
    dropped: u64,
    is_closed: bool,
}

/// The files of a log.
#[derive(Default)]
struct OfLog {
    names: BTreeSet<String>,
    len: u64,
}

/// What could not be written of a log.
#[derive(Default)]
struct Failed {
    exhibits: Vec<Exhibit>,
    /// Contradictions since it was tried, and with how many it is tried again: twice as many each time. Whoever has two
    /// such notes can send them as often as they like.
    since: u32,
    due: u32,
}

/// Whether a contradiction is to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    Yes,
    /// It is here, or enough of its log is.
    Enough,
    Full,
}

impl Shelf {
    /// The folder as it is. Where it cannot be read nothing is written to it: what it holds already is not known.
    pub(super) fn open(disk: &Arc<dyn Disk>) -> Self {
        let blobs = FileBlobs::new(Arc::clone(disk));
        let found = Held::read(&blobs);
        if let Err(error) = &found {
            tracing::warn!(%error, "the folder `evidence` cannot be read: nothing is written to it before a restart");
        }
        let is_readable = found.is_ok();
        let held = Mutex::new(found.unwrap_or_default());
        Self { disk: Arc::clone(disk), blobs, is_readable, held, wake: Condvar::new() }
    }

    /// Takes in what shows a contradiction, where that is not known and there is room; it is made only then. What could
    /// not be written of this log is to be tried again.
    pub(super) fn take(&self, contradiction: &Contradiction<'_>, exhibit: impl FnOnce() -> Exhibit) {
        let name = contradiction.name();
        let is_wanted = {
            let mut held = self.held();
            held.try_again(log_of(name));
            self.wake.notify_all();
            // Where there is no room it is made all the same: its length decides.
            self.is_readable && held.room(name, 0) != Room::Enough
        };
        if is_wanted {
            self.reserve(exhibit());
        }
    }

    fn reserve(&self, exhibit: Exhibit) {
        let len = exhibit.bytes.len();
        let mut held = self.held();
        let room = if len > MAX_FILE_LEN { Room::Full } else { held.room(&exhibit.name, len as u64) };
        match room {
            Room::Yes => {
                held.add(&exhibit.name, len as u64);
                held.waiting.push_back(exhibit);
                self.wake.notify_all();
            }
            Room::Enough => {}
            Room::Full => held.leave_out(&exhibit),
        }
    }

    /// Writes what comes until [`Shelf::close`], and then what still waits; for a thread of its own.
    pub(super) fn run(&self) {
        loop {
            self.keep_waiting();
            let idle = |held: &mut Held| held.waiting.is_empty() && !held.is_closed;
            let held = self.wake.wait_while(self.held(), idle).unwrap_or_else(PoisonError::into_inner);
            if held.waiting.is_empty() {
                return;
            }
        }
    }

    /// Writes what waits now.
    pub(super) fn keep_waiting(&self) {
        while let Some(exhibit) = self.next() {
            self.keep(exhibit);
        }
    }

    /// Writes what waits, and tries what could not be written a last time.
    pub(super) fn finish(&self) {
        self.held().try_all_again();
        self.keep_waiting();
        let files = self.unwritten();
        if files > 0 {
            tracing::error!(files, "evidence against logs could not be written, and is lost");
        }
    }

    pub(super) fn close(&self) {
        self.held().is_closed = true;
        self.wake.notify_all();
    }

    /// Whether the folder could be read, so that there may be room in it.
    pub(super) const fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// How many files wait to be written, or could not be.
    pub(super) fn unwritten(&self) -> usize {
        let held = self.held();
        held.waiting.len() + held.failed()
    }

    /// How many contradictions left nothing here for want of room, each as often as it was offered.
    pub(super) fn dropped(&self) -> u64 {
        self.held().dropped
    }

    fn next(&self) -> Option<Exhibit> {
        self.held().waiting.pop_front()
    }

    fn keep(&self, mut exhibit: Exhibit) {
        // A fault of the program in this is no end of the witness: the state does not rest on it.
        let written = catch_unwind(AssertUnwindSafe(|| self.write(&exhibit)));
        let Exhibit { origin, size, .. } = &exhibit;
        let (file, is_told) = (exhibit.file(), exhibit.is_told);
        let trouble = match written {
            Ok(Ok(())) => {
                tracing::warn!(%origin, %size, file, "a log has signed two trees of one size: this file convicts it");
                self.held().succeeded(log_of(&exhibit.name));
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "what writes it has panicked".to_owned(),
        };
        if !is_told {
            tracing::error!(%origin, %size, file, error = trouble, "a log has signed two trees of one size, and what shows it cannot be written yet");
        }
        exhibit.is_told = true;
        self.held().failed.entry(log_of(&exhibit.name).to_owned()).or_default().exhibits.push(exhibit);
    }

    fn write(&self, exhibit: &Exhibit) -> Result<(), StorageError> {
        self.blobs.commit(&exhibit.file(), &exhibit.bytes)?;
        // The folder may be new as well.
        self.disk.sync_dir("").map_err(|error| StorageError::io("sync", "the directory", error))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing is written under it, and nothing is left half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exhibit {
    fn file(&self) -> String {
        format!("{FOLDER}/{}.{}", self.name, self.kind)
    }
}

impl Held {
    fn read(blobs: &FileBlobs) -> Result<Self, StorageError> {
        let mut held = Self::default();
        for file in blobs.list(FOLDER)? {
            if let Some(name) = file.strip_suffix(".evidence").or_else(|| file.strip_suffix(".txt")) {
                held.add(name, blobs.len(&format!("{FOLDER}/{file}"))?.unwrap_or_default());
            }
        }
        Ok(held)
    }

    fn room(&self, name: &str, len: u64) -> Room {
        let of_log = self.logs.get(log_of(name));
        if of_log.is_some_and(|of_log| of_log.has_enough(name, len)) {
            return Room::Enough;
        }
        let is_full = self.count >= MAX_FILES || self.len.saturating_add(len) > MAX_LEN;
        if is_full { Room::Full } else { Room::Yes }
    }

    fn add(&mut self, name: &str, len: u64) {
        let of_log = self.logs.entry(log_of(name).to_owned()).or_default();
        of_log.names.insert(name.to_owned());
        of_log.len = of_log.len.saturating_add(len);
        self.count += 1;
        self.len = self.len.saturating_add(len);
    }

    /// Says of each log once that there is no room for what convicts it.
    fn leave_out(&mut self, exhibit: &Exhibit) {
        self.dropped += 1;
        let log = log_of(&exhibit.name);
        if self.told.len() < MAX_TOLD && !self.told.contains(log) {
            self.told.insert(log.to_owned());
            let Exhibit { origin, size, .. } = exhibit;
            tracing::error!(%origin, %size, "a log has signed two trees of one size, and `evidence` has no room for what shows it");
        }
    }

    fn failed(&self) -> usize {
        self.failed.values().map(|failed| failed.exhibits.len()).sum()
    }

    fn try_again(&mut self, log: &str) {
        let Some(failed) = self.failed.get_mut(log) else { return };
        failed.since = failed.since.saturating_add(1);
        if failed.since > failed.due {
            (failed.since, failed.due) = (0, failed.due.saturating_mul(2).max(1));
            self.waiting.extend(failed.exhibits.drain(..));
        }
    }

    fn succeeded(&mut self, log: &str) {
        if self.failed.get(log).is_some_and(|failed| failed.exhibits.is_empty()) {
            self.failed.remove(log);
        }
    }

    fn try_all_again(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.failed).into_values().flat_map(|failed| failed.exhibits));
    }
}

impl OfLog {
    fn has_enough(&self, name: &str, len: u64) -> bool {
        self.names.contains(name)
            || self.names.len() >= MAX_FILES_OF_A_LOG
            || (!self.names.is_empty() && self.len.saturating_add(len) > MAX_LEN_OF_A_LOG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::TreeSize;
    use crate::storage::OsDisk;
    use crate::tlog::Origin;

    fn exhibit(log: usize, number: usize, len: usize) -> Exhibit {
        let origin = Origin::parse(&format!("log.example/{log}")).unwrap();
        let name = format!("{}-{number}", origin.hash_hex());
        Exhibit { origin, size: TreeSize::new(1), name, kind: "txt", bytes: vec![b'x'; len], is_told: false }
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(directory.path()).unwrap());
        let shelf = Shelf::open(&disk);
        let waiting = || {
            let held = shelf.held();
            (held.waiting.len(), held.waiting.iter().map(|exhibit| exhibit.bytes.len()).sum::<usize>())
        };
        // Nobody writes.
        for number in 0..20 {
            shelf.reserve(exhibit(0, number, 100));
            shelf.reserve(exhibit(0, 0, 100));
        }
        assert_eq!(waiting(), (MAX_FILES_OF_A_LOG, 800));
        shelf.reserve(exhibit(1, 0, MAX_FILE_LEN + 1));
        assert_eq!((waiting().0, shelf.dropped()), (MAX_FILES_OF_A_LOG, 1));
        for log in 1..200 {
            // The first of a log may be long, and then it is the only one.
            shelf.reserve(exhibit(log, 0, MAX_FILE_LEN));
            shelf.reserve(exhibit(log, 1, MAX_FILE_LEN - 1));
        }
        assert!(shelf.dropped() > 50, "{}", shelf.dropped());
        let (count, len) = waiting();
        assert!(len as u64 <= MAX_LEN && len + MAX_FILE_LEN > MAX_LEN as usize, "{len}");
        assert_eq!(count, MAX_FILES_OF_A_LOG + MAX_LEN as usize / MAX_FILE_LEN);
        for log in 200..MAX_FILES + 200 {
            shelf.reserve(exhibit(log, 0, 0));
        }
        assert_eq!(waiting().0, MAX_FILES, "{count}");
    }

    #[test]
    fn what_fails_is_tried_ever_more_seldom() {
        let directory = tempfile::tempdir().unwrap();
        // A file stands where the folder would be.
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(directory.path()).unwrap());
        let shelf = Shelf::open(&disk);
        std::fs::write(directory.path().join(FOLDER), "").unwrap();
        shelf.reserve(exhibit(0, 0, 10));
        shelf.keep_waiting();
        let log = log_of(&exhibit(0, 0, 0).name).to_owned();
        let tried: Vec<u32> = (1..=40)
            .filter(|_| {
                shelf.held().try_again(&log);
                let is_tried = !shelf.held().waiting.is_empty();
                shelf.keep_waiting();
                is_tried
            })
            .collect();
        assert_eq!(tried, [1, 3, 6, 11, 20, 37]);
        assert_eq!(shelf.unwritten(), 1);
        std::fs::remove_file(directory.path().join(FOLDER)).unwrap();
        shelf.finish();
        assert_eq!(shelf.unwritten(), 0);
    }
}
