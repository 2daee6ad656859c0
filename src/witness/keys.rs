//! The keys of a witness: one Ed25519 key, one ML-DSA-44 key, or both, under one name.

use super::request::Offered;
use crate::tlog::{Cosigner, KeyName, NoteSignature, Timestamp, Vkey};

/// What a witness cosigns with; there is at least one key, and all bear its name.
#[derive(Clone, Debug)]
pub struct WitnessKeys {
    cosigners: Vec<Cosigner>,
}

impl WitnessKeys {
    /// These keys, at most one of each type; `None` if there is none, or they have different names.
    pub fn new(cosigners: Vec<Cosigner>) -> Option<Self> {
        let (first, others) = cosigners.split_first()?;
        let fits = |other: &Cosigner| {
            other.vkey().name() == first.vkey().name() && other.vkey().kind() != first.vkey().kind()
        };
        (others.len() <= 1 && others.iter().all(fits)).then_some(Self { cosigners })
    }

    /// The witness's name.
    pub fn name(&self) -> &KeyName {
        self.cosigners[0].vkey().name()
    }

    /// What verifies its cosignatures.
    pub fn vkeys(&self) -> impl Iterator<Item = &Vkey> {
        self.cosigners.iter().map(Cosigner::vkey)
    }

    /// Cosigns a checkpoint with each key.
    pub(super) fn cosign(&self, checkpoint: &Offered, time: Timestamp) -> Vec<NoteSignature> {
        self.cosigners.iter().map(|cosigner| cosigner.cosign(checkpoint.note.text(), time)).collect()
    }
}
