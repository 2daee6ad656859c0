//! Checkpoints (tlog-checkpoint; formats.md §1).
//!
//! ```text
//! origin
//! tree size
//! base64(root)
//! ```
//!
//! Exactly these lines: extension lines are refused. A checkpoint is read as a [`SignedCheckpoint`], which claims
//! something, and becomes a [`VerifiedCheckpoint`] by the log's keys; what a policy wants besides is in `policy`.

use core::fmt;

use super::error::{TlogError, VerifyError};
use super::note::{Note, NoteSignature};
use super::origin::Origin;
use super::signature::{NoteSigner, NoteVerifier, VerifiedSignature};
use super::vkey::Vkey;
use crate::encoding::{MAX_SAFE_INTEGER, b64_decode, b64_encode, parse_decimal};
use crate::hash::{HASH_LEN, Hash};
use crate::merkle::{EMPTY_ROOT, TreeSize};

/// What a checkpoint says: of which log, how large its tree is, and its root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    origin: Origin,
    size: TreeSize,
    root: Hash,
}

/// A checkpoint with signatures that nobody has judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    note: Note,
    claim: Checkpoint,
}

/// A checkpoint that its log has signed: only the check of a log's signature makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    log_keys: Vec<Vkey>,
}

/// Signs a checkpoint with a key of its log.
pub fn sign_checkpoint(checkpoint: &Checkpoint, signer: &dyn NoteSigner) -> Result<SignedCheckpoint, TlogError> {
    if signer.name() != checkpoint.origin.key_name() {
        return Err(TlogError::SignerName);
    }
    let note = Note::sign(&checkpoint.to_string(), signer)?;
    Ok(SignedCheckpoint { note, claim: checkpoint.clone() })
}

impl Checkpoint {
    /// A checkpoint, if there can be a tree of that size and root.
    pub fn new(origin: Origin, size: TreeSize, root: Hash) -> Result<Self, TlogError> {
        if size.get() > MAX_SAFE_INTEGER {
            return Err(TlogError::TreeSize);
        }
        if size == TreeSize::ZERO && root != EMPTY_ROOT {
            return Err(TlogError::EmptyRoot);
        }
        Ok(Self { origin, size, root })
    }

    /// Reads the text of a checkpoint's note.
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        let mut lines = text.strip_suffix('\n').ok_or(TlogError::CheckpointLines)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(TlogError::CheckpointLines);
        };
        let size = parse_decimal(size).map(TreeSize::new).ok_or(TlogError::TreeSize)?;
        let root = hash_from_b64(root).ok_or(TlogError::Root)?;
        Self::new(Origin::parse(origin)?, size, root)
    }

    /// The log's name.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The number of its entries.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The root of its tree.
    pub const fn root(&self) -> Hash {
        self.root
    }
}

/// The text of the note.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, b64_encode(self.root.as_bytes()))
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint as it is served.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let note = Note::parse(bytes)?;
        let claim = Checkpoint::parse(note.text())?;
        Ok(Self { note, claim })
    }

    /// What it says, whoever says it.
    pub const fn claim(&self) -> &Checkpoint {
        &self.claim
    }

    /// The signed note.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Puts one more signature under it: a witness's, or one of the log's other key.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), TlogError> {
        self.note.add_signature(signature)
    }

    /// Judges it by the keys of its log: a known key that bears its origin as name must have signed.
    pub fn verify(&self, keys: &[NoteVerifier]) -> Result<VerifiedCheckpoint, VerifyError> {
        self.signed_by_log(&self.note.verify(keys)?)
    }

    /// The checkpoint as verified, if one of the signatures, all by keys that are known as a log's, is of its log.
    pub(super) fn signed_by_log(
        &self,
        signatures: &[VerifiedSignature<'_>],
    ) -> Result<VerifiedCheckpoint, VerifyError> {
        let mut log_keys: Vec<Vkey> = Vec::new();
        for vkey in signatures.iter().map(|signature| signature.verifier().vkey()) {
            if vkey.name() == self.claim.origin.key_name() && !log_keys.contains(vkey) {
                log_keys.push(vkey.clone());
            }
        }
        if log_keys.is_empty() {
            return Err(VerifyError::NotSigned);
        }
        Ok(VerifiedCheckpoint { checkpoint: self.claim.clone(), log_keys })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl VerifiedCheckpoint {
    /// What the log has signed.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The known keys of the log that signed it, at least one, in the order of their signatures.
    pub fn log_keys(&self) -> &[Vkey] {
        &self.log_keys
    }
}

/// Characters of a hash as C2SP formats write it.
pub(super) const HASH_B64_LEN: usize = HASH_LEN.div_ceil(3) * 4;

/// Reads a hash as C2SP formats write it.
pub(super) fn hash_from_b64(text: &str) -> Option<Hash> {
    if text.len() != HASH_B64_LEN {
        return None;
    }
    b64_decode(text)?.try_into().ok().map(Hash::from_bytes)
}
