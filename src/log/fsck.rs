//! Checking a data directory that nobody has open: everything that the log claims, from the manifest down to each byte.
//!
//! All findings are reported, not the first alone. With `repair`, what can be proven is written again (tiles from what
//! lies below them where that leads to the root in the manifest, chain.idx and views from the entries, `checkpoint` from
//! the manifest) beside its name, synced and renamed; what is left of a body that is marked as erased, or that is to be
//! erased while damage stands in the way, is overwritten; nothing else is touched, and no body is ever written. Without it nothing is written to the directory: of an older layout
//! the rows are made in a temporary file elsewhere. Of the log no more than a bundle is in
//! memory at once, beside the machine's state.
//!
//! What it does not ask: whether the directory is the newest copy of the log, which only witnesses know, and whether the
//! signatures in entries verify, which is an audit's work.

mod erasures;
mod nodes;
mod replay;
mod report;
mod slots;
mod tree;

pub use report::{Finding, FsckReport, MAX_FINDINGS, Place, Severity};

use std::sync::Arc;

use bytes::Bytes;

use self::erasures::Erasures;
use self::nodes::Nodes;
use self::replay::{NoPast, Replay, Rows, ViewsCheck};
use self::tree::{Edge, TreeCheck};
use super::erasure;
use super::error::OpenError;
use super::flush::bundle_bytes;
use super::machine::Machine;
use super::manifest::{CHECKPOINT, MANIFEST, Manifest, PublishedNote};
use super::opaque::Opaque;
use super::open::apply_frames;
use super::tail::{SideBody, Stored, Tail};
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TILE_WIDTH, TreeSize};
use crate::storage::{Blobs, Disk, FileBlobs, FrameKind, Journal, Scan, StorageError, Views};
use crate::tlog::{TileKind, encode_hashes};

/// The folder of the journal, for findings.
const JOURNAL: &str = "journal";

/// What entries mean to their machine, beside its rules.
pub trait EntryCheck {
    /// Whether [`body`](Self::body) tells the body of an entry from all others. Where it does not, nothing proves which
    /// bytes of a damaged file are whose, and a repair overwrites none of them.
    fn proves_bodies(&self) -> bool;

    /// Whether a body belongs to the entry that it is kept beside; a reason if not.
    fn body(&self, index: LeafIndex, entry: &[u8], body: &SideBody) -> Result<(), String>;

    /// Whether a body of this length may have been kept beside the entry, before it was erased; a reason if not.
    fn erased_body(&self, index: LeafIndex, entry: &[u8], len: u32) -> Result<(), String>;

    /// Reads a published checkpoint of this log, and checks its signature. `None` from who cannot tell.
    fn checkpoint(&self, note: &[u8]) -> Result<Option<(TreeSize, Hash)>, String>;
}

/// The check of a machine to which bodies and checkpoints mean nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheck;

impl EntryCheck for NoCheck {
    fn proves_bodies(&self) -> bool {
        false
    }

    fn body(&self, _: LeafIndex, _: &[u8], _: &SideBody) -> Result<(), String> {
        Ok(())
    }

    fn erased_body(&self, _: LeafIndex, _: &[u8], _: u32) -> Result<(), String> {
        Ok(())
    }

    fn checkpoint(&self, _: &[u8]) -> Result<Option<(TreeSize, Hash)>, String> {
        Ok(None)
    }
}

/// What is checked.
pub struct Subject<'a> {
    /// The files of the directory, which the caller holds the lock of.
    pub disk: Arc<dyn Disk>,
    /// Its journal.
    pub journal: &'a dyn Journal,
    /// Its views; without them the rest is checked.
    pub views: Option<&'a dyn Views>,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries that were checked.
    pub entries: TreeSize,
    /// Entries that there are.
    pub of: TreeSize,
}

/// Checks a log; with `repair` also mends what can be proven. An error is one of writing: what cannot be read is a
/// finding.
pub fn fsck<M: Machine>(
    machine: M,
    check: &dyn EntryCheck,
    subject: &Subject<'_>,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<FsckReport, StorageError> {
    let mut report = FsckReport::default();
    let blobs = FileBlobs::new(Arc::clone(&subject.disk));
    let Some((manifest, is_older)) = read_manifest(&blobs, &mut report) else { return Ok(report) };
    report.flushed = Some((manifest.size, manifest.root));
    report.size = manifest.size;
    let scan = subject.journal.scan(&manifest.mark).map_err(|error| report.storage(JOURNAL, error)).ok();
    let mut published = vec![manifest.published.clone()];
    published.extend(scan.iter().flat_map(published_in));
    let mut nodes = Nodes::of(&published);

    let rows = Rows::new(&*subject.disk, repair, is_older)?;
    let views = ViewsCheck::new(subject.views, repair, manifest.size.get());
    let pending = scan.iter().flat_map(erasure::ordered_in).collect();
    let erasures = Erasures::new(&mut report, &blobs, pending, manifest.size.get(), repair);
    let mut replay = Replay::new(machine, check, &blobs, &manifest, (rows, views, erasures), progress);
    let mut on_bundle =
        |report: &mut FsckReport, index, entries: Option<&[Bytes]>| replay.bundle(report, index, entries);
    let mut tree =
        TreeCheck { blobs: &blobs, repair, report: &mut report, nodes: &mut nodes, on_bundle: &mut on_bundle };
    let edge = tree.run(&manifest)?;
    replay.finish(&mut report)?;

    let mut check = Rest { blobs: &blobs, manifest: &manifest, check, repair, report: &mut report };
    if edge.proven {
        check.partials(&edge)?;
    }
    let tail = check.journal(&mut replay, &edge, scan.as_ref());
    check.published(&published, &nodes, tail.as_ref());
    check.checkpoint_file()?;
    if is_older {
        let renewed = repair && replay.has_right_rows();
        if renewed {
            blobs.commit(MANIFEST, &manifest.encode())?;
        }
        let what = "it is of an older version, whose chain.idx has shorter rows";
        if replay.is_whole() {
            report.repairable(MANIFEST, Place::Whole, what, renewed);
        } else {
            report.damage(MANIFEST, Place::Whole, what);
        }
    }
    Ok(report)
}

