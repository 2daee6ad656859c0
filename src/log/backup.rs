//! Copying a log that may be open and growing, at one manifest.
//!
//! Entries are copied bundle by bundle and the tree is made anew from them: if it does not lead to the root in the
//! manifest nothing is left at the destination. What a running node may do meanwhile disturbs none of it: full tiles and
//! bundles do not change, bodies and rows are written behind what the manifest rests on, and a partial bundle that is
//! removed is the beginning of a full one that is there.
//!
//! The copy has a journal of its own, with a new key, and a manifest that says that it is a copy: opening it for writing
//! takes an operator's word that nothing later exists. Bodies that are erased in the log after it was made have to be
//! erased in it too. Key files are secrets and stay where they are unless they are asked for; views are made by opening.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::bodies::{self, Content, Slot};
use super::directory::{Directory, DirectoryError};
use super::error::OpenError;
use super::flush::Flusher;
use super::fsck::Progress;
use super::manifest::{CHAIN_INDEX, CHECKPOINT, MANIFEST, Manifest};
use super::open::{Storage, read_manifest};
use super::owed::{self, Orders};
use super::reader::parse_bundle;
use super::sequencer::tail_root;
use super::tail::{ROW_LEN, Row, Stored, Tail};
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TILE_WIDTH, TreeSize, leaf_hash};
use crate::storage::{Blobs, FileBlobs, MemoryViews, OsDisk, StorageError};
use crate::tlog::TileKind;

/// How often a copy is begun anew from a newer manifest.
const MAX_ATTEMPTS: usize = 4;
/// Bytes of a body's file that are copied at once.
const PIECE: usize = 1 << 20;
const KEYS: &str = "keys";

/// What was copied.
#[derive(Clone, Copy, Debug)]
pub struct BackupReport {
    /// Entries.
    pub size: TreeSize,
    /// Root of their tree.
    pub root: Hash,
    /// Size of the newest published checkpoint in it; 0 if there is none.
    pub published: TreeSize,
}

