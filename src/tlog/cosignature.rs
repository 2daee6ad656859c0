//! Cosignatures of checkpoints and subtrees (tlog-cosignature): their frame, and the messages that are signed.
//!
//! ```text
//! timestamped_signature   u64 seconds since the epoch ‖ signature (Ed25519: 64 bytes, ML-DSA-44: 2,420)
//! what Ed25519 signs      cosignature/v1 ⏎ time <decimal> ⏎ the note's text
//! what ML-DSA-44 signs    subtree/v1 ⏎ NUL ‖ u8 length ‖ cosigner's name ‖ u64 seconds ‖ u8 length ‖ origin
//!                         ‖ u64 start ‖ u64 end ‖ hash 32
//! ```
//!
//! A checkpoint is the subtree from 0 to its size. A time of 0 says nothing of when, and a subtree that does not start
//! at 0 has no other. The keys are in `cosigner`, the judges in `signature`.

use core::fmt;

use super::checkpoint::Checkpoint;
use super::error::TlogError;
use super::origin::Origin;
use super::vkey::{KeyName, VkeyType};
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::merkle::Subtree;
use crate::{ed25519, ml_dsa};

/// A subtree of a log, with its hash: what ML-DSA-44 cosigners sign besides checkpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSubtree {
    /// Of which log.
    pub origin: Origin,
    /// Which leaves.
    pub subtree: Subtree,
    /// The root over them.
    pub hash: Hash,
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

impl<'a> TimestampedSignature<'a> {
    /// Reads the bytes of a cosignature of type 0x04 or 0x06.
    pub fn parse(kind: VkeyType, bytes: &'a [u8]) -> Result<Self, TlogError> {
        let len = match kind {
            VkeyType::CosignatureV1 => ed25519::SIGNATURE_LEN,
            VkeyType::MlDsa44 => ml_dsa::SIGNATURE_LEN,
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

    /// Its bytes in a signature line.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Writer::with_capacity(8 + self.signature.len());
        bytes.u64(self.time.get()).raw(self.signature);
        bytes.into_bytes()
    }
}

impl Timestamp {
    /// The greatest time that there is.
    pub const MAX: Self = Self(i64::MAX as u64);
    /// What stands where nothing is said of when: in cosignatures of subtrees.
    pub const NONE: Self = Self(0);

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
pub(super) fn text_message(text: &str, time: Timestamp) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// What an ML-DSA-44 cosigner of this name signs of a checkpoint. Names are at most [`MAX_COSIGNER_NAME_LEN`] bytes.
pub(super) fn checkpoint_message(cosigner: &KeyName, checkpoint: &Checkpoint, time: Timestamp) -> Vec<u8> {
    let range = (0, checkpoint.size().get());
    tree_message(cosigner, time, checkpoint.origin(), range, checkpoint.root())
}

/// What an ML-DSA-44 cosigner of this name signs of a subtree; `None` if it may not bear that time.
pub(super) fn subtree_message(cosigner: &KeyName, of: &LogSubtree, time: Timestamp) -> Option<Vec<u8>> {
    let range = (of.subtree.start(), of.subtree.end().get());
    (range.0 == 0 || time == Timestamp::NONE).then(|| tree_message(cosigner, time, &of.origin, range, of.hash))
}

const LABEL: &[u8; 12] = b"subtree/v1\n\0";
/// Longest name of an ML-DSA-44 key, in bytes: the message has one byte for its length.
pub(super) const MAX_COSIGNER_NAME_LEN: usize = u8::MAX as usize;
const _: () = assert!(Origin::MAX_LEN <= u8::MAX as usize);

fn tree_message(cosigner: &KeyName, time: Timestamp, origin: &Origin, (start, end): (u64, u64), hash: Hash) -> Vec<u8> {
    let (name, origin) = (cosigner.as_str().as_bytes(), origin.as_str().as_bytes());
    let mut message = Writer::with_capacity(LABEL.len() + name.len() + origin.len() + 58);
    message.raw(LABEL).u8(name.len() as u8).raw(name).u64(time.get()).u8(origin.len() as u8).raw(origin);
    message.u64(start).u64(end).raw(hash.as_bytes());
    message.into_bytes()
}
