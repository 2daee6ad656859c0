//! Requests as a witness reads them (tlog-witness), of logs of any maker.
//!
//! What `tlog` reads is what our own logs write. Others may have extension lines below the three of a checkpoint
//! (tlog-checkpoint, "Note text"), and what they sent wrong has an answer of its own: so neither the old size nor the
//! root of the empty tree is looked at here. Ed25519 signatures are over all lines, ML-DSA-44 ones over the first three.

use crate::encoding::{MAX_SAFE_INTEGER, b64_decode, parse_decimal};
use crate::hash::Hash;
use crate::merkle::{Subtree, TreeSize};
use crate::tlog::{
    MAX_CONSISTENCY_LEN, MAX_WITNESS_REQUEST_LEN, Note, NoteSignature, NoteVerifier, TlogError, VerifyError, VkeyType,
};

/// A request to cosign a checkpoint.
#[derive(Debug)]
pub(super) struct AddCheckpoint {
    pub(super) old: TreeSize,
    pub(super) proof: Vec<Hash>,
    pub(super) checkpoint: Offered,
}

/// A request to cosign a subtree, which does not end beyond the checkpoint.
#[derive(Debug)]
pub(super) struct SignSubtree {
    pub(super) subtree: Subtree,
    pub(super) hash: Hash,
    pub(super) proof: Vec<Hash>,
    pub(super) checkpoint: Offered,
}

/// A checkpoint that somebody sent; nobody has judged its signatures.
#[derive(Debug)]
pub(super) struct Offered {
    /// A line that is not empty; that it is the name of a log shows when it is listed.
    pub(super) origin: String,
    pub(super) size: TreeSize,
    pub(super) root: Hash,
    note: Note,
    /// Bytes of the first three lines.
    claim_len: usize,
}

impl AddCheckpoint {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let (mut lines, checkpoint) = split(bytes)?;
        let old = lines.next().and_then(|line| tree_size(line.strip_prefix("old ")?)).ok_or(TlogError::Request)?;
        Ok(Self { old, proof: hashes(lines)?, checkpoint })
    }
}

impl SignSubtree {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let (mut lines, checkpoint) = split(bytes)?;
        let range = lines.next().and_then(|line| line.strip_prefix("subtree ")?.split_once(' '));
        let (start, end) = range.ok_or(TlogError::Request)?;
        let (Some(start), Some(end)) = (tree_size(start), tree_size(end)) else { return Err(TlogError::Request) };
        let subtree = Subtree::new(start.get(), end).filter(|subtree| subtree.end() <= checkpoint.size);
        let subtree = subtree.ok_or(TlogError::SubtreeRange)?;
        let hash = lines.next().and_then(hash).ok_or(TlogError::Request)?;
        Ok(Self { subtree, hash, proof: hashes(lines)?, checkpoint })
    }
}

impl Offered {
    fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let note = Note::parse(bytes)?;
        let mut lines = note.text().strip_suffix('\n').ok_or(TlogError::CheckpointLines)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(TlogError::CheckpointLines);
        };
        if lines.any(str::is_empty) {
            return Err(TlogError::CheckpointLines);
        }
        let claim_len = origin.len() + size.len() + root.len() + 3;
        let size = tree_size(size).ok_or(TlogError::TreeSize)?;
        let root = hash(root).ok_or(TlogError::Root)?;
        let origin = Some(origin.to_owned()).filter(|origin| !origin.is_empty()).ok_or(TlogError::CheckpointLines)?;
        Ok(Self { origin, size, root, note, claim_len })
    }

    /// All of its lines.
    pub(super) fn text(&self) -> &str {
        self.note.text()
    }

    /// As it was sent.
    pub(super) fn note(&self) -> &str {
        self.note.as_str()
    }

    /// The lines below the first three, each with its newline.
    pub(super) fn extensions(&self) -> &str {
        &self.note.text()[self.claim_len..]
    }

    /// Whether a line is a signature of this key on the checkpoint.
    pub(super) fn is_signed(&self, key: &NoteVerifier, line: &NoteSignature) -> bool {
        let signed = match key.vkey().kind() {
            VkeyType::MlDsa44 => &self.note.text()[..self.claim_len],
            _ => self.note.text(),
        };
        key.is_named_in(line) && key.verify(signed, line).is_some()
    }

    /// The signatures of these keys on the whole text, once each; like [`Note::verify`], where one that is wrong spoils all.
    ///
    /// An ML-DSA-44 key signs the first three lines only: by it alone anybody could put others below them.
    pub(super) fn verify(&self, keys: &[NoteVerifier]) -> Result<Vec<NoteSignature>, VerifyError> {
        let verified = self.verify_tree(keys)?;
        let covers_all = |line: &NoteSignature| {
            let mut of = keys.iter().filter(|key| key.is_named_in(line));
            of.any(|key| key.vkey().kind() != VkeyType::MlDsa44)
        };
        let is_whole = self.extensions().is_empty() || verified.iter().any(covers_all);
        if is_whole { Ok(verified) } else { Err(VerifyError::NotSigned) }
    }

    /// The same, of the tree alone: what is below the first three lines need not be signed.
    pub(super) fn verify_tree(&self, keys: &[NoteVerifier]) -> Result<Vec<NoteSignature>, VerifyError> {
        let mut verified: Vec<NoteSignature> = Vec::new();
        for signature in self.note.signatures() {
            for key in keys.iter().filter(|key| key.is_named_in(signature)) {
                if verified.contains(signature) {
                    continue;
                }
                if !self.is_signed(key, signature) {
                    let (name, id) = (signature.name().clone(), signature.key_id());
                    return Err(VerifyError::WrongSignature { name, id });
                }
                // A key can sign one text in many ways: what is kept of it has room in a note beside others.
                if !verified.iter().any(|known| is_of_one_key(known, signature)) {
                    verified.push(signature.clone());
                }
            }
        }
        if verified.is_empty() { Err(VerifyError::NotSigned) } else { Ok(verified) }
    }
}

/// Whether both lines name the same key.
pub(super) fn is_of_one_key(one: &NoteSignature, other: &NoteSignature) -> bool {
    one.name() == other.name() && one.key_id() == other.key_id()
}

/// The lines above the empty one, and the checkpoint below it.
fn split(bytes: &[u8]) -> Result<(core::str::Split<'_, char>, Offered), TlogError> {
    if bytes.len() > MAX_WITNESS_REQUEST_LEN {
        return Err(TlogError::Request);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| TlogError::Request)?;
    let (lines, checkpoint) = text.split_once("\n\n").ok_or(TlogError::Request)?;
    Ok((lines.split('\n'), Offered::parse(checkpoint.as_bytes())?))
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, TlogError> {
    let mut proof = Vec::new();
    for line in lines {
        if proof.len() == MAX_CONSISTENCY_LEN {
            return Err(TlogError::ConsistencyLen);
        }
        proof.push(hash(line).ok_or(TlogError::Request)?);
    }
    Ok(proof)
}

fn hash(line: &str) -> Option<Hash> {
    b64_decode(line)?.try_into().ok().map(Hash::from_bytes)
}

fn tree_size(text: &str) -> Option<TreeSize> {
    parse_decimal(text).filter(|size| *size <= MAX_SAFE_INTEGER).map(TreeSize::new)
}
