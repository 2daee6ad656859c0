//! What convicts a log: two checkpoints of one size with its signatures, or one of an empty tree that has another root.
//!
//! It is a file for `soulchain verify --evidence`, a fork (docs/formats.md §10), or text where that format has no place
//! for it. There are no lines in it but those that the log has signed and its signatures, which were verified: neither
//! what a stranger put below them, nor the witness's own, which may not be durable yet. Where files are kept is `shelf`'s.

use super::keys::WitnessKeys;
use super::record::Record;
use super::request::Offered;
use crate::encoding::hex_encode;
use crate::hash::{Hash, sha256};
use crate::merkle::{EMPTY_ROOT, TreeSize};
use crate::tlog::{MAX_NOTE_LEN, NoteSignature, NoteVerifier, Origin, SignedCheckpoint, signature_lines};
use crate::verify::{Evidence, Fork, OneSigned};

/// Longest file: two notes, and what is written around them.
pub(super) const MAX_FILE_LEN: usize = 2 * MAX_NOTE_LEN + 1024;

/// What a checkpoint with a valid signature of its log is, beside the newest that was cosigned.
pub(super) struct Contradiction<'a> {
    origin: &'a Origin,
    offered: &'a Offered,
    /// The other one of this size; none where the tree is empty, and so contradicts itself.
    newest: Option<&'a Record>,
    /// Of the file, without what is behind the dot.
    name: String,
}

/// A file that shows a contradiction.
pub(super) struct Exhibit {
    pub(super) origin: Origin,
    pub(super) size: TreeSize,
    /// As that of the contradiction.
    pub(super) name: String,
    /// What is behind the dot.
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    /// Whether somebody was told that it could not be written.
    pub(super) is_told: bool,
}

impl<'a> Contradiction<'a> {
    pub(super) fn of(newest: Option<&'a Record>, origin: &'a Origin, offered: &'a Offered) -> Option<Self> {
        let newest = newest.filter(|newest| newest.size == offered.size && newest.root != offered.root);
        let is_wrong_empty = offered.size == TreeSize::ZERO && offered.root != EMPTY_ROOT;
        if newest.is_none() && !is_wrong_empty {
            return None;
        }
        let root = newest.map_or(EMPTY_ROOT, |newest| newest.root);
        let name = name(origin, offered.size, [&root, &offered.root]);
        Some(Self { origin, offered, newest, name })
    }

    /// One contradiction has one name, whichever of the two was cosigned. It begins with [`log_of`].
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `by_log` are the signatures under what was offered that were verified, by these keys of the log.
    pub(super) fn exhibit(&self, by_log: &[NoteSignature], keys: &[NoteVerifier], own: &WitnessKeys) -> Exhibit {
        let (kind, bytes) = match self.fork(keys) {
            Some(fork) => ("evidence", fork),
            None => ("txt", self.notes(by_log, own)),
        };
        let (origin, name) = (self.origin.clone(), self.name.clone());
        Exhibit { origin, size: self.offered.size, name, kind, bytes, is_told: false }
    }

    fn fork(&self, keys: &[NoteVerifier]) -> Option<Vec<u8>> {
        let signed = |note: &str| OneSigned::of(&SignedCheckpoint::parse(note.as_bytes()).ok()?, keys);
        let (old, new) = (signed(&self.newest?.note)?, signed(self.offered.note())?);
        let fork = Fork { old, new, prefix_root: self.offered.root, path: Vec::new(), named: None };
        Some(Evidence::Fork(Box::new(fork)).to_string().into_bytes())
    }

    fn notes(&self, by_log: &[NoteSignature], own: &WitnessKeys) -> Vec<u8> {
        let cosigned = self.newest.and_then(|newest| without_own(&newest.note, own));
        let cosigned = cosigned.map_or(String::new(), |note| format!("cosigned:\n\n{note}\n"));
        format!("{cosigned}offered:\n\n{}\n{}", self.offered.text(), signature_lines(by_log)).into_bytes()
    }
}

/// By what the names of the files of one log begin.
pub(super) fn log_of(name: &str) -> &str {
    name.split_once('-').map_or(name, |(log, _)| log)
}

/// A remembered note as the log alone has signed it: its signatures were verified when it was remembered.
fn without_own(note: &str, own: &WitnessKeys) -> Option<String> {
    let (text, lines) = note.rsplit_once("\n\n")?;
    let is_own = |line: &NoteSignature| own.verifiers().iter().any(|key| key.is_named_in(line));
    let by_log: Vec<_> = lines.lines().filter_map(|line| NoteSignature::parse(line).ok()).collect();
    let by_log: Vec<_> = by_log.into_iter().filter(|line| !is_own(line)).collect();
    Some(format!("{text}\n\n{}", signature_lines(&by_log)))
}

fn name(origin: &Origin, size: TreeSize, mut roots: [&Hash; 2]) -> String {
    roots.sort_unstable_by_key(|root| *root.as_bytes());
    let id = sha256(&[&size.get().to_be_bytes(), roots[0].as_bytes(), roots[1].as_bytes()]);
    format!("{}-{}", origin.hash_hex(), hex_encode(&id[..8]))
}
