//! Bodies that are to go: those whose order opening carries out, those that are owed because of damage (`log::owed`), and
//! those that are marked as erased while something of them is left.
//!
//! A repair overwrites the slot of an ordered body, wherever [`slots`](super::slots) can prove that to be. Where no more is
//! known than a range of bytes, all of them are overwritten, and the bodies of others that may have lain there are named.
//! Where entries do not say how long their bodies are, or the check cannot tell a body from another, nothing is known of
//! any byte: none is overwritten, and the order is kept.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;

use super::EntryCheck;
use super::report::{FsckReport, Place};
use super::slots::{Piece, Takes, divide};
use crate::log::batch::MAX_BODY_LEN;
use crate::log::bodies::{self, HEAD_LEN, Slot};
use crate::log::erasure::BodyToErase;
use crate::log::flush::Flushed;
use crate::log::owed::{self, OWED, Orders};
use crate::merkle::{LeafIndex, TILE_WIDTH};
use crate::storage::{Blobs, StorageError};

/// What is known of bodies that are to go.
pub(super) struct Erasures {
    /// Those that opening finishes, by the journal.
    pending: BTreeSet<LeafIndex>,
    /// Those that are owed, not those that a repair has finished; and those that it has, if opening would not see it.
    orders: Orders,
    on_disk: Orders,
    pub(super) repair: bool,
}

/// The file of one bundle's bodies, and what its entries say.
pub(super) struct BodiesFile<'a> {
    pub(super) blobs: &'a dyn Blobs,
    pub(super) check: &'a dyn EntryCheck,
    pub(super) body_len: fn(&[u8]) -> Option<u32>,
    pub(super) flushed: Flushed,
    pub(super) bundle: u64,
    /// Where they are proven.
    pub(super) entries: Option<&'a [Bytes]>,
}

impl Erasures {
    pub(super) fn new(
        report: &mut FsckReport,
        blobs: &dyn Blobs,
        pending: BTreeSet<LeafIndex>,
        size: u64,
        repair: bool,
    ) -> Self {
        let orders = owed::read(blobs).unwrap_or_else(|error| {
            report.storage(OWED, error);
            Orders::default()
        });
        if let Some(last) = orders.owed.last().filter(|last| last.get() >= size && !pending.contains(last)) {
            report.damage(OWED, Place::Entry(*last), "there is no such entry in the public files");
        }
        Self { pending, on_disk: orders.clone(), orders, repair }
    }

    /// The orders of one bundle: those that damage stands in the way of are told of, and carried out by a repair.
    pub(super) fn ordered(&mut self, report: &mut FsckReport, file: &BodiesFile<'_>) -> Result<(), StorageError> {
        let start = file.bundle * TILE_WIDTH as u64;
        let indexes =
            LeafIndex::new(start)..LeafIndex::new(start + TILE_WIDTH as u64).min(file.flushed.size.next_index());
        let orders: BTreeSet<_> =
            self.pending.range(indexes.clone()).chain(self.orders.owed.range(indexes)).copied().collect();
        for index in orders {
            if file.entries.is_none() {
                let what =
                    format!("the body beside entry {index} is to be erased, which waits for the entries to be mended");
                report.damage(&file.name(), Place::Entry(index), what);
                continue;
            }
            let body = file.body(index);
            match bodies::check_erasable(file.blobs, &body, file.flushed) {
                Ok(()) => self.not_hindered(report, file, &body)?,
                Err(StorageError::Damaged { .. } | StorageError::Missing { .. }) => {
                    self.hindered(report, file, index)?;
                }
                Err(error) => report.storage(&file.name(), error),
            }
        }
        Ok(())
    }

    /// Of an order that opening can carry out.
    fn not_hindered(
        &mut self,
        report: &mut FsckReport,
        file: &BodiesFile<'_>,
        body: &BodyToErase,
    ) -> Result<(), StorageError> {
        // Of those in the journal the mark in the slot tells, where it is there yet.
        if !self.orders.owed.contains(&body.index) {
            return Ok(());
        }
        let what = format!("the body beside entry {} is to be erased, and nothing stands in the way of it", body.index);
        if self.repair {
            bodies::erase(file.blobs, body, file.flushed)?;
            self.orders.owed.remove(&body.index);
            report.repairable(&file.name(), Place::Entry(body.index), what, true);
        } else {
            report.note(&file.name(), Place::Entry(body.index), format!("{what}: opening goes on with that"));
        }
        Ok(())
    }

