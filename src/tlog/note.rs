//! Signed notes (signed-note, "Format" and "Signatures").
//!
//! ```text
//! text, which may hold empty lines
//!
//! — <key name> base64(key id ‖ signature)
//! ```
//!
//! A [`Note`] keeps the bytes that it was read from. Which keys are known, and what their signatures are over, is in
//! `signature`.

use core::fmt;

use super::error::{TlogError, VerifyError};
use super::signature::{NoteSigner, NoteVerifier, VerifiedSignature};
use super::vkey::{KeyId, KeyName};
use crate::encoding::{b64_decode, b64_encode};

/// Longest note, in bytes.
pub const MAX_NOTE_LEN: usize = 256 * 1024;
/// Most signatures on a note; all of them may be ML-DSA-44 ones.
pub const MAX_SIGNATURES: usize = 64;

/// A well-formed note; what it says is not to be believed before [`Note::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    raw: String,
    text_len: usize,
    signatures: Vec<NoteSignature>,
}

/// One signature on a note, by whatever key.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    key_id: KeyId,
    bytes: Vec<u8>,
}

impl Note {
    /// Reads a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        if bytes.len() > MAX_NOTE_LEN {
            return Err(TlogError::NoteLen { len: bytes.len() });
        }
        let raw = core::str::from_utf8(bytes).map_err(|_| TlogError::Note)?;
        if raw.contains(|c: char| c < ' ' && c != '\n') {
            return Err(TlogError::Note);
        }
        let text_len = raw.rfind("\n\n").ok_or(TlogError::Note)? + 1;
        let lines = raw[text_len + 1..].strip_suffix('\n').ok_or(TlogError::Note)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(TlogError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line)?);
        }
        Ok(Self { raw: raw.into(), text_len, signatures })
    }

    /// A note with one signature. The text ends with a newline and holds no other control characters.
    pub fn sign(text: &str, signer: &dyn NoteSigner) -> Result<Self, TlogError> {
        if !text.ends_with('\n') {
            return Err(TlogError::Note);
        }
        let signature = NoteSignature::new(signer.name().clone(), signer.key_id(), signer.sign(text.as_bytes()))?;
        Self::parse(format!("{text}\n{signature}\n").as_bytes())
    }

    /// What is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.raw[..self.text_len]
    }

    /// The signatures, at least one, in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The whole note.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Puts one more signature under the note.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), TlogError> {
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(TlogError::TooManySignatures);
        }
        let line = format!("{signature}\n");
        let len = self.raw.len() + line.len();
        if len > MAX_NOTE_LEN {
            return Err(TlogError::NoteLen { len });
        }
        self.raw.push_str(&line);
        self.signatures.push(signature);
        Ok(())
    }

    /// Judges the signatures of the keys given; those of others are ignored.
    ///
    /// Every signature with the name and id of a known key must be that key's, and there must be at least one. Of
    /// several by one key each is returned.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k NoteVerifier>,
    ) -> Result<Vec<VerifiedSignature<'k>>, VerifyError> {
        let keys: Vec<_> = keys.into_iter().collect();
        let mut verified = Vec::new();
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| key.is_named_in(signature)) {
                let (name, id) = (&signature.name, signature.key_id);
                let wrong = || VerifyError::WrongSignature { name: name.clone(), id };
                verified.push(key.verify(self.text(), signature).ok_or_else(wrong)?);
            }
        }
        if verified.is_empty() { Err(VerifyError::NotSigned) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

impl NoteSignature {
    /// A signature by the key of that name and id; it is not empty.
    pub fn new(name: KeyName, key_id: KeyId, bytes: Vec<u8>) -> Result<Self, TlogError> {
        if bytes.is_empty() {
            return Err(TlogError::SignatureLine);
        }
        Ok(Self { name, key_id, bytes })
    }

    /// Reads a signature line without its newline.
    pub fn parse(line: &str) -> Result<Self, TlogError> {
        let (name, blob) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or(TlogError::SignatureLine)?;
        let name = KeyName::parse(name).map_err(|_| TlogError::SignatureLine)?;
        if blob.len() > MAX_NOTE_LEN {
            return Err(TlogError::SignatureLine);
        }
        let blob = b64_decode(blob).ok_or(TlogError::SignatureLine)?;
        let (id, bytes) = blob.split_first_chunk().ok_or(TlogError::SignatureLine)?;
        Self::new(name, KeyId::from_be_bytes(*id), bytes.into())
    }

    /// The name of the key that is said to have signed.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of that key.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The signature, without the id; what it consists of is the type's business.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The signature line, without its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id.to_be_bytes(), &*self.bytes].concat();
        write!(f, "— {} {}", self.name, b64_encode(&blob))
    }
}

impl fmt::Debug for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSignature({}+{}, {} bytes)", self.name, self.key_id, self.bytes.len())
    }
}
