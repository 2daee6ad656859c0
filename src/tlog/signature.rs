//! The keys that sign notes, and those that judge the signatures.
//!
//! A type 0x01 signature is Ed25519 over the note's text; those of types 0x04 and 0x06 are `cosignature`'s. A type that
//! is not judged makes no [`NoteVerifier`], so it cannot be a known key whose signatures nobody looks at.

use super::checkpoint::Checkpoint;
use super::cosignature::{
    LogSubtree, MAX_COSIGNER_NAME_LEN, Timestamp, TimestampedSignature, checkpoint_message, subtree_message,
    text_message,
};
use super::error::TlogError;
use super::note::NoteSignature;
use super::vkey::{KeyId, KeyName, Vkey, VkeyType};
use crate::ed25519::{PublicKey, SEED_LEN, SigningKey};
use crate::ml_dsa;

/// A key that signs the text of notes.
pub trait NoteSigner {
    /// The name in the signature line.
    fn name(&self) -> &KeyName;
    /// The id in the signature.
    fn key_id(&self) -> KeyId;
    /// The signature over a note's text, without the id.
    fn sign(&self, text: &[u8]) -> Vec<u8>;
}

/// An Ed25519 key (type 0x01) with its name; the seed is wiped from memory when it is dropped.
#[derive(Clone, Debug)]
pub struct Ed25519Signer {
    key: SigningKey,
    vkey: Vkey,
}

/// A key whose signatures can be judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteVerifier {
    vkey: Vkey,
    judge: Judge,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Judge {
    Ed25519(PublicKey),
    CosignatureV1(PublicKey),
    MlDsa44(ml_dsa::PublicKey),
}

/// A signature that is its key's: only [`NoteVerifier::verify`] and
/// [`NoteVerifier::verify_subtree`] make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifiedSignature<'k> {
    verifier: &'k NoteVerifier,
    time: Option<Timestamp>,
}

impl NoteVerifier {
    /// The judge of a verifier key's signatures, if the type is one that is judged and the key could have signed.
    pub fn new(vkey: Vkey) -> Result<Self, TlogError> {
        let judge = match vkey.kind() {
            VkeyType::Ed25519 => Judge::Ed25519(ed25519_key(&vkey)?),
            VkeyType::CosignatureV1 => Judge::CosignatureV1(ed25519_key(&vkey)?),
            VkeyType::MlDsa44 => Judge::MlDsa44(ml_dsa_key(&vkey)?),
            kind @ VkeyType::Other(_) => return Err(TlogError::UnsupportedKey { kind: kind.byte() }),
        };
        Ok(Self { vkey, judge })
    }

    /// The key in its written form.
    pub const fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// Whether the signature says that it is of this key: only then [`NoteVerifier::verify`] has a meaning.
    pub fn is_named_in(&self, signature: &NoteSignature) -> bool {
        self.vkey.id() == signature.key_id() && self.vkey.name() == signature.name()
    }

    /// Judges a signature over a note's text; `None` if it is not this key's.
    ///
    /// An ML-DSA-44 key signs what a checkpoint says and not its text: under any other text it has signed nothing.
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Option<VerifiedSignature<'_>> {
        if !self.is_named_in(signature) {
            return None;
        }
        let (is_valid, time) = match &self.judge {
            Judge::Ed25519(key) => (key.verify(text.as_bytes(), signature.bytes().try_into().ok()?), None),
            Judge::CosignatureV1(key) => {
                let TimestampedSignature { time, signature } = self.timestamped(signature)?;
                (key.verify(&text_message(text, time), signature.try_into().ok()?), Some(time))
            }
            Judge::MlDsa44(key) => {
                let TimestampedSignature { time, signature } = self.timestamped(signature)?;
                let message = checkpoint_message(self.vkey.name(), &Checkpoint::parse(text).ok()?, time);
                (key.verify(&message, signature.try_into().ok()?), Some(time))
            }
        };
        is_valid.then_some(VerifiedSignature { verifier: self, time })
    }

    /// Judges a cosignature of a subtree; `None` if it is not this key's, or bears a time that it must not bear.
    pub fn verify_subtree(&self, subtree: &LogSubtree, signature: &NoteSignature) -> Option<VerifiedSignature<'_>> {
        let Judge::MlDsa44(key) = &self.judge else { return None };
        if !self.is_named_in(signature) {
            return None;
        }
        let parsed = self.timestamped(signature)?;
        let message = subtree_message(self.vkey.name(), subtree, parsed.time)?;
        let is_valid = key.verify(&message, parsed.signature.try_into().ok()?);
        is_valid.then_some(VerifiedSignature { verifier: self, time: Some(parsed.time) })
    }

    fn timestamped<'a>(&self, signature: &'a NoteSignature) -> Option<TimestampedSignature<'a>> {
        TimestampedSignature::parse(self.vkey.kind(), signature.bytes()).ok()
    }
}

impl<'k> VerifiedSignature<'k> {
    /// The key that signed.
    pub const fn verifier(&self) -> &'k NoteVerifier {
        self.verifier
    }

    /// When, as the signer says; only cosignatures do.
    pub const fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

impl Ed25519Signer {
    /// The key of a seed, under a name.
    pub fn from_seed(name: KeyName, seed: &[u8; SEED_LEN]) -> Self {
        let key = SigningKey::from_seed(seed);
        let vkey = vkey_of(name, VkeyType::Ed25519, &key);
        Self { key, vkey }
    }

    /// What verifies its signatures.
    pub const fn vkey(&self) -> &Vkey {
        &self.vkey
    }
}

impl NoteSigner for Ed25519Signer {
    fn name(&self) -> &KeyName {
        self.vkey.name()
    }

    fn key_id(&self) -> KeyId {
        self.vkey.id()
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.key.sign(text).into()
    }
}

/// The verifier key of an Ed25519 key pair, for notes or for cosignatures.
pub(super) fn vkey_of(name: KeyName, kind: VkeyType, key: &SigningKey) -> Vkey {
    Vkey::new(name, kind, key.public().as_bytes()).expect("an Ed25519 key has the length of its type")
}

fn ed25519_key(vkey: &Vkey) -> Result<PublicKey, TlogError> {
    let bytes = vkey.key_bytes().try_into().map_err(|_| TlogError::VkeyKey)?;
    PublicKey::from_bytes(bytes).ok_or(TlogError::VkeyKey)
}

fn ml_dsa_key(vkey: &Vkey) -> Result<ml_dsa::PublicKey, TlogError> {
    let len = vkey.name().as_str().len();
    if len > MAX_COSIGNER_NAME_LEN {
        return Err(TlogError::CosignerName { len });
    }
    let bytes = vkey.key_bytes().try_into().map_err(|_| TlogError::VkeyKey)?;
    Ok(ml_dsa::PublicKey::from_bytes(bytes))
}
