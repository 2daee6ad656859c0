//! Replay of what the tree proves: entries into the machine, and what is kept or derived beside them against it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::erasures::{BodiesFile, Erasures};
use super::report::{FsckReport, Place};
use super::{EntryCheck, Progress};
use crate::log::bodies::{self, Content, Slot};
use crate::log::error::ReadError;
use crate::log::flush::Flushed;
use crate::log::machine::{Machine, Past};
use crate::log::manifest::{CHAIN_INDEX, Manifest};
use crate::log::reader::parse_bundle;
use crate::log::tail::{ROW_LEN, Row};
use crate::merkle::{LeafIndex, TILE_WIDTH, TreeSize};
use crate::storage::{Blobs, Disk, DiskFile, OsDisk, Scratch, StorageError, ViewBatch, Views};
use crate::tlog::TileKind;

const NEW_CHAIN_INDEX: &str = "chain.idx.new";
/// The folder of the default store of views, for findings.
pub(super) const VIEWS: &str = "views";

pub(super) struct Replay<'a, M> {
    pub(super) machine: M,
    /// The newest entry that the machine took.
    pub(super) last: Option<Bytes>,
    /// Rows of the partial bundle.
    pub(super) edge_rows: Vec<Row>,
    check: &'a dyn EntryCheck,
    blobs: &'a dyn Blobs,
    size: u64,
    bodies_len: u64,
    applied: u64,
    stopped: bool,
    rows: Rows<'a>,
    bundle: ReadBundle,
    views: ViewsCheck<'a>,
    erasures: Erasures,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a, M: Machine> Replay<'a, M> {
    pub(super) fn new(
        machine: M,
        check: &'a dyn EntryCheck,
        blobs: &'a dyn Blobs,
        manifest: &Manifest,
        (rows, views, erasures): (Rows<'a>, ViewsCheck<'a>, Erasures),
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            machine,
            last: None,
            edge_rows: Vec::new(),
            check,
            blobs,
            size: manifest.size.get(),
            bodies_len: manifest.bodies_len,
            applied: 0,
            stopped: false,
            rows,
            bundle: ReadBundle::default(),
            views,
            erasures,
            progress,
        }
    }

    /// Takes the next bundle.
    pub(super) fn bundle(
        &mut self,
        report: &mut FsckReport,
        index: u64,
        entries: Option<&[Bytes]>,
    ) -> Result<(), StorageError> {
        self.bodies(report, index, entries)?;
        let start = index * TILE_WIDTH as u64;
        match entries {
            Some(entries) if !self.stopped => self.replay(report, start, entries)?,
            None => self.stop(report, &TileKind::Entries.path(index, TILE_WIDTH), start),
            Some(_) => {}
        }
        let done = (start + TILE_WIDTH as u64).min(self.size);
        (self.progress)(Progress { entries: TreeSize::new(done), of: TreeSize::new(self.size) });
        Ok(())
    }

    /// Whether every entry of the public files was replayed.
    pub(super) fn is_whole(&self) -> bool {
        !self.stopped && self.applied == self.size
    }

    /// Whether each row of chain.idx is by now the one that replay gave.
    pub(super) fn has_right_rows(&self) -> bool {
        self.is_whole() && self.rows.wrong == 0
    }

    /// Ends the comparison of what is derived, and writes it anew where that was asked for.
    pub(super) fn finish(&mut self, report: &mut FsckReport) -> Result<(), StorageError> {
        let whole = self.is_whole();
        self.erasures.finish(self.blobs)?;
        self.rows.finish(report, self.blobs, self.size, whole)?;
        self.views.finish(report, &mut self.machine, self.size, whole)
    }

    /// The machine, and what it may read of the public files, all of which it has taken.
    pub(super) fn machine_and_past(&mut self) -> (&mut M, Before<'_>) {
        let Self { machine, blobs, rows, bundle, size, .. } = self;
        (machine, Before { blobs: *blobs, known: rows, read: bundle, start: *size, entries: &[], rows: &[] })
    }

    fn stop(&mut self, report: &mut FsckReport, name: &str, at: u64) {
        if !self.stopped {
            let what =
                "entries from here on are not replayed: the rows, the views and the journal are not held against them";
            report.note(name, Place::Entry(LeafIndex::new(at)), what);
        }
        self.stopped = true;
    }

    fn replay(&mut self, report: &mut FsckReport, start: u64, entries: &[Bytes]) -> Result<(), StorageError> {
        let mut rows = Vec::with_capacity(entries.len());
        for (index, entry) in (start..).map(LeafIndex::new).zip(entries) {
            self.views.at(report, &mut self.machine, index.get());
            let past = Before { blobs: self.blobs, known: &self.rows, read: &self.bundle, start, entries, rows: &rows };
            match self.machine.apply(index, entry, &past) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    let name = TileKind::Entries.path(start / TILE_WIDTH as u64, TILE_WIDTH);
                    let what = format!("the entry breaks the rules of this log: {}", error.what);
                    report.damage(&name, Place::Entry(index), what);
                    self.stop(report, &name, index.get());
                    break;
                }
            }
            self.applied += 1;
            self.last = Some(entry.clone());
        }
        self.rows.compare(report, self.blobs, start, &rows)?;
        self.edge_rows = if entries.len() < TILE_WIDTH { rows } else { Vec::new() };
        Ok(())
    }

    /// The bodies of a bundle: that the file is made of slots, each for an entry that takes it.
    fn bodies(&mut self, report: &mut FsckReport, bundle: u64, entries: Option<&[Bytes]>) -> Result<(), StorageError> {
        let flushed = Flushed { size: TreeSize::new(self.size), bodies_len: self.bodies_len };
        let (blobs, check, body_len) = (self.blobs, self.check, M::body_len);
        let file = BodiesFile { blobs, check, body_len, flushed, bundle, entries };
        self.erasures.ordered(report, &file)?;
        let name = file.name();
        let is_partial = bundle == self.size / TILE_WIDTH as u64;
        // What lies behind it is being written, or was when a crash came.
        let end = flushed.bodies_end(bundle);
        let width = if is_partial { self.size as usize % TILE_WIDTH } else { TILE_WIDTH };
        if is_partial && end > 0 && !self.blobs.len(&name).is_ok_and(|len| len >= Some(end)) {
            report.damage(&name, Place::Whole, format!("it is shorter than the {end} bytes that were written"));
            return Ok(());
        }
        let (mut offset, mut least) = (0, 0);
        loop {
            match bodies::slot_at(self.blobs, &name, offset, end) {
                Ok(None) => return Ok(()),
                Ok(Some(slot)) if slot.at < least || slot.at >= width => {
                    report.damage(&name, Place::Byte(offset), "a slot for no entry, or out of order");
                    return Ok(());
                }
                Ok(Some(slot)) => {
                    let index = LeafIndex::new(bundle * TILE_WIDTH as u64 + slot.at as u64);
                    let entry = entries.and_then(|entries| entries.get(slot.at));
                    self.body(report, (&name, end), &slot, index, entry)?;
                    (offset, least) = (slot.end, slot.at + 1);
                }
                Err(error) => {
                    report.storage(&name, error);
                    return Ok(());
                }
            }
        }
    }

    /// One slot, and the entry that it is of where that is proven.
    fn body(
        &self,
        report: &mut FsckReport,
        (name, end): (&str, u64),
        slot: &Slot,
        index: LeafIndex,
        entry: Option<&Bytes>,
    ) -> Result<(), StorageError> {
        let judged = match &slot.content {
            Content::Kept(body) => {
                report.bodies += 1;
                entry.map(|entry| self.check.body(index, entry, body))
            }
            Content::Erased { len, is_blank } => {
                report.erased += 1;
                let judged = entry.map(|entry| self.check.erased_body(index, entry, *len));
                if !is_blank {
                    // Where the length is not the entry's, what lies behind the mark is perhaps another slot.
                    let is_proven = matches!(judged, Some(Ok(())));
                    self.erasures.unfinished(report, self.blobs, (name, slot, index, end), is_proven)?;
                }
                judged
            }
        };
        if let Some(Err(what)) = judged {
            report.damage(name, Place::Byte(slot.start), format!("the body beside entry {index}: {what}"));
        }
        Ok(())
    }
}

