//! Flushing: from memory to the public files, off the write path.
//!
//! Order, and what a crash leaves behind:
//!
//! 0. erased bodies that an earlier flush wrote are overwritten: the journal says that they are to go; of those whose
//!    file is damaged the order is kept in a file of its own (`owed`);
//! 1. bodies, bundles, tiles, chain index: nothing rests on them yet, the journal still holds everything;
//! 2. barrier: they are durable;
//! 3. manifest: from here on it and not the journal counts up to its size;
//! 4. `checkpoint`, for static hosting: rewritten from the manifest at every opening;
//! 5. views with their watermark: may lag, never lead;
//! 6. then the sequencer drops old segments and lets go of the memory.
//!
//! After a crash before 3 the whole flush is redone: what was written after the manifest is not trusted.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::bodies;
use super::erasure::BodyToErase;
use super::manifest::{CHAIN_INDEX, CHECKPOINT, MANIFEST, Manifest, PublishedNote};
use super::owed::{self, Orders, OwedErasure, OwedErasures};
use super::tail::{ROW_LEN, Stored, Tail};
use crate::encoding::Writer;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TILE_WIDTH, TreeSize};
use crate::storage::{Blobs, Mark, StorageError, ViewBatch, Views};
use crate::tlog::{BundleWriter, TileKind, encode_hashes};

/// Everything up to one frame boundary.
pub(crate) struct FlushJob {
    pub(crate) tail: Tail,
    pub(crate) root: Hash,
    pub(crate) mark: Mark,
    pub(crate) published: PublishedNote,
    pub(crate) changes: ViewBatch,
    /// Erasures that no flush has finished.
    pub(crate) erasures: Vec<BodyToErase>,
}

/// How far the public files go: what the manifest says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flushed {
    pub(crate) size: TreeSize,
    /// Of the bodies of the partial bundle.
    pub(crate) bodies_len: u64,
}

impl Flushed {
    /// Where the bodies of a bundle end, as far as they may be relied upon. A full file ends where it ends.
    pub(crate) fn bodies_end(&self, bundle: u64) -> u64 {
        if bundle == self.size.get() / TILE_WIDTH as u64 { self.bodies_len } else { u64::MAX }
    }
}

/// Admission stops below this much free space and twice the unflushed bytes.
const LEAST_FREE: u64 = 512 << 20;

pub(crate) struct Flusher {
    blobs: Arc<dyn Blobs>,
    views: Arc<dyn Views>,
    manifest: Manifest,
    /// Sizes whose partial bundle and tiles this flusher has made durable. What an earlier process wrote is no matter:
    /// of a sync that failed it may be in the page cache only.
    kept_edges: [Option<TreeSize>; 2],
    /// Erasures that damage stands in the way of.
    owed: OwedErasures,
    /// What their file holds. Of what is done in it only an opening knows, until its manifest is durable.
    orders: Orders,
}

impl Flusher {
    pub(crate) fn new(blobs: Arc<dyn Blobs>, views: Arc<dyn Views>, manifest: Manifest) -> Self {
        Self { blobs, views, manifest, kept_edges: [None; 2], owed: OwedErasures::new(), orders: Orders::default() }
    }

    /// The same where these erasures are owed, and where those are in the file that holds them.
    pub(crate) fn with_owed(self, owed: OwedErasures, orders: Orders) -> Self {
        Self { owed, orders, ..self }
    }

    /// Erasures that damage stands in the way of.
    pub(crate) fn owed(&self) -> &OwedErasures {
        &self.owed
    }

    /// How far it has come.
    pub(crate) fn flushed(&self) -> Flushed {
        Flushed { size: self.manifest.size, bodies_len: self.manifest.bodies_len }
    }

