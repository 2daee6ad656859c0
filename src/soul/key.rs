//! What is made from public keys: ids, commitments and the messages of proofs of possession (formats.md §2 and §4).

use super::body::RawKey;
use super::ids::{Identity, Kid, LogId, Next, Seqno};
use crate::encoding::Writer;
use crate::hash::sha256;
use crate::ml_dsa;

/// The one suite that is admitted: Ed25519 and SHA-256.
pub const SUITE: u8 = 1;

/// Bytes of the message of a proof of possession.
pub const POP_MESSAGE_LEN: usize = POP_MAGIC.len() + 32 + 32 + 8 + 32 + 32;

/// The suite in the ids of ML-DSA-44 keys; no link is of it.
const ML_DSA_SUITE: u8 = 2;

const KID_MAGIC: &[u8] = b"soulchain/kid/v1\n";
const NEXT_MAGIC: &[u8] = b"soulchain/next/v1\n";
const POP_MAGIC: &[u8] = b"soulchain/pop/v1\n";

/// The id of a key.
pub fn kid(pk: &RawKey) -> Kid {
    Kid::from_bytes(sha256(&[KID_MAGIC, &[SUITE], pk]))
}

/// The id of an ML-DSA-44 key, which signs notes and no links.
pub fn ml_dsa_kid(pk: &[u8; ml_dsa::PUBLIC_KEY_LEN]) -> Kid {
    Kid::from_bytes(sha256(&[KID_MAGIC, &[ML_DSA_SUITE], pk]))
}

/// The commitment that a recovery key is announced with.
pub fn next_commitment(pk: &RawKey) -> Next {
    Next::from_bytes(sha256(&[NEXT_MAGIC, &[SUITE], pk]))
}

/// What an added key signs to show that its owner holds it.
///
/// It names the key that signs the link, so that a proof made for one admin is of no use to another. `identity` is
/// that of the header: zero in a genesis.
pub fn pop_message(log_id: LogId, identity: Identity, seqno: Seqno, signer: Kid, added: Kid) -> Vec<u8> {
    let mut out = Writer::with_capacity(POP_MESSAGE_LEN);
    out.raw(POP_MAGIC).raw(log_id.as_ref()).raw(identity.as_ref()).u64(seqno.get());
    out.raw(signer.as_ref()).raw(added.as_ref());
    out.into_bytes()
}