/// What the machine may read while it replays: bundles that it has taken, and the rows that it gave for them, whatever
/// chain.idx says.
pub(super) struct Before<'a> {
    blobs: &'a dyn Blobs,
    known: &'a Rows<'a>,
    read: &'a ReadBundle,
    /// Where the bundle begins that is being replayed.
    start: u64,
    entries: &'a [Bytes],
    rows: &'a [Row],
}

/// The earlier bundle that was read last.
type ReadBundle = RefCell<Option<(u64, Vec<Bytes>)>>;

impl Past for Before<'_> {
    fn entry(&self, index: LeafIndex) -> Result<Bytes, ReadError> {
        if let Some(at) = index.get().checked_sub(self.start) {
            return self.entries.get(at as usize).cloned().ok_or(ReadError::PastEnd);
        }
        let (bundle, at) = (index.get() / TILE_WIDTH as u64, index.get() as usize % TILE_WIDTH);
        let mut read = self.read.borrow_mut();
        if read.as_ref().is_none_or(|(held, _)| *held != bundle) {
            let name = TileKind::Entries.path(bundle, TILE_WIDTH);
            let bytes = self.blobs.read(&name)?.unwrap_or_default();
            // It was proven when it was replayed.
            let entries = parse_bundle(&bytes.into(), TILE_WIDTH);
            *read = Some((bundle, entries.ok_or(ReadError::Damaged { name, what: "it is no bundle any more" })?));
        }
        read.as_ref().and_then(|(_, entries)| entries.get(at).cloned()).ok_or(ReadError::PastEnd)
    }

    fn row(&self, index: LeafIndex) -> Result<Row, ReadError> {
        match index.get().checked_sub(self.start) {
            Some(at) => self.rows.get(at as usize).copied().ok_or(ReadError::PastEnd),
            None => self.known.row(self.blobs, index.get()),
        }
    }
}

