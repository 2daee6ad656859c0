//! Cosignatures of checkpoints (tlog-cosignature).
//!
//! ```text
//! timestamped_signature: u64 seconds since the epoch ‖ signature (Ed25519: 64 bytes, ML-DSA-44: 2,420)
//! what Ed25519 signs:    cosignature/v1 ⏎ time <decimal> ⏎ the note's text
//! ```
//!
//! Of the ML-DSA-44 type only the frame is read.

use core::fmt;

use super::error::TlogError;
use super::note::NoteSignature;
use super::signature::vkey_of;
use super::vkey::{KeyName, Vkey, VkeyType};
use crate::ed25519::{SEED_LEN, SIGNATURE_LEN, SigningKey};
use crate::encoding::{Reader, Writer};

/// Bytes of an ML-DSA-44 signature.
pub const ML_DSA_44_SIGNATURE_LEN: usize = 2420;

/// A key of a witness (type 0x04) with its name; the seed is wiped from memory when it is dropped.
#[derive(Clone, Debug)]
pub struct Cosigner {
    key: SigningKey,
    vkey: Vkey,
}

/// When a cosignature was made, in seconds since the epoch: at most 2^63 − 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(u64);

/// A time and a signature, not yet judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampedSignature<'a> {
    /// When, as the cosigner says.
    pub time: Timestamp,
    /// The signature; its length is that of its type.
    pub signature: &'a [u8],
}

impl Cosigner {
    /// The key of a seed, under a name.
    pub fn from_seed(name: KeyName, seed: &[u8; SEED_LEN]) -> Self {
        let key = SigningKey::from_seed(seed);
        let vkey = vkey_of(name, VkeyType::CosignatureV1, &key);
        Self { key, vkey }
    }

    /// What verifies its cosignatures.
    pub const fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// Cosigns the text of a checkpoint: whoever asks for it knows that the log has only grown.
    pub fn cosign(&self, text: &str, time: Timestamp) -> NoteSignature {
        let mut bytes = Writer::with_capacity(8 + SIGNATURE_LEN);
        bytes.u64(time.get()).raw(&self.key.sign(&cosigned_message(text, time)));
        NoteSignature::new(self.vkey.name().clone(), self.vkey.id(), bytes.into_bytes())
            .expect("a cosignature is not empty")
    }
}

impl<'a> TimestampedSignature<'a> {
    /// Reads the bytes of a cosignature of type 0x04 or 0x06.
    pub fn parse(kind: VkeyType, bytes: &'a [u8]) -> Result<Self, TlogError> {
        let len = match kind {
            VkeyType::CosignatureV1 => SIGNATURE_LEN,
            VkeyType::MlDsa44 => ML_DSA_44_SIGNATURE_LEN,
            VkeyType::Ed25519 | VkeyType::Other(_) => return Err(TlogError::UnsupportedKey { kind: kind.byte() }),
        };
        let mut reader = Reader::new(bytes);
        let time = reader.u64().and_then(Timestamp::new).ok_or(TlogError::TimestampedSignature)?;
        let signature = reader.rest();
        if signature.len() != len {
            return Err(TlogError::TimestampedSignature);
        }
        Ok(Self { time, signature })
    }

    /// Reads the bytes of an Ed25519 cosignature.
    pub(super) fn ed25519(bytes: &[u8]) -> Result<(Timestamp, [u8; SIGNATURE_LEN]), TlogError> {
        let parsed = TimestampedSignature::parse(VkeyType::CosignatureV1, bytes)?;
        let signature = parsed.signature.try_into().map_err(|_| TlogError::TimestampedSignature)?;
        Ok((parsed.time, signature))
    }
}

impl Timestamp {
    /// The greatest time that there is.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// A time from its seconds, if a cosignature may bear it.
    pub const fn new(seconds: u64) -> Option<Self> {
        if seconds <= Self::MAX.0 { Some(Self(seconds)) } else { None }
    }

    /// Seconds since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an Ed25519 cosigner signs.
pub(super) fn cosigned_message(text: &str, time: Timestamp) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}