    /// Of one that it cannot.
    fn hindered(
        &mut self,
        report: &mut FsckReport,
        file: &BodiesFile<'_>,
        index: LeafIndex,
    ) -> Result<(), StorageError> {
        let (name, at) = (file.name(), index.get() as usize % TILE_WIDTH);
        let bytes = file.read()?;
        let takes = file.takes();
        let ordered = format!("the body beside entry {index} is to be erased");
        let is_provable = file.check.proves_bodies() && takes[at].is_some();
        if !is_provable && !bytes.is_empty() {
            let what = format!(
                "{ordered}, and damage stands in the way; nothing here tells which bytes are its, so the order is kept"
            );
            report.damage(&name, Place::Entry(index), what);
            return Ok(());
        }
        let is_of = |at: usize, body: &_| file.is_of(at, body);
        let pieces = divide(&bytes, &Takes { lens: takes.clone(), is_of: &is_of });
        let found = pieces.iter().find(|piece| match piece {
            Piece::Slot(of, _) => *of == at,
            Piece::Gap(places, _) => places.contains(&at),
        });
        let is_left = match found {
            Some(Piece::Slot(_, extent)) => bytes[extent.clone()] != bodies::erased_slot(at, takes[at].unwrap_or(0)),
            Some(Piece::Gap(_, extent)) => !is_nothing_left(&bytes[extent.clone()]),
            None => false,
        };
        if !is_left && self.orders.done.contains(&index) {
            return Ok(());
        }
        let (place, what) = match found {
            Some(Piece::Slot(_, extent)) => {
                let what = format!("{ordered}, and damage stands in the way: the slot is {}", Bytewise(extent));
                if self.repair {
                    file.blobs.overwrite(
                        &name,
                        extent.start as u64,
                        &bodies::erased_slot(at, takes[at].unwrap_or(0)),
                    )?;
                }
                (Place::Byte(extent.start as u64), what)
            }
            Some(Piece::Gap(places, extent)) if is_left => {
                let others = self.others(file, places, &takes);
                let what = format!(
                    "{ordered}, and damage stands in the way: it is somewhere in {}; --repair overwrites all of that, and \
                     with it what may be left there of the bodies beside the entries {others:?}",
                    Bytewise(extent)
                );
                if self.repair {
                    file.blobs.overwrite(&name, extent.start as u64, &nothing_left(at, extent.len()))?;
                    if !others.is_empty() {
                        let lost = format!(
                            "what may have been left of the bodies beside the entries {others:?} was overwritten \
                             together with one that was to be erased"
                        );
                        report.damage(&name, Place::Byte(extent.start as u64), lost);
                    }
                }
                (Place::Byte(extent.start as u64), what)
            }
            _ => (Place::Entry(index), format!("{ordered}, and nothing of it is in the file")),
        };
        if self.repair {
            self.orders.owed.remove(&index);
            if self.pending.contains(&index) {
                self.orders.done.insert(index);
            }
        }
        report.repairable(&name, place, what, self.repair);
        Ok(())
    }

    /// Entries whose bodies may be in a gap and are not to go.
    fn others(&self, file: &BodiesFile<'_>, places: &Range<usize>, takes: &[Option<u32>]) -> Vec<u64> {
        let index = |at: usize| file.bundle * TILE_WIDTH as u64 + at as u64;
        let is_ordered = |index| {
            let index = LeafIndex::new(index);
            self.orders.owed.contains(&index) || self.pending.contains(&index)
        };
        places.clone().filter(|at| takes[*at].is_some()).map(index).filter(|index| !is_ordered(*index)).collect()
    }

    /// A slot is marked as erased, and not all of it is gone. `end` is where the slots of its file end.
    pub(super) fn unfinished(
        &self,
        report: &mut FsckReport,
        blobs: &dyn Blobs,
        (name, slot, index, end): (&str, &Slot, LeafIndex, u64),
        is_proven: bool,
    ) -> Result<(), StorageError> {
        let place = Place::Byte(slot.start);
        if self.pending.contains(&index) {
            let what = format!("the body beside entry {index} was being erased; opening goes on with that");
            report.note(name, place, what);
            return Ok(());
        }
        let what = format!("the body beside entry {index} was erased, and something is left of it");
        let is_bounded = is_proven && bodies::ends_where_it_says(blobs, name, slot.start, end)?;
        if !is_bounded {
            report.damage(name, place, what);
            return Ok(());
        }
        if self.repair {
            bodies::erase_at(blobs, name, slot.start, end)?;
        }
        report.repairable(name, place, what, self.repair);
        Ok(())
    }

    /// Forgets the orders that a repair has finished, and tells opening of those that it has still to come to.
    pub(super) fn finish(&self, blobs: &dyn Blobs) -> Result<(), StorageError> {
        if self.orders == self.on_disk { Ok(()) } else { owed::write(blobs, &self.orders) }
    }
}

impl BodiesFile<'_> {
    pub(super) fn name(&self) -> String {
        bodies::path(self.bundle)
    }

    fn entry(&self, at: usize) -> Option<&Bytes> {
        self.entries.and_then(|entries| entries.get(at))
    }

    fn body(&self, index: LeafIndex) -> BodyToErase {
        let entry = self.entry(index.get() as usize % TILE_WIDTH);
        BodyToErase { index, len: entry.and_then(|entry| (self.body_len)(entry)) }
    }

    /// The slots, which the manifest relies upon.
    fn read(&self) -> Result<Vec<u8>, StorageError> {
        let mut bytes = self.blobs.read(&self.name())?.unwrap_or_default();
        bytes.truncate(usize::try_from(self.flushed.bodies_end(self.bundle)).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// Lengths of the bodies that may be beside the entries.
    fn takes(&self) -> Vec<Option<u32>> {
        let len = |entry: &Bytes| (self.body_len)(entry).filter(|len| *len > 0 && *len as usize <= MAX_BODY_LEN);
        let mut lens: Vec<_> = self.entries.unwrap_or_default().iter().map(len).collect();
        lens.resize(TILE_WIDTH, None);
        lens
    }

    fn is_of(&self, at: usize, body: &crate::log::tail::SideBody) -> bool {
        let index = LeafIndex::new(self.bundle * TILE_WIDTH as u64 + at as u64);
        self.entry(at).is_some_and(|entry| self.check.body(index, entry, body).is_ok())
    }
}

/// A range of bytes in words.
struct Bytewise<'a>(&'a Range<usize>);

impl std::fmt::Display for Bytewise<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bytes {} to {}", self.0.start, self.0.end)
    }
}

/// What takes the place of a gap: one erased slot of its length, so that those behind it are found; else zeros.
fn nothing_left(at: usize, len: usize) -> Vec<u8> {
    match len.checked_sub(HEAD_LEN) {
        Some(body) if body <= MAX_BODY_LEN => bodies::erased_slot(at, body as u32),
        _ => vec![0; len],
    }
}

fn is_nothing_left(gap: &[u8]) -> bool {
    let at = usize::from(gap.first().copied().unwrap_or(0));
    gap == nothing_left(at, gap.len())
}