/// The manifest, and whether it is of the older layout.
fn read_manifest(blobs: &dyn Blobs, report: &mut FsckReport) -> Option<(Manifest, bool)> {
    match blobs.read(MANIFEST) {
        Ok(Some(bytes)) => match (Manifest::decode(&bytes), Manifest::decode_older(&bytes)) {
            (Some(manifest), _) => return Some((manifest, false)),
            (None, Some(manifest)) => return Some((manifest, true)),
            (None, None) => report.damage(
                MANIFEST,
                Place::Whole,
                "it does not match its checksum; nothing can be checked without it",
            ),
        },
        Ok(None) => report.damage(MANIFEST, Place::Whole, "it is missing; nothing can be checked without it"),
        Err(error) => report.storage(MANIFEST, error),
    }
    None
}

fn published_in(scan: &Scan) -> impl Iterator<Item = PublishedNote> {
    let frames = scan.frames.iter().filter(|frame| frame.kind == FrameKind::Published);
    frames.filter_map(|frame| PublishedNote::decode(&frame.payload))
}

/// What is checked once the tree is known.
struct Rest<'a> {
    blobs: &'a dyn Blobs,
    manifest: &'a Manifest,
    check: &'a dyn EntryCheck,
    repair: bool,
    report: &'a mut FsckReport,
}

