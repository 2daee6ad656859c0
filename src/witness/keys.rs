//! The keys of a witness: one Ed25519 key, one ML-DSA-44 key, or both, under one name.

use crate::tlog::{Checkpoint, Cosigner, KeyName, LogSubtree, NoteSignature, NoteVerifier, Timestamp, Vkey, VkeyType};

/// What a witness cosigns with; there is at least one key, and all bear its name.
#[derive(Clone, Debug)]
pub struct WitnessKeys {
    cosigners: Vec<Cosigner>,
    verifiers: Vec<NoteVerifier>,
}

impl WitnessKeys {
    /// These keys, at most one of each type; `None` if there is none, or they have different names.
    pub fn new(cosigners: Vec<Cosigner>) -> Option<Self> {
        let (first, others) = cosigners.split_first()?;
        let fits =
            |other: &Cosigner| other.vkey().name() == first.vkey().name() && other.vkey().kind() != first.vkey().kind();
        if others.len() > 1 || !others.iter().all(fits) {
            return None;
        }
        let verifiers = cosigners.iter().map(|cosigner| NoteVerifier::new(cosigner.vkey().clone()).ok());
        Some(Self { verifiers: verifiers.collect::<Option<_>>()?, cosigners })
    }

    /// The witness's name.
    pub fn name(&self) -> &KeyName {
        self.cosigners[0].vkey().name()
    }

    /// What verifies its cosignatures.
    pub fn vkeys(&self) -> impl Iterator<Item = &Vkey> {
        self.cosigners.iter().map(Cosigner::vkey)
    }

    /// The judges of its own cosignatures.
    pub(super) fn verifiers(&self) -> &[NoteVerifier] {
        &self.verifiers
    }

    /// Cosigns a checkpoint, and the extension lines below it, with each key.
    pub(super) fn cosign(&self, checkpoint: &Checkpoint, extensions: &str, time: Timestamp) -> Vec<NoteSignature> {
        self.cosigners.iter().map(|key| key.cosign_with_extensions(checkpoint, extensions, time)).collect()
    }

    /// Whether there is a key that cosigns subtrees.
    pub(super) fn can_sign_subtrees(&self) -> bool {
        self.vkeys().any(|vkey| vkey.kind() == VkeyType::MlDsa44)
    }

    /// Cosigns a subtree with each key that can.
    pub(super) fn cosign_subtree(&self, subtree: &LogSubtree) -> Vec<NoteSignature> {
        self.cosigners.iter().filter_map(|key| key.cosign_subtree(subtree).ok()).collect()
    }
}