/// The past of a machine that asks nothing.
pub(super) struct NoPast;

impl Past for NoPast {
    fn entry(&self, _: LeafIndex) -> Result<Bytes, ReadError> {
        Err(ReadError::PastEnd)
    }

    fn row(&self, _: LeafIndex) -> Result<Row, ReadError> {
        Err(ReadError::PastEnd)
    }
}

/// Rows that are held in memory because chain.idx has others: 50 MB or so.
const MAX_WRONG_ROWS: usize = if cfg!(test) { 8 } else { 1 << 20 };

/// The rows in chain.idx against those of replay.
pub(super) struct Rows<'a> {
    disk: &'a dyn Disk,
    /// The file made anew, to replace the other where a repair was asked for, else to look up rows in.
    fresh: Option<Box<dyn DiskFile>>,
    /// Where that is, if nothing may be written to the disk that is checked.
    scratch: Option<(OsDisk, Scratch)>,
    repair: bool,
    /// Rows that replay gave where the file has others, the first ones.
    wrong_rows: BTreeMap<u64, Row>,
    wrong: u64,
}

impl<'a> Rows<'a> {
    /// Of an older layout all rows are wrong, and more than memory may hold: they are made anew for the check alone too.
    pub(super) fn new(disk: &'a dyn Disk, repair: bool, is_older: bool) -> Result<Self, StorageError> {
        let (mut fresh, mut scratch) = (None, None);
        if is_older && !repair {
            let folder = Scratch::new().map_err(|e| StorageError::io("open", "a temporary folder", e))?;
            let disk = OsDisk::open(folder.path()).map_err(|e| StorageError::io("open", "a temporary folder", e))?;
            scratch = Some((disk, folder));
        }
        if repair || is_older {
            let disk: &dyn Disk = scratch.as_ref().map_or(disk, |(disk, _)| disk);
            let mut file = disk.open(NEW_CHAIN_INDEX).map_err(|e| StorageError::io("open", NEW_CHAIN_INDEX, e))?;
            file.truncate(0).map_err(|e| StorageError::io("truncate", NEW_CHAIN_INDEX, e))?;
            fresh = Some(file);
        }
        Ok(Self { disk, fresh, scratch, repair, wrong_rows: BTreeMap::new(), wrong: 0 })
    }

    /// Where the file is that is made anew.
    fn fresh_disk(&self) -> &dyn Disk {
        self.scratch.as_ref().map_or(self.disk, |(disk, _)| disk)
    }

