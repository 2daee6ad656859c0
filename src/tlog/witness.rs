//! What goes to a witness and comes back (tlog-witness).
//!
//! ```text
//! POST /add-checkpoint      old <size>                   POST /sign-subtree   subtree <start> <end>
//!                           base64(hash), 63 at most                          base64(hash of the subtree)
//!                                                                             base64(hash), 63 at most
//!                           the checkpoint                                    the checkpoint
//! 200                       signature lines
//! 409 text/x.tlog.size      <size>
//! ```
//!
//! An empty line stands before the checkpoint. A request that is read here is none that a witness answers with 400;
//! whose signatures are on its checkpoint, and whether its proof holds, is not yet known. Which of several faults is
//! answered first, and with which status, is the witness's business. Checkpoints are those of `checkpoint`: a log with
//! extension lines, or with an origin that is no key name, has no place here.

use core::fmt;

use super::checkpoint::{HASH_B64_LEN, SignedCheckpoint, hash_from_b64};
use super::cosignature::LogSubtree;
use super::error::TlogError;
use super::note::{MAX_NOTE_LEN, MAX_SIGNATURES, NoteSignature};
use crate::encoding::{MAX_SAFE_INTEGER, b64_encode, parse_decimal};
use crate::hash::Hash;
use crate::merkle::{ProofError, Subtree, TreeSize, verify_consistency, verify_subtree_consistency};

/// Most hashes of a consistency proof.
pub const MAX_CONSISTENCY_LEN: usize = 63;
/// Longest request, in bytes: a checkpoint with as many ML-DSA-44 signatures as a note may have, and what is above it.
pub const MAX_WITNESS_REQUEST_LEN: usize =
    MAX_FIRST_LINES_LEN + MAX_CONSISTENCY_LEN * (HASH_B64_LEN + 1) + MAX_NOTE_LEN;
/// Longest list of signature lines, in bytes.
pub const MAX_SIGNATURE_LINES_LEN: usize = MAX_NOTE_LEN;
/// The content type of [`size_body`].
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// Room for the size or the range, the subtree's hash, and the empty line.
const MAX_FIRST_LINES_LEN: usize = 128;

/// A request to cosign a checkpoint.
///
/// Invariant: the old size is not above the checkpoint's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpointRequest {
    old_size: TreeSize,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

/// A request to cosign a subtree of a checkpoint that the witness has cosigned.
///
/// Invariant: the subtree does not end beyond the checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignSubtreeRequest {
    subtree: Subtree,
    hash: Hash,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

impl AddCheckpointRequest {
    /// Puts a request together.
    pub fn new(old_size: TreeSize, proof: Vec<Hash>, checkpoint: SignedCheckpoint) -> Result<Self, TlogError> {
        if old_size > checkpoint.claim().size() {
            return Err(TlogError::OldSize { old: old_size, new: checkpoint.claim().size() });
        }
        bounded(&proof)?;
        Ok(Self { old_size, proof, checkpoint })
    }

    /// Reads the body of a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let (mut lines, checkpoint) = split(bytes)?;
        let old_size = lines.next().and_then(|line| tree_size(line.strip_prefix("old ")?));
        Self::new(old_size.ok_or(TlogError::Request)?, hashes(lines)?, checkpoint)
    }

    /// The size that the proof is from: of the checkpoint that the witness has cosigned last, as the client believes.
    pub const fn old_size(&self) -> TreeSize {
        self.old_size
    }

    /// The path of the proof.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// What should be cosigned.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Whether the checkpoint's tree begins with the one of the old size and this root. From size 0 the proof is
    /// empty, and from the checkpoint's own size as well.
    pub fn verify_consistency(&self, old_root: &Hash) -> Result<(), ProofError> {
        let claim = self.checkpoint.claim();
        verify_consistency(self.old_size, claim.size(), old_root, &claim.root(), &self.proof)
    }
}

/// The body of the request.
impl fmt::Display for AddCheckpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        write_rest(f, &self.proof, &self.checkpoint)
    }
}

impl SignSubtreeRequest {
    /// Puts a request together.
    pub fn new(
        subtree: Subtree,
        hash: Hash,
        proof: Vec<Hash>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, TlogError> {
        if subtree.end() > checkpoint.claim().size() {
            return Err(TlogError::SubtreeRange);
        }
        bounded(&proof)?;
        Ok(Self { subtree, hash, proof, checkpoint })
    }

    /// Reads the body of a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let (mut lines, checkpoint) = split(bytes)?;
        let range = lines.next().and_then(|line| line.strip_prefix("subtree ")?.split_once(' '));
        let (start, end) = range.ok_or(TlogError::Request)?;
        let (Some(start), Some(end)) = (tree_size(start), tree_size(end)) else { return Err(TlogError::Request) };
        let subtree = Subtree::new(start.get(), end).ok_or(TlogError::SubtreeRange)?;
        let hash = lines.next().and_then(hash_from_b64).ok_or(TlogError::Request)?;
        Self::new(subtree, hash, hashes(lines)?, checkpoint)
    }

