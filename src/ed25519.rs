//! Ed25519 as every party here accepts it (formats.md §2, "Ed25519 acceptance").
//!
//! RFC 8032 without the cofactor, `S < L`, canonical encodings of A and R, and neither of them a point of low order.
//! Links, proofs of possession, notes and cosignatures are all judged by [`PublicKey::verify`], one at a time: batch
//! verification is not equivalent and is used nowhere. What is signed is the business of the callers.

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};

/// Bytes of a public key.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;
/// Bytes of the seed that a key pair is made from.
pub const SEED_LEN: usize = 32;

/// A public key that may verify: canonically encoded, a point of the curve, not of low order.
///
/// It holds the decoded point, so keep it where one key verifies many signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

/// A key pair; the seed is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Whether `pk` is a key that may verify and `sig` its signature over `message`.
pub fn verify(pk: &[u8; PUBLIC_KEY_LEN], message: &[u8], sig: &[u8; SIGNATURE_LEN]) -> bool {
    PublicKey::from_bytes(pk).is_some_and(|key| key.verify(message, sig))
}

impl PublicKey {
    /// Decodes a key; `None` if no signature under these bytes can be accepted.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Option<Self> {
        if !is_canonical(bytes) {
            return None;
        }
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// The encoded key.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.0.as_bytes()
    }

    /// Whether `sig` is this key's signature over `message`.
    ///
    /// `verify_strict` refuses `S ≥ L` and an R of low order, and it compares the R that it computes with the bytes
    /// of the signature, so a non-canonical R is refused as well.
    pub fn verify(&self, message: &[u8], sig: &[u8; SIGNATURE_LEN]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(sig)).is_ok()
    }
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicKey({}…)", &crate::encoding::hex_encode(&self.as_bytes()[..6]))
    }
}

impl SigningKey {
    /// The key pair of a seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature over `message`; the same for the same message.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningKey(of {:?})", self.public())
    }
}

/// Whether the y of an encoded point is below 2^255 − 19.
///
/// The other way to write a point twice, x = 0 with its sign bit set, exists only for two points of low order.
fn is_canonical(point: &[u8; PUBLIC_KEY_LEN]) -> bool {
    let [low, middle @ .., high] = point;
    *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|&byte| byte != 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        p
    };

    #[test]
    fn encodings_from_p_on_are_not_canonical() {
        for low in 0..=u8::MAX {
            for sign in [0, 0x80] {
                let mut y = P;
                y[0] = low;
                y[31] |= sign;
                assert_eq!(is_canonical(&y), low < 0xed, "{low}");
                for at in 1..31 {
                    let mut smaller = y;
                    smaller[at] = 0xfe;
                    assert!(is_canonical(&smaller));
                }
                y[31] &= 0xfe;
                assert!(is_canonical(&y));
            }
        }
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_alone() {
        let key = SigningKey::from_seed(&[7; 32]);
        let sig = key.sign(b"soul");
        assert!(key.public().verify(b"soul", &sig));
        assert!(verify(key.public().as_bytes(), b"soul", &sig));
        assert!(!key.public().verify(b"sou", &sig));
        assert!(!SigningKey::from_seed(&[8; 32]).public().verify(b"soul", &sig));
        for at in 0..SIGNATURE_LEN {
            let mut other = sig;
            other[at] ^= 1;
            assert!(!key.public().verify(b"soul", &other), "{at}");
        }
    }

    #[test]
    fn a_key_that_no_signature_can_fit_is_refused() {
        let identity = {
            let mut y = [0; 32];
            y[0] = 1;
            y
        };
        let mut not_on_the_curve = [0; 32];
        not_on_the_curve[0] = 2;
        let mut identity_again = P;
        identity_again[0] = 0xee;
        for (why, bytes) in [
            ("identity", identity),
            ("order 4", [0; 32]),
            ("not on the curve", not_on_the_curve),
            ("y = p", P),
            ("y = p + 1", identity_again),
        ] {
            assert!(PublicKey::from_bytes(&bytes).is_none(), "{why}");
            assert!(!verify(&bytes, b"", &[0; 64]), "{why}");
        }
    }

    #[test]
    fn a_key_above_p_is_refused_though_it_decodes_to_a_point_of_high_order() {
        let above = (0..19).map(|n| {
            let mut y = P;
            y[0] += n;
            y
        });
        let usable = |y: &[u8; 32]| VerifyingKey::from_bytes(y).is_ok_and(|key| !key.is_weak());
        let loose: Vec<_> = above.filter(usable).collect();
        assert!(!loose.is_empty());
        assert!(loose.iter().all(|y| PublicKey::from_bytes(y).is_none()));
    }

    #[test]
    fn debug_shows_no_seed() {
        let key = SigningKey::from_seed(&[0x5a; 32]);
        assert!(!format!("{key:?}").to_lowercase().contains("5a5a") && !format!("{key:?}").contains("90, 90"));
    }
}