    /// The row that replay gave for an entry.
    fn row(&self, blobs: &dyn Blobs, index: u64) -> Result<Row, ReadError> {
        let damaged = |what| ReadError::Damaged { name: CHAIN_INDEX.into(), what };
        let bytes = if self.fresh.is_some() {
            let read = self.fresh_disk().read_at(NEW_CHAIN_INDEX, index * ROW_LEN, ROW_LEN as usize);
            Some(read.map_err(|e| StorageError::io("read", NEW_CHAIN_INDEX, e))?)
        } else if let Some(row) = self.wrong_rows.get(&index) {
            return Ok(*row);
        } else if self.wrong > self.wrong_rows.len() as u64 {
            return Err(damaged("too many of its rows are wrong to go on without --repair"));
        } else {
            blobs.read_at(CHAIN_INDEX, index * ROW_LEN, ROW_LEN as usize)?
        };
        bytes.as_deref().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| damaged("it is too short"))
    }

    fn compare(
        &mut self,
        report: &mut FsckReport,
        blobs: &dyn Blobs,
        start: u64,
        rows: &[Row],
    ) -> Result<(), StorageError> {
        let found = blobs.read_at(CHAIN_INDEX, start * ROW_LEN, rows.len() * ROW_LEN as usize);
        let found = found.unwrap_or_else(|error| {
            report.storage(CHAIN_INDEX, error);
            None
        });
        let found = found.unwrap_or_default();
        let (found, _) = found.as_chunks::<{ ROW_LEN as usize }>();
        for (at, row) in rows.iter().enumerate().filter(|(at, row)| found.get(*at) != Some(row)) {
            if self.wrong_rows.len() < MAX_WRONG_ROWS {
                self.wrong_rows.insert(start + at as u64, *row);
            }
            self.wrong += 1;
        }
        if let Some(file) = &mut self.fresh {
            let written = file.write_at(start * ROW_LEN, rows.as_flattened());
            written.map_err(|e| StorageError::io("write", NEW_CHAIN_INDEX, e))?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        report: &mut FsckReport,
        blobs: &dyn Blobs,
        size: u64,
        whole: bool,
    ) -> Result<(), StorageError> {
        let (len, wrong) = (blobs.len(CHAIN_INDEX)?.unwrap_or(0), self.wrong);
        let repaired = match self.fresh.take() {
            Some(file) if self.repair && whole && self.wrong > 0 => self.replace(file)?,
            Some(_) => {
                self.fresh_disk()
                    .remove(NEW_CHAIN_INDEX)
                    .map_err(|e| StorageError::io("remove", NEW_CHAIN_INDEX, e))?;
                false
            }
            None => false,
        };
        if repaired {
            self.wrong = 0;
        }
        if let Some((&first, _)) = self.wrong_rows.first_key_value() {
            let what = format!("{wrong} rows are not those that the entries give");
            let place = Place::Entry(LeafIndex::new(first));
            if whole {
                report.repairable(CHAIN_INDEX, place, what, repaired);
            } else {
                report.damage(CHAIN_INDEX, place, what);
            }
        } else if len < size * ROW_LEN {
            report.damage(CHAIN_INDEX, Place::Byte(len), "it is shorter than the log");
        }
        if len > size * ROW_LEN {
            let what = "rows behind the last entry, as an interrupted flush leaves them; they are not read";
            report.note(CHAIN_INDEX, Place::Byte(size * ROW_LEN), what);
        }
        Ok(())
    }

    fn replace(&self, mut file: Box<dyn DiskFile>) -> Result<bool, StorageError> {
        file.sync().map_err(|e| StorageError::io("sync", NEW_CHAIN_INDEX, e))?;
        let renamed = self.disk.rename(NEW_CHAIN_INDEX, CHAIN_INDEX).and_then(|()| self.disk.sync_dir(""));
        renamed.map_err(|e| StorageError::io("rename", CHAIN_INDEX, e))?;
        Ok(true)
    }
}

/// The stored views against those of replay.
pub(super) struct ViewsCheck<'a> {
    views: Option<&'a dyn Views>,
    repair: bool,
    /// The size that the store says its values belong to.
    applied: Option<u64>,
    /// All values that replay gave so far.
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    verdict: Option<String>,
}

impl<'a> ViewsCheck<'a> {
    pub(super) fn new(views: Option<&'a dyn Views>, repair: bool, size: u64) -> Self {
        let mut check = Self { views, repair, applied: None, values: BTreeMap::new(), verdict: None };
        match views.map(Views::state) {
            // Without values opening makes them.
            None | Some(Ok(None)) => {}
            Some(Ok(Some(applied))) if applied.get() <= size => check.applied = Some(applied.get()),
            Some(Ok(Some(applied))) => {
                check.verdict = Some(format!("they belong to {applied} entries, the log has {size}"));
            }
            Some(Err(error)) => check.verdict = Some(error.to_string()),
        }
        check
    }