    /// What should be cosigned.
    pub fn subtree(&self) -> LogSubtree {
        LogSubtree { origin: self.checkpoint.claim().origin().clone(), subtree: self.subtree, hash: self.hash }
    }

    /// The path of the proof.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The checkpoint that the subtree is said to be of.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Whether the subtree is of the checkpoint's tree.
    pub fn verify_consistency(&self) -> Result<(), ProofError> {
        let claim = self.checkpoint.claim();
        verify_subtree_consistency(self.subtree, claim.size(), &self.hash, &claim.root(), &self.proof)
    }
}

/// The body of the request.
impl fmt::Display for SignSubtreeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "subtree {} {}", self.subtree.start(), self.subtree.end())?;
        writeln!(f, "{}", b64_encode(self.hash.as_bytes()))?;
        write_rest(f, &self.proof, &self.checkpoint)
    }
}

/// The signature lines of an answer: what a witness, or a mirror, gives for what it has cosigned.
pub fn signature_lines(signatures: &[NoteSignature]) -> String {
    let mut lines = String::new();
    for signature in signatures {
        lines.push_str(&signature.to_string());
        lines.push('\n');
    }
    lines
}

/// Reads the signature lines of an answer: nothing but such lines, from 1 to [`MAX_SIGNATURES`] of them.
///
/// Whose they are is not yet known: those that matter go onto the checkpoint once their judge has seen them.
pub fn parse_signature_lines(bytes: &[u8]) -> Result<Vec<NoteSignature>, TlogError> {
    if bytes.len() > MAX_SIGNATURE_LINES_LEN {
        return Err(TlogError::NoteLen { len: bytes.len() });
    }
    let text = core::str::from_utf8(bytes).map_err(|_| TlogError::SignatureLine)?;
    let lines = text.strip_suffix('\n').ok_or(TlogError::SignatureLine)?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == MAX_SIGNATURES {
            return Err(TlogError::TooManySignatures);
        }
        signatures.push(NoteSignature::parse(line)?);
    }
    Ok(signatures)
}

/// The body of an answer 409: the size of the checkpoint that the witness has cosigned last, 0 for none.
pub fn size_body(size: TreeSize) -> String {
    format!("{size}\n")
}

/// Reads the body of an answer 409.
pub fn parse_size_body(bytes: &[u8]) -> Result<TreeSize, TlogError> {
    let line = core::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n'));
    line.and_then(tree_size).ok_or(TlogError::TreeSize)
}

/// The lines above the empty one, and the checkpoint below it.
fn split(bytes: &[u8]) -> Result<(core::str::Split<'_, char>, SignedCheckpoint), TlogError> {
    if bytes.len() > MAX_WITNESS_REQUEST_LEN {
        return Err(TlogError::Request);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| TlogError::Request)?;
    let (lines, checkpoint) = text.split_once("\n\n").ok_or(TlogError::Request)?;
    Ok((lines.split('\n'), SignedCheckpoint::parse(checkpoint.as_bytes())?))
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, TlogError> {
    let mut proof = Vec::new();
    for line in lines {
        if proof.len() == MAX_CONSISTENCY_LEN {
            return Err(TlogError::ConsistencyLen);
        }
        proof.push(hash_from_b64(line).ok_or(TlogError::Request)?);
    }
    Ok(proof)
}

fn bounded(proof: &[Hash]) -> Result<(), TlogError> {
    if proof.len() > MAX_CONSISTENCY_LEN { Err(TlogError::ConsistencyLen) } else { Ok(()) }
}

/// Reads a size that there can be.
pub(super) fn tree_size(text: &str) -> Option<TreeSize> {
    parse_decimal(text).filter(|size| *size <= MAX_SAFE_INTEGER).map(TreeSize::new)
}

fn write_rest(f: &mut fmt::Formatter<'_>, proof: &[Hash], checkpoint: &SignedCheckpoint) -> fmt::Result {
    for hash in proof {
        writeln!(f, "{}", b64_encode(hash.as_bytes()))?;
    }
    write!(f, "\n{checkpoint}")
}
