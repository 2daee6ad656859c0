//! What convicts a log, kept where the state is: two checkpoints of one size with its signatures, or one of an empty tree
//! that has another root.
//!
//! ```text
//! evidence/<origin hash>-<id>.evidence    for `soulchain verify --evidence`: a fork (docs/formats.md §10)
//! evidence/<origin hash>-<id>.txt         notes as they were sent, where that format has no place for them
//! ```
//!
//! Each contradiction is written once. They are bounded in number and bytes: of a log that signs ever new roots the first
//! few say it all. Nothing of the state rests on these files; who has published them may take them away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Record;
use super::request::Offered;
use crate::encoding::hex_encode;
use crate::hash::{Hash, sha256};
use crate::merkle::{EMPTY_ROOT, TreeSize};
use crate::storage::{Blobs as _, Disk, FileBlobs, StorageError};
use crate::tlog::{NoteVerifier, Origin, SignedCheckpoint};
use crate::verify::{Evidence, Fork, OneSigned};

const FOLDER: &str = "evidence";
/// Most files of one log.
const MAX_FILES_OF_A_LOG: usize = 8;
/// Most files.
const MAX_FILES: usize = 4_096;
/// Most bytes of all files.
const MAX_LEN: u64 = 64 << 20;
/// Longest file.
const MAX_FILE_LEN: usize = 256 << 10;

/// Two roots of one size, both signed by the log.
pub(super) struct Exhibit {
    origin: Origin,
    size: TreeSize,
    /// Of the file, without what is behind the dot.
    name: String,
    kind: &'static str,
    bytes: Vec<u8>,
}

/// The files that are there.
pub(super) struct Shelf {
    blobs: FileBlobs,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// By the hash of the origin, as in the name.
    names: BTreeMap<String, BTreeSet<String>>,
    count: usize,
    len: u64,
}

impl Shelf {
    pub(super) fn open(disk: &Arc<dyn Disk>) -> Result<Self, StorageError> {
        let blobs = FileBlobs::new(Arc::clone(disk));
        let mut held = Held::default();
        for file in blobs.list(FOLDER)? {
            if let Some(name) = file.strip_suffix(".evidence").or_else(|| file.strip_suffix(".txt")) {
                held.add(name, blobs.len(&format!("{FOLDER}/{file}"))?.unwrap_or_default());
            }
        }
        Ok(Self { blobs, held: Mutex::new(held) })
    }

    /// What a checkpoint with a valid signature of its log shows beside the newest that was cosigned; `None` where that
    /// is nothing, is kept, or finds no room.
    pub(super) fn exhibit(
        &self,
        newest: Option<&Record>,
        origin: &Origin,
        offered: &Offered,
        keys: &[NoteVerifier],
    ) -> Option<Exhibit> {
        let of_one_size = newest.filter(|newest| newest.size == offered.size && newest.root != offered.root);
        let is_wrong_empty = offered.size == TreeSize::ZERO && offered.root != EMPTY_ROOT;
        let root = of_one_size.map_or(EMPTY_ROOT, |newest| newest.root);
        let name =
            (of_one_size.is_some() || is_wrong_empty).then(|| name(origin, offered.size, [&root, &offered.root]))?;
        if !self.held().has_room(&name, 0) {
            return None;
        }
        let (kind, bytes) = match of_one_size.and_then(|newest| fork(newest, offered, keys)) {
            Some(fork) => ("evidence", fork),
            None => ("txt", notes(of_one_size, offered)),
        };
        let exhibit = Exhibit { origin: origin.clone(), size: offered.size, name, kind, bytes };
        (exhibit.bytes.len() <= MAX_FILE_LEN).then_some(exhibit)
    }

    /// Writes an exhibit, if it is not there yet. The answer does not depend on it.
    pub(super) fn keep(&self, exhibit: &Exhibit) {
        let Exhibit { origin, size, name, kind, bytes } = exhibit;
        let mut held = self.held();
        if !held.has_room(name, bytes.len() as u64) {
            return;
        }
        let file = format!("{FOLDER}/{name}.{kind}");
        match self.blobs.commit(&file, bytes).and_then(|()| self.blobs.barrier()) {
            Ok(()) => {
                held.add(name, bytes.len() as u64);
                tracing::warn!(%origin, %size, file, "a log has signed two trees of one size: this file convicts it");
            }
            Err(error) => {
                tracing::error!(%origin, %size, file, %error, "a log has signed two trees of one size, and what shows it cannot be kept");
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn has_room(&self, name: &str, len: u64) -> bool {
        let of_log = self.names.get(log_of(name));
        let is_new = of_log.is_none_or(|names| names.len() < MAX_FILES_OF_A_LOG && !names.contains(name));
        is_new && self.count < MAX_FILES && self.len + len <= MAX_LEN
    }

    fn add(&mut self, name: &str, len: u64) {
        self.names.entry(log_of(name).to_owned()).or_default().insert(name.to_owned());
        self.count += 1;
        self.len += len;
    }
}

fn log_of(name: &str) -> &str {
    name.split_once('-').map_or(name, |(log, _)| log)
}

/// One contradiction has one name, whichever of the two was cosigned.
fn name(origin: &Origin, size: TreeSize, mut roots: [&Hash; 2]) -> String {
    roots.sort_unstable_by_key(|root| *root.as_bytes());
    let id = sha256(&[&size.get().to_be_bytes(), roots[0].as_bytes(), roots[1].as_bytes()]);
    format!("{}-{}", origin.hash_hex(), hex_encode(&id[..8]))
}

fn fork(newest: &Record, offered: &Offered, keys: &[NoteVerifier]) -> Option<Vec<u8>> {
    let signed = |note: &str| OneSigned::of(&SignedCheckpoint::parse(note.as_bytes()).ok()?, keys);
    let (old, new) = (signed(&newest.note)?, signed(offered.note())?);
    let fork = Fork { old, new, prefix_root: offered.root, path: Vec::new(), named: None };
    Some(Evidence::Fork(Box::new(fork)).to_string().into_bytes())
}

fn notes(newest: Option<&Record>, offered: &Offered) -> Vec<u8> {
    let cosigned = newest.map_or(String::new(), |newest| format!("cosigned:\n\n{}\n", newest.note));
    format!("{cosigned}offered:\n\n{}", offered.note()).into_bytes()
}
