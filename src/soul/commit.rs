//! Commitments to bodies (formats.md §3).

use super::ids::{BodyCommit, Salt};
use crate::hash::sha256;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const MAGIC: &[u8] = b"soulchain/body/v1\n";

/// The commitment to a body that is part of its entry; zero for an empty one.
pub fn commit_inline(body: &[u8]) -> BodyCommit {
    if body.is_empty() { BodyCommit::ZERO } else { BodyCommit::from_bytes(sha256(&[MAGIC, body])) }
}

/// The commitment to a body that is kept beside the log: without the salt nobody can test a guess.
pub fn commit_salted(salt: &Salt, body: &[u8]) -> BodyCommit {
    if body.is_empty() {
        return BodyCommit::ZERO;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_ref()).expect("HMAC takes a key of any length");
    mac.update(MAGIC);
    mac.update(body);
    BodyCommit::from_bytes(mac.finalize().into_bytes().into())
}
