//! The keys that sign notes, and those that judge the signatures.
//!
//! A type 0x01 signature is Ed25519 over the note's text; a type 0x04 one is `cosignature`'s. A type that is not
//! judged makes no [`NoteVerifier`], so it cannot be a known key whose signatures nobody looks at.

use super::cosignature::{Timestamp, TimestampedSignature, cosigned_message};
use super::error::TlogError;
use super::note::NoteSignature;
use super::vkey::{KeyId, KeyName, Vkey, VkeyType};
use crate::ed25519::{PublicKey, SEED_LEN, SigningKey};

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
    key: PublicKey,
    timestamped: bool,
}

/// A signature that is its key's: only [`NoteVerifier::verify`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifiedSignature<'k> {
    verifier: &'k NoteVerifier,
    time: Option<Timestamp>,
}

impl NoteVerifier {
    /// The judge of a verifier key's signatures, if the type is one that is judged and the key could have signed.
    pub fn new(vkey: Vkey) -> Result<Self, TlogError> {
        let timestamped = match vkey.kind() {
            VkeyType::Ed25519 => false,
            VkeyType::CosignatureV1 => true,
            kind @ (VkeyType::MlDsa44 | VkeyType::Other(_)) => {
                return Err(TlogError::UnsupportedKey { kind: kind.byte() });
            }
        };
        let bytes = vkey.key_bytes().try_into().map_err(|_| TlogError::VkeyKey)?;
        let key = PublicKey::from_bytes(bytes).ok_or(TlogError::VkeyKey)?;
        Ok(Self { vkey, key, timestamped })
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
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Option<VerifiedSignature<'_>> {
        if !self.is_named_in(signature) {
            return None;
        }
        let time = if self.timestamped {
            let (time, sig) = TimestampedSignature::ed25519(signature.bytes()).ok()?;
            self.key.verify(&cosigned_message(text, time), &sig).then_some(Some(time))
        } else {
            let sig = signature.bytes().try_into().ok()?;
            self.key.verify(text.as_bytes(), sig).then_some(None)
        };
        time.map(|time| VerifiedSignature { verifier: self, time })
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
