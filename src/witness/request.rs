//! placeholder until the wire formats are merged
use crate::encoding::{b64_decode, parse_decimal};
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::tlog::{Note, Origin, TlogError};

pub(super) struct AddCheckpoint { pub(super) old: TreeSize, pub(super) proof: Vec<Hash>, pub(super) checkpoint: Offered }
pub(super) struct Offered { pub(super) note: Note, pub(super) origin: Origin, pub(super) size: TreeSize, pub(super) root: Hash }

impl AddCheckpoint {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let text = core::str::from_utf8(bytes).map_err(|_| TlogError::Note)?;
        let (head, note) = text.split_once("\n\n").ok_or(TlogError::Note)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|l| l.strip_prefix("old ")).and_then(parse_decimal).ok_or(TlogError::TreeSize)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == 63 { return Err(TlogError::ProofPath); }
            proof.push(b64_decode(line).and_then(|b| b.try_into().ok()).map(Hash::from_bytes).ok_or(TlogError::ProofPath)?);
        }
        Ok(Self { old: TreeSize::new(old), proof, checkpoint: Offered::parse(note.as_bytes())? })
    }
}
impl Offered {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let note = Note::parse(bytes)?;
        let mut lines = note.text().split('\n');
        let origin = Origin::parse(lines.next().unwrap_or_default())?;
        let size = lines.next().and_then(parse_decimal).map(TreeSize::new).ok_or(TlogError::TreeSize)?;
        let root = lines.next().and_then(b64_decode).and_then(|b| b.try_into().ok()).map(Hash::from_bytes).ok_or(TlogError::Root)?;
        Ok(Self { origin, size, root, note })
    }
}