impl Rest<'_> {
    /// The partial tiles and bundles: of the manifest's size (the tree has proven those hashes), of the published one,
    /// and those of earlier flushes that are still there.
    fn partials(&mut self, edge: &Edge) -> Result<(), StorageError> {
        for (level, hashes) in (0..).zip(&edge.tiles) {
            self.partial(TileKind::Hashes(level), hashes.len(), &|width| encode_hashes(&hashes[..width]))?;
        }
        if let Some(entries) = &edge.entries {
            self.partial(TileKind::Entries, entries.len(), &|width| bundle_bytes(entries[..width].iter()))?;
        }
        Ok(())
    }

    fn partial(
        &mut self,
        kind: TileKind,
        edge_width: usize,
        bytes: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<(), StorageError> {
        let place = |size: TreeSize| {
            let hashes = kind.count(size);
            (hashes / TILE_WIDTH as u64, hashes as usize % TILE_WIDTH)
        };
        let (index, _) = place(self.manifest.size);
        let published = Some(place(self.manifest.published.size)).filter(|at| at.0 == index && at.1 > 0);
        let mut widths: Vec<usize> = self
            .blobs
            .list(&kind.partials_path(index))
            .unwrap_or_default()
            .iter()
            .filter_map(|name| name.parse().ok())
            .chain(published.map(|(_, width)| width))
            // That of the manifest itself was proven with the tree.
            .filter(|width| (1..edge_width).contains(width))
            .collect();
        widths.sort_unstable();
        widths.dedup();
        for width in widths {
            let (name, bytes) = (kind.path(index, width), bytes(width));
            if self.blobs.read(&name).ok().flatten().as_ref() != Some(&bytes) {
                if self.repair {
                    self.blobs.commit(&name, &bytes)?;
                }
                let what = "it is missing, or not the beginning of the newest one, which is proven";
                self.report.repairable(&name, Place::Whole, what, self.repair);
            }
        }
        Ok(())
    }

    /// The frames after the mark: that each goes on where the one before ended. Gives the tree that they lead to.
    fn journal<M: Machine>(&mut self, replay: &mut Replay<'_, M>, edge: &Edge, scan: Option<&Scan>) -> Option<Tail> {
        let scan = scan?;
        if scan.torn {
            let what =
                "a frame that was being written when the machine stopped; nobody was told of it, opening drops it";
            self.report.note(JOURNAL, Place::Whole, what);
        }
        let Some(mut tail) = self.tail(edge, replay) else {
            self.report.note(
                JOURNAL,
                Place::Whole,
                "its frames are not followed: the tree that they go on from is damaged",
            );
            return None;
        };
        let mut published = PublishedNote::default();
        // Without the machine's state the frames can still be followed as a tree.
        let followed = if replay.is_whole() {
            let (machine, flushed) = replay.machine_and_past();
            apply_frames(machine, &mut tail, &flushed, scan, &mut published)
        } else {
            apply_frames(&mut Opaque, &mut tail, &NoPast, scan, &mut published)
        };
        match followed {
            Ok(_) => {
                self.report.size = tail.size();
                if replay.is_whole() {
                    self.machine(replay, &tail);
                }
                return Some(tail);
            }
            Err(OpenError::Replay { index, what }) => {
                let what = format!("the entry breaks the rules of this log: {what}");
                self.report.damage(JOURNAL, Place::Entry(index), what);
            }
            Err(error) => self.report.damage(JOURNAL, Place::Whole, reason(error)),
        }
        None
    }

    /// The state that all entries lead to against the last of them.
    fn machine<M: Machine>(&mut self, replay: &Replay<'_, M>, tail: &Tail) {
        let last = tail.size().get().checked_sub(1).and_then(|index| tail.entry(LeafIndex::new(index)));
        let last = last.map(|stored| &stored.entry).or(replay.last.as_ref());
        if let Err(what) = replay.machine.check(last.map(|entry| &entry[..])) {
            self.report.damage("tile/entries", Place::Whole, what);
        }
    }

    /// The tree of the manifest's size, ready to go on.
    fn tail<M: Machine>(&self, edge: &Edge, replay: &Replay<'_, M>) -> Option<Tail> {
        let width = self.manifest.size.get() as usize % TILE_WIDTH;
        if !edge.proven || (width > 0 && edge.entries.is_none()) {
            return None;
        }
        let mut rows = replay.edge_rows.iter().copied();
        let stored = |entry: &Bytes| Stored { entry: entry.clone(), body: None, row: rows.next().unwrap_or_default() };
        let entries = edge.entries.iter().flatten().map(stored).collect();
        Some(Tail::from_edge(self.manifest.size, &edge.tiles, entries))
    }

    /// That every published checkpoint is one of this log.
    fn published(&mut self, published: &[PublishedNote], nodes: &Nodes, tail: Option<&Tail>) {
        for (at, note) in published.iter().enumerate().filter(|(_, note)| !note.note.is_empty()) {
            let name = if at == 0 { MANIFEST } else { JOURNAL };
            let what = match self.check.checkpoint(&note.note) {
                Err(what) => Some(format!("the published checkpoint of size {}: {what}", note.size)),
                Ok(Some(said)) if said != (note.size, note.root) => {
                    Some(format!("the published checkpoint of size {} says another size or root", note.size))
                }
                Ok(_) => None,
            };
            if let Some(what) = what {
                self.report.damage(name, Place::Whole, what);
            }
            let Some(tail) = tail else { continue };
            if note.size > tail.size() {
                let what = format!(
                    "a checkpoint of size {} was published, and the log here has {} entries: this is an older copy",
                    note.size,
                    tail.size()
                );
                self.report.damage(name, Place::Whole, what);
                continue;
            }
            match nodes.root(note.size, tail) {
                Some(root) if root == note.root => {}
                Some(_) => {
                    let what = format!("the published checkpoint of size {} is not one of this tree", note.size);
                    self.report.damage(name, Place::Whole, what);
                }
                None => {
                    let what =
                        format!("the published checkpoint of size {} is not checked: tiles are damaged", note.size);
                    self.report.note(name, Place::Whole, what);
                }
            }
        }
    }

    /// The file for static hosting.
    fn checkpoint_file(&mut self) -> Result<(), StorageError> {
        let (note, size) = (&self.manifest.published.note, self.manifest.published.size);
        let found = match self.blobs.read(CHECKPOINT) {
            Ok(found) => found,
            Err(error) => {
                self.report.storage(CHECKPOINT, error);
                return Ok(());
            }
        };
        if found.as_deref().unwrap_or_default() == note {
            return Ok(());
        }
        if self.repair && !note.is_empty() {
            self.blobs.commit(CHECKPOINT, note)?;
        }
        let older = found.and_then(|found| self.check.checkpoint(&found).ok()?).is_some_and(|(said, _)| said < size);
        if older {
            let what = "it is older than the one in the manifest, as a crash leaves it; opening writes it anew";
            self.report.note(CHECKPOINT, Place::Whole, what);
        } else if note.is_empty() {
            self.report.damage(CHECKPOINT, Place::Whole, "it is there, and nothing was published");
        } else {
            self.report.repairable(CHECKPOINT, Place::Whole, "it is not the one in the manifest", self.repair);
        }
        Ok(())
    }
}

/// What is wrong, without what to do about an opening.
fn reason(error: OpenError) -> String {
    match error {
        OpenError::Inconsistent { what } => what,
        error => error.to_string(),
    }
}
