//! Proofs of logging (tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra base64(opaque bytes)                 or no such line
//! index <decimal>
//! base64(hash), from the leaf's sibling up   as many lines as the path has hashes
//!
//! the checkpoint, as the log gave it
//! ```
//!
//! The file is read and not believed: whether the checkpoint holds is `policy`'s, whether the path leads to its root
//! `merkle`'s, and what `extra` means `soul`'s.

use core::fmt;

use super::checkpoint::{HASH_B64_LEN, SignedCheckpoint, hash_from_b64};
use super::error::TlogError;
use super::note::MAX_NOTE_LEN;
use crate::encoding::{MAX_SAFE_INTEGER, b64_decode, b64_push, parse_decimal};
use crate::hash::Hash;
use crate::merkle::LeafIndex;

/// Most bytes of extra data: 256 entries of the greatest length are half of it, and base64 in JSON a third more.
pub const MAX_EXTRA_LEN: usize = 32 * 1024 * 1024;
/// Most hashes of a path.
pub const MAX_PATH_LEN: usize = 64;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const MAX_EXTRA_B64_LEN: usize = MAX_EXTRA_LEN.div_ceil(3) * 4;
/// Longest file: extra data and checkpoint of the greatest length, and room for the other lines.
const MAX_PROOF_LEN: usize = MAX_EXTRA_B64_LEN + MAX_NOTE_LEN + MAX_PATH_LEN * 64 + 256;

/// Room for the lines whose length does not vary much.
const LINES_LEN: usize = 64;

/// An index, a path and a checkpoint, none of them checked, and extra data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: LeafIndex,
    path: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Puts a proof together; extra data that is there is not empty.
    pub fn new(
        extra: Option<Vec<u8>>,
        index: LeafIndex,
        path: Vec<Hash>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, TlogError> {
        if extra.as_ref().is_some_and(|extra| extra.is_empty() || extra.len() > MAX_EXTRA_LEN) {
            return Err(TlogError::ProofExtra);
        }
        if index.get() > MAX_SAFE_INTEGER {
            return Err(TlogError::ProofIndex);
        }
        if path.len() > MAX_PATH_LEN {
            return Err(TlogError::ProofPath);
        }
        Ok(Self { extra, index, path, checkpoint })
    }

    /// Reads a `.tlog-proof` file.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        if bytes.len() > MAX_PROOF_LEN {
            return Err(TlogError::Proof);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| TlogError::Proof)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogError::Proof)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(TlogError::Proof);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra")) {
            Some(line) => Some(parse_extra(line).ok_or(TlogError::ProofExtra)?),
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(TlogError::ProofIndex)?;
        let index = parse_decimal(index).map(LeafIndex::new).ok_or(TlogError::ProofIndex)?;
        let path = lines.take(MAX_PATH_LEN + 1).map(hash_from_b64).collect::<Option<_>>();
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        Self::new(extra, index, path.ok_or(TlogError::ProofPath)?, checkpoint)
    }

    /// Data of the application's, which nothing in the proof vouches for.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The entry's place in the log.
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The inclusion path, from the leaf's sibling up.
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The checkpoint.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

/// The file.
impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&proof_text(self.extra(), self.index, &self.path, self.checkpoint.note().as_str()))
    }
}

/// The file around a checkpoint that is there as text: so a log answers without reading the note that it has written.
pub fn proof_text(extra: Option<&[u8]>, index: LeafIndex, path: &[Hash], checkpoint: &str) -> String {
    let extra_len = extra.map_or(0, |extra| extra.len().div_ceil(3) * 4);
    let mut text = String::with_capacity(LINES_LEN + extra_len + path.len() * (HASH_B64_LEN + 1) + checkpoint.len());
    text.push_str(HEADER);
    if let Some(extra) = extra {
        text.push_str("\nextra ");
        b64_push(&mut text, extra);
    }
    text.push_str("\nindex ");
    text.push_str(&index.to_string());
    for hash in path {
        text.push('\n');
        b64_push(&mut text, hash.as_bytes());
    }
    text.push_str("\n\n");
    text.push_str(checkpoint);
    text
}

fn parse_extra(line: &str) -> Option<Vec<u8>> {
    let text = line.strip_prefix("extra ")?;
    if text.len() > MAX_EXTRA_B64_LEN { None } else { b64_decode(text) }
}