/// Why no copy was made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something at the destination.
    Exists(PathBuf),
    /// The source or the destination.
    Directory(DirectoryError),
    /// What is in the source contradicts its manifest.
    Damaged {
        /// What.
        what: String,
    },
    /// The source cannot be read, or the destination not written.
    Open(OpenError),
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(f, "{} exists already: a copy is made in a directory of its own", path.display())
            }
            Self::Directory(error) => error.fmt(f),
            Self::Damaged { what } => {
                write!(f, "{what}; nothing was copied. Stop the node and run `soulchain fsck` on its directory")
            }
            Self::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<DirectoryError> for BackupError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl From<StorageError> for BackupError {
    fn from(error: StorageError) -> Self {
        Self::Open(error.into())
    }
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// Copies the log in directory `from` to a new directory `to`, with its key files if `include_keys`.
pub fn backup(
    from: &Path,
    to: &Path,
    include_keys: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<BackupReport, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let origin = Directory::read_origin(from)?;
    let disk = OsDisk::open(from).map_err(|error| DirectoryError::Io(from.to_owned(), error))?;
    let source = FileBlobs::new(Arc::new(disk));
    let mut manifest = read_manifest(&source)?;
    for attempt in 1.. {
        let fill = |new: &Path| if include_keys { copy_keys(&from.join(KEYS), &new.join(KEYS)) } else { Ok(()) };
        let write = |storage: &Storage| Copy { source: &source, storage, manifest: &manifest }.run(progress);
        match Directory::create_with(to, &origin, fill, write) {
            Ok(()) => break,
            Err(error) => {
                // A node that goes on may have removed what an older manifest names.
                let newest = read_manifest(&source)?;
                if newest == manifest || attempt == MAX_ATTEMPTS {
                    remove_half(to);
                    return Err(error);
                }
                manifest = newest;
            }
        }
    }
    Ok(BackupReport { size: manifest.size, root: manifest.root, published: manifest.published.size })
}

/// Removes what an attempt left; the next one would do so too.
fn remove_half(to: &Path) {
    let mut name = to.as_os_str().to_owned();
    name.push(".new");
    // It may never have been made.
    let _ = fs::remove_dir_all(PathBuf::from(name));
}

fn copy_keys(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let mut file =
                fs::File::options().create_new(true).write(true).mode(0o600).open(to.join(entry.file_name()))?;
            file.write_all(&fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// One attempt.
struct Copy<'a> {
    source: &'a dyn Blobs,
    storage: &'a Storage,
    manifest: &'a Manifest,
}

impl Copy<'_> {
    fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), BackupError> {
        let blobs = &self.storage.blobs;
        let flusher = Flusher::new(Arc::clone(blobs), Arc::new(MemoryViews::default()), self.manifest.clone());
        let size = self.manifest.size.get();
        let owed = owed::read(self.source)?.owed;
        let mut tail = Tail::default();
        for from in (0..size).step_by(TILE_WIDTH) {
            let to = size.min(from + TILE_WIDTH as u64);
            for stored in self.bundle(from, to)? {
                let leaf = leaf_hash(&stored.entry);
                tail.push(stored, leaf);
            }
            self.copy_bodies(from / TILE_WIDTH as u64)?;
            flusher.write_bundles(&tail, from, to)?;
            flusher.write_tiles(&tail, from, to)?;
            flusher.write_rows(&tail, from, to)?;
            if to == size {
                // Before what is full is let go: the edges are cut from it.
                flusher.write_edge(&tail, self.manifest.published.size.get().min(size))?;
                flusher.write_edge(&tail, size)?;
            }
            tail.drop_below(TreeSize::new(to));
            progress(Progress { entries: TreeSize::new(to), of: self.manifest.size });
        }
        if tail_root(&tail) != self.manifest.root {
            return Err(damaged("the entries do not lead to the root in the manifest".into()));
        }
        self.copy_owed(owed)?;
        let note = &self.manifest.published.note;
        if !note.is_empty() {
            blobs.commit(CHECKPOINT, note)?;
        }
        let mark = self.storage.journal.create()?;
        blobs.barrier()?;
        let manifest = Manifest { is_copy: true, mark, ..self.manifest.clone() };
        Ok(blobs.commit(MANIFEST, &manifest.encode())?)
    }

    /// The orders to erase a body that wait for a repair: bodies that are in the copy are owed in it too. One that was
    /// carried out meanwhile may still be in it.
    fn copy_owed(&self, mut owed: BTreeSet<LeafIndex>) -> Result<(), StorageError> {
        owed.extend(owed::read(self.source)?.owed);
        owed.retain(|index| *index < self.manifest.size.next_index());
        let orders = Orders { owed, ..Orders::default() };
        if orders.owed.is_empty() { Ok(()) } else { owed::write(&*self.storage.blobs, &orders) }
    }

    /// The entries of a bundle up to an index, with their rows.
    fn bundle(&self, from: u64, to: u64) -> Result<Vec<Stored>, BackupError> {
        let (index, width) = (from / TILE_WIDTH as u64, (to - from) as usize);
        let name = TileKind::Entries.path(index, width);
        let entries = match self.source.read(&name)? {
            Some(bytes) => parse_bundle(&bytes.into(), width),
            // It may have grown full since the manifest was read.
            None => match self.source.read(&TileKind::Entries.path(index, TILE_WIDTH))? {
                Some(bytes) => first_entries(&bytes.into(), width),
                None => return Err(StorageError::Missing { name }.into()),
            },
        };
        let entries = entries.ok_or_else(|| damaged(format!("{name} is no bundle of {width} entries")))?;
        let rows = self.source.read_at(CHAIN_INDEX, from * ROW_LEN, width * ROW_LEN as usize)?.unwrap_or_default();
        let (rows, _): (&[Row], _) = rows.as_chunks();
        if rows.len() != width {
            return Err(damaged(format!("{CHAIN_INDEX} is shorter than the log")));
        }
        let stored = |(entry, row): (Bytes, &Row)| Stored { entry, body: None, row: *row };
        Ok(entries.into_iter().zip(rows).map(stored).collect())
    }

    /// Copies what is kept beside the entries of a bundle.
    fn copy_bodies(&self, bundle: u64) -> Result<(), StorageError> {
        let name = bodies::path(bundle);
        let is_partial = bundle == self.manifest.size.get() / TILE_WIDTH as u64;
        let end = if is_partial { self.manifest.bodies_len } else { self.source.len(&name)?.unwrap_or(0) };
        let mut offset = 0;
        while offset < end {
            let len = PIECE.min((end - offset) as usize);
            let piece = self.source.read_at(&name, offset, len)?.unwrap_or_default();
            if piece.len() != len {
                return Err(StorageError::Damaged { name, offset, what: "it is shorter than the manifest says" });
            }
            self.storage.blobs.extend(&name, offset, &piece)?;
            offset += len as u64;
        }
        // What was erased while it was copied may be there in part, or whole. What is erased from here on is what the
        // operator repeats.
        for offset in bodies::erased_slots(self.source, &name, end)? {
            let copied = bodies::slot_at(&*self.storage.blobs, &name, offset, end)?;
            let is_gone = |slot: &Slot| matches!(slot.content, Content::Erased { is_blank: true, .. });
            if !copied.as_ref().is_some_and(is_gone) {
                bodies::erase_at(&*self.storage.blobs, &name, offset, end)?;
            }
        }
        Ok(())
    }
}

/// The first entries of a full bundle.
fn first_entries(bytes: &Bytes, width: usize) -> Option<Vec<Bytes>> {
    let mut entries = parse_bundle(bytes, TILE_WIDTH)?;
    entries.truncate(width);
    Some(entries)
}

fn damaged(what: String) -> BackupError {
    BackupError::Damaged { what }
}