    pub(crate) fn flush(&mut self, job: &FlushJob) -> Result<(), StorageError> {
        let (from, to) = (self.manifest.size.get(), job.tail.size().get());
        self.erase_bodies(&job.erasures)?;
        let bodies_len = self.write_bodies(&job.tail, from, to)?;
        self.write_bundles(&job.tail, from, to)?;
        self.write_tiles(&job.tail, from, to)?;
        self.write_rows(&job.tail, from, to)?;
        let edges = [job.published.size, job.tail.size()];
        for size in edges {
            if !self.kept_edges.contains(&Some(size)) {
                self.write_edge(&job.tail, size.get())?;
            }
        }
        self.blobs.barrier()?;
        let manifest = Manifest {
            is_copy: false,
            size: job.tail.size(),
            root: job.root,
            bodies_len,
            mark: job.mark,
            published: job.published.clone(),
        };
        self.blobs.commit(MANIFEST, &manifest.encode())?;
        self.manifest = manifest;
        self.kept_edges = edges.map(Some);
        if !self.orders.done.is_empty() {
            // Nobody follows their frames any more.
            self.write_orders(BTreeSet::new())?;
        }
        if !job.published.note.is_empty() {
            self.blobs.commit(CHECKPOINT, &job.published.note)?;
        }
        self.views.write(&job.changes)?;
        self.remove_partials(from, to)
    }

    /// Whether admission must stop until there is more room.
    pub(crate) fn is_low_on_space(&self, unflushed_bytes: usize) -> bool {
        self.blobs.free().is_ok_and(|free| free < LEAST_FREE + 2 * unflushed_bytes as u64)
    }

    /// Erases those bodies that are to go and are flushed. The others are written as erased. One that is not found where
    /// it has to be is owed; the rest goes on.
    fn erase_bodies(&mut self, erasures: &[BodyToErase]) -> Result<(), StorageError> {
        let flushed = self.flushed();
        for body in erasures.iter().filter(|body| body.index < flushed.size.next_index()) {
            match bodies::erase(&*self.blobs, body, flushed) {
                Ok(()) => drop(self.owed.remove(&body.index)),
                // A repair has overwritten the slot, which damage beside it still hides.
                Err(StorageError::Damaged { .. } | StorageError::Missing { .. })
                    if self.orders.done.contains(&body.index) => {}
                Err(error) => {
                    let owed = OwedErasure::of(body.index, error)?;
                    tracing::error!(
                        entry = body.index.get(),
                        file = owed.name,
                        byte = owed.offset,
                        what = owed.what,
                        "an ordered erasure is not carried out: the file of the body is damaged; the order is kept, \
                         `soulchain fsck --repair` finishes it"
                    );
                    self.owed.insert(body.index, owed);
                }
            }
        }
        if self.owed.keys().eq(&self.orders.owed) { Ok(()) } else { self.write_orders(self.orders.done.clone()) }
    }

    /// Makes the file hold what is owed, and these as done.
    fn write_orders(&mut self, done: BTreeSet<LeafIndex>) -> Result<(), StorageError> {
        let orders = Orders { owed: self.owed.keys().copied().collect(), done };
        owed::write(&*self.blobs, &orders)?;
        self.orders = orders;
        Ok(())
    }

    /// Appends the bodies of [from, to), and gives the length of the last file.
    fn write_bodies(&self, tail: &Tail, from: u64, to: u64) -> Result<u64, StorageError> {
        let mut len = self.manifest.bodies_len;
        for index in bundles_touched(from, to) {
            let entries = bundle_of(tail, index)?;
            let start = from.saturating_sub(index * TILE_WIDTH as u64) as usize;
            let mut slots = Writer::default();
            for (at, stored) in entries.iter().enumerate().skip(start) {
                let Some(held) = &stored.body else { continue };
                match held.body() {
                    Some(body) => slots.raw(&bodies::slot(at, &body)),
                    None => slots.raw(&bodies::erased_slot(at, held.len())),
                };
            }
            let slots = slots.into_bytes();
            let offset = if index == from / TILE_WIDTH as u64 { self.manifest.bodies_len } else { 0 };
            if !slots.is_empty() || offset > 0 {
                self.blobs.extend(&bodies::path(index), offset, &slots)?;
            }
            len = offset + slots.len() as u64;
        }
        Ok(if to.is_multiple_of(TILE_WIDTH as u64) { 0 } else { len })
    }

    pub(crate) fn write_bundles(&self, tail: &Tail, from: u64, to: u64) -> Result<(), StorageError> {
        for index in from / TILE_WIDTH as u64..to / TILE_WIDTH as u64 {
            let bytes = bundle_bytes(entries_of(bundle_of(tail, index)?));
            self.blobs.put(&TileKind::Entries.path(index, TILE_WIDTH), &bytes)?;
        }
        Ok(())
    }

