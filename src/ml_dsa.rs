//! ML-DSA-44 (FIPS 204) with an empty context: keys of cosigners and of logs, never of agents.
//!
//! Verification has one answer for all implementations, so nothing is narrowed here. Signing in this module is the
//! deterministic variant, from the seed; other implementations sign through [`Sign`]. What is signed is the business of
//! the callers.

use std::sync::Arc;

use ml_dsa::signature::{Keypair as _, Signer as _, Verifier as _};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa44, Seed, Signature, VerifyingKey};

/// Bytes of a public key.
pub const PUBLIC_KEY_LEN: usize = 1312;
/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 2420;
/// Bytes of the seed that a key pair is made from (ξ of FIPS 204, algorithm 1).
pub const SEED_LEN: usize = 32;

/// A public key; every string of 1,312 bytes is one.
///
/// It holds what is computed from the key once, some 20 KiB, and shares it with its clones.
#[derive(Clone, PartialEq)]
pub struct PublicKey(Arc<VerifyingKey<MlDsa44>>);

/// A key pair; the seed is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct SigningKey(ml_dsa::SigningKey<MlDsa44>);

/// What signs under one public key, in whatever way.
pub trait Sign: Send + Sync {
    /// The encoded public key.
    fn public_key(&self) -> [u8; PUBLIC_KEY_LEN];
    /// A signature over `message`, with an empty context; another one each time, if the implementation draws
    /// randomness.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN];
}

impl PublicKey {
    /// Decodes a key.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Self {
        Self(Arc::new(VerifyingKey::decode(&EncodedVerifyingKey::<MlDsa44>::from(*bytes))))
    }

    /// The encoded key.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.0.encode().into()
    }

    /// Whether `sig` is this key's signature over `message`.
    pub fn verify(&self, message: &[u8], sig: &[u8; SIGNATURE_LEN]) -> bool {
        let decoded = Signature::decode(&EncodedSignature::<MlDsa44>::from(*sig));
        decoded.is_some_and(|sig| self.0.verify(message, &sig).is_ok())
    }
}

impl Eq for PublicKey {}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicKey({}…)", &crate::encoding::hex_encode(&self.to_bytes()[..6]))
    }
}

impl SigningKey {
    /// The key pair of a seed (FIPS 204, algorithm 6).
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(ml_dsa::SigningKey::from_seed(&Seed::from(*seed)))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(Arc::new(self.0.verifying_key()))
    }
}

/// Signs deterministically: the same signature for the same message.
impl Sign for SigningKey {
    fn public_key(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.0.verifying_key().encode().into()
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).encode().into()
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningKey(of {:?})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_and_key_alone() {
        let key = SigningKey::from_seed(&[7; 32]);
        let sig = key.sign(b"soul");
        assert_eq!(sig, key.sign(b"soul"));
        assert_eq!(key.public_key(), key.public().to_bytes());
        let public = PublicKey::from_bytes(&key.public_key());
        assert_eq!(public, key.public());
        assert!(public.verify(b"soul", &sig));
        assert!(!public.verify(b"sou", &sig));
        let other = SigningKey::from_seed(&[8; 32]).public();
        assert_ne!(public, other);
        assert!(!other.verify(b"soul", &sig));
        for at in (0..SIGNATURE_LEN).step_by(13).chain(SIGNATURE_LEN - 90..SIGNATURE_LEN) {
            let mut changed = sig;
            changed[at] ^= 1;
            assert!(!public.verify(b"soul", &changed), "{at}");
        }
        assert!(!public.verify(b"soul", &[0; SIGNATURE_LEN]) && !public.verify(b"soul", &[0xff; SIGNATURE_LEN]));
    }

    #[test]
    fn every_string_of_the_right_length_is_a_key() {
        for byte in [0, 1, 0x55, 0xff] {
            let key = PublicKey::from_bytes(&[byte; PUBLIC_KEY_LEN]);
            assert_eq!(key.to_bytes(), [byte; PUBLIC_KEY_LEN]);
            assert!(!key.verify(b"", &[0; SIGNATURE_LEN]));
        }
    }

    #[test]
    fn debug_shows_no_seed() {
        let key = SigningKey::from_seed(&[0x5a; 32]);
        assert!(!format!("{key:?}").to_lowercase().contains("5a5a") && !format!("{key:?}").contains("90, 90"));
    }
}
