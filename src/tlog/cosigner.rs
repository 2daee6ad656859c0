//! The keys of cosigners: witnesses, mirrors, and logs that sign with ML-DSA-44 (tlog-cosignature).

use core::fmt;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::cosignature::{
    LogSubtree, MAX_COSIGNER_NAME_LEN, Timestamp, TimestampedSignature, checkpoint_message, subtree_message,
    text_message,
};
use super::error::TlogError;
use super::note::NoteSignature;
use super::signature::vkey_of;
use super::vkey::{KeyName, Vkey, VkeyType};
use crate::{ed25519, ml_dsa};

/// A key that cosigns (type 0x04 or 0x06) with its name; its seed is wiped from memory when it is dropped.
///
/// Whoever asks it to sign knows that the log has only grown.
#[derive(Clone)]
pub struct Cosigner {
    key: Key,
    vkey: Vkey,
}

#[derive(Clone)]
enum Key {
    Ed25519(Box<ed25519::SigningKey>),
    MlDsa44(Arc<dyn ml_dsa::Sign>),
}

impl Cosigner {
    /// The Ed25519 key of a seed, under a name.
    pub fn from_seed(name: KeyName, seed: &[u8; ed25519::SEED_LEN]) -> Self {
        let key = ed25519::SigningKey::from_seed(seed);
        let vkey = vkey_of(name, VkeyType::CosignatureV1, &key);
        Self { key: Key::Ed25519(Box::new(key)), vkey }
    }

    /// An ML-DSA-44 key under a name, which is at most 255 bytes long.
    pub fn ml_dsa(name: KeyName, key: Arc<dyn ml_dsa::Sign>) -> Result<Self, TlogError> {
        if name.as_str().len() > MAX_COSIGNER_NAME_LEN {
            return Err(TlogError::CosignerName { len: name.as_str().len() });
        }
        let vkey = Vkey::new(name, VkeyType::MlDsa44, &key.public_key())?;
        Ok(Self { key: Key::MlDsa44(key), vkey })
    }

    /// The ML-DSA-44 key of a seed under a name, which signs deterministically.
    pub fn ml_dsa_from_seed(name: KeyName, seed: &[u8; ml_dsa::SEED_LEN]) -> Result<Self, TlogError> {
        Self::ml_dsa(name, Arc::new(ml_dsa::SigningKey::from_seed(seed)))
    }

    /// What verifies its cosignatures.
    pub const fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// Cosigns a checkpoint. A witness that was asked to add one gives a time that is not 0.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: Timestamp) -> NoteSignature {
        match &self.key {
            Key::Ed25519(key) => self.line(time, &key.sign(&text_message(&checkpoint.to_string(), time))),
            Key::MlDsa44(key) => self.line(time, &key.sign(&checkpoint_message(self.vkey.name(), checkpoint, time))),
        }
    }

    /// Cosigns a subtree, without a time; only an ML-DSA-44 key can.
    pub fn cosign_subtree(&self, subtree: &LogSubtree) -> Result<NoteSignature, TlogError> {
        let Key::MlDsa44(key) = &self.key else {
            return Err(TlogError::UnsupportedKey { kind: self.vkey.kind().byte() });
        };
        let message = subtree_message(self.vkey.name(), subtree, Timestamp::NONE).expect("no time fits every subtree");
        Ok(self.line(Timestamp::NONE, &key.sign(&message)))
    }

    /// Signs a checkpoint of the log that this is a key of, with nobody else's signature: for logs whose only key this
    /// is. Another key of a log adds its [`Cosigner::cosign`].
    pub fn sign_checkpoint(&self, checkpoint: &Checkpoint, time: Timestamp) -> Result<SignedCheckpoint, TlogError> {
        if self.vkey.kind() != VkeyType::MlDsa44 {
            return Err(TlogError::UnsupportedKey { kind: self.vkey.kind().byte() });
        }
        if self.vkey.name() != checkpoint.origin().key_name() {
            return Err(TlogError::SignerName);
        }
        SignedCheckpoint::parse(format!("{checkpoint}\n{}\n", self.cosign(checkpoint, time)).as_bytes())
    }

    fn line(&self, time: Timestamp, signature: &[u8]) -> NoteSignature {
        let bytes = TimestampedSignature { time, signature }.to_bytes();
        NoteSignature::new(self.vkey.name().clone(), self.vkey.id(), bytes).expect("a cosignature is not empty")
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({:?})", self.vkey)
    }
}