    pub(crate) fn write_tiles(&self, tail: &Tail, from: u64, to: u64) -> Result<(), StorageError> {
        for level in 0..tail.levels() as u8 {
            let kind = TileKind::Hashes(level);
            for index in tiles_completed(kind, from, to) {
                let tile = tail.tile(level, index).ok_or_else(|| lost(kind, index))?;
                self.blobs.put(&kind.path(index, TILE_WIDTH), &encode_hashes(tile.hashes()))?;
            }
        }
        Ok(())
    }

    pub(crate) fn write_rows(&self, tail: &Tail, from: u64, to: u64) -> Result<(), StorageError> {
        let mut rows = Writer::with_capacity(((to - from) * ROW_LEN) as usize);
        for index in from..to {
            let entries = bundle_of(tail, index / TILE_WIDTH as u64)?;
            rows.raw(&entries[index as usize % TILE_WIDTH].row);
        }
        self.blobs.extend(CHAIN_INDEX, from * ROW_LEN, &rows.into_bytes())
    }

    /// Writes the partial bundle and tiles of one size. Of an older size those that are full by now are left out:
    /// readers take the full one.
    pub(crate) fn write_edge(&self, tail: &Tail, size: u64) -> Result<(), StorageError> {
        let to = tail.size().get();
        let (index, width) = (size / TILE_WIDTH as u64, size as usize % TILE_WIDTH);
        if width > 0 && index == to / TILE_WIDTH as u64 {
            let bytes = bundle_bytes(entries_of(&bundle_of(tail, index)?[..width]));
            self.blobs.put(&TileKind::Entries.path(index, width), &bytes)?;
        }
        for level in 0..tail.levels() as u8 {
            let kind = TileKind::Hashes(level);
            let at_level = kind.count(TreeSize::new(size));
            let (index, width) = (at_level / TILE_WIDTH as u64, at_level as usize % TILE_WIDTH);
            let is_edge = index == tiles_completed(kind, 0, to).end;
            if width > 0 && is_edge {
                let tile = tail.tile(level, index).ok_or_else(|| lost(kind, index))?;
                self.blobs.put(&kind.path(index, width), &encode_hashes(&tile.hashes()[..width]))?;
            }
        }
        Ok(())
    }

    /// Partial tiles may go once the full one is there (tlog-tiles, "Partial Tiles").
    fn remove_partials(&self, from: u64, to: u64) -> Result<(), StorageError> {
        for kind in [TileKind::Entries].into_iter().chain((0..8).map(TileKind::Hashes)) {
            for index in tiles_completed(kind, from, to) {
                self.blobs.remove_folder(&kind.partials_path(index))?;
            }
        }
        Ok(())
    }
}

/// The bytes of an entry bundle.
pub(crate) fn bundle_bytes<'a>(entries: impl Iterator<Item = &'a Bytes> + Clone) -> Vec<u8> {
    let mut bundle = BundleWriter::with_capacity(entries.clone().map(|entry| 2 + entry.len()).sum());
    for entry in entries {
        bundle.push(entry).expect("a log has entries of 1 to 65,535 bytes, and bundles of at most 256");
    }
    bundle.into_bytes()
}

fn entries_of(bundle: &[Stored]) -> impl Iterator<Item = &Bytes> + Clone {
    bundle.iter().map(|stored| &stored.entry)
}

fn bundles_touched(from: u64, to: u64) -> std::ops::Range<u64> {
    from / TILE_WIDTH as u64..to.div_ceil(TILE_WIDTH as u64)
}

fn tiles_completed(kind: TileKind, from: u64, to: u64) -> std::ops::Range<u64> {
    let whole = |size| kind.count(TreeSize::new(size)) / TILE_WIDTH as u64;
    whole(from)..whole(to)
}

fn bundle_of(tail: &Tail, index: u64) -> Result<&[Stored], StorageError> {
    // At a size that ends a bundle the next one is asked for, and is empty.
    tail.bundle(index).map(|entries| &entries[..]).ok_or_else(|| lost(TileKind::Entries, index))
}

fn lost(kind: TileKind, index: u64) -> StorageError {
    StorageError::Missing { name: format!("{} in memory", kind.path(index, TILE_WIDTH)) }
}