    /// Replay has come to this size.
    fn at<M: Machine>(&mut self, report: &mut FsckReport, machine: &mut M, size: u64) {
        let (Some(views), true) = (self.views, self.applied == Some(size)) else { return };
        self.applied = None;
        self.take(machine);
        match self.compare(views) {
            Ok(0) => {}
            Ok(count) => self.verdict = Some(format!("{count} values are not those that the entries give")),
            Err(error) => report.storage(VIEWS, error),
        }
    }

    fn take<M: Machine>(&mut self, machine: &mut M) {
        for (key, value) in machine.changes().changes {
            match value {
                Some(value) => drop(self.values.insert(key, value)),
                None => drop(self.values.remove(&key)),
            }
        }
    }

    /// How many values differ, are too many or are missing.
    fn compare(&self, views: &dyn Views) -> Result<usize, StorageError> {
        let (mut right, mut wrong) = (0, 0);
        views.scan(b"", &mut |key, value| {
            // Keys with a zero byte in front are the store's own.
            if key.first() != Some(&0) {
                let is_right = self.values.get(key).is_some_and(|expected| expected == value);
                *(if is_right { &mut right } else { &mut wrong }) += 1;
            }
            Ok(())
        })?;
        Ok(wrong + (self.values.len() - right).saturating_sub(wrong))
    }

    fn finish<M: Machine>(
        &mut self,
        report: &mut FsckReport,
        machine: &mut M,
        size: u64,
        whole: bool,
    ) -> Result<(), StorageError> {
        if whole {
            self.at(report, machine, size);
        }
        let (Some(views), Some(verdict)) = (self.views, self.verdict.take()) else { return Ok(()) };
        let repair = self.repair && whole;
        if repair {
            self.take(machine);
            views.clear()?;
            let changes = self.values.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
            views.write(&ViewBatch { changes, applied: TreeSize::new(size) })?;
        }
        // Opening makes them anew from the entries; what is needed for that is what is needed for the repair.
        report.repairable(VIEWS, Place::Whole, verdict, repair);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::{FileBlobs, OsDisk};

    fn row_of(index: u64) -> Row {
        let mut row = Row::default();
        row[..8].copy_from_slice(&(index + 1).to_be_bytes());
        row
    }

    /// Holds more wrong rows than are kept in memory against those of replay; whether all can be looked up, and what is
    /// said of them.
    fn check(repair: bool, is_older: bool) -> (bool, FsckReport, Vec<u8>) {
        let count = MAX_WRONG_ROWS as u64 + 5;
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(folder.path()).unwrap());
        disk.open(CHAIN_INDEX).unwrap().write_at(0, b"shorter rows of an older layout").unwrap();
        let blobs = FileBlobs::new(Arc::clone(&disk));
        let (mut report, mut rows) = (FsckReport::default(), Rows::new(&*disk, repair, is_older).unwrap());
        for index in 0..count {
            rows.compare(&mut report, &blobs, index, &[row_of(index)]).unwrap();
        }
        let known = (0..count).all(|index| rows.row(&blobs, index).is_ok_and(|row| row == row_of(index)));
        rows.finish(&mut report, &blobs, count, true).unwrap();
        assert_eq!(disk.list("").unwrap(), [CHAIN_INDEX], "nothing else stays");
        (known, report, disk.read(CHAIN_INDEX).unwrap())
    }

    #[test]
    fn all_rows_of_an_older_layout_are_known_without_a_repair() {
        let (known, report, file) = check(false, true);
        assert!(known);
        assert_eq!(file, b"shorter rows of an older layout", "the check writes nothing");
        assert!(report.findings.iter().all(|finding| finding.repairable && !finding.repaired) && !report.is_clean());
        let (known, report, file) = check(true, true);
        assert!(known && report.is_clean());
        assert_eq!(file, (0..MAX_WRONG_ROWS as u64 + 5).flat_map(row_of).collect::<Vec<_>>());
    }

    #[test]
    fn too_many_wrong_rows_of_this_layout_need_a_repair() {
        assert!(!check(false, false).0);
        assert!(check(true, false).0);
    }
}
