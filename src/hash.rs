//! SHA-256 and the 32-byte values made with it.
//!
//! [`id32!`](crate::id32) makes a distinct type for each of them, so that a tree hash is never taken for a link's id. All are
//! written as lowercase hex, except where a C2SP format wants base64 (that is `tlog`'s business).

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// Bytes of a SHA-256 digest.
pub const HASH_LEN: usize = 32;

/// SHA-256 of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-256 of a prefix byte and two hashes: the node of every tree here.
///
/// The length never varies, so the padding (FIPS 180-4, section 5.1.1) is written out and the blocks go to the
/// compression function as they are: a fifth faster than by way of a hasher that keeps a buffer.
pub(crate) fn sha256_pair(prefix: u8, left: &[u8; HASH_LEN], right: &[u8; HASH_LEN]) -> [u8; HASH_LEN] {
    const BLOCK_LEN: usize = 64;
    const MESSAGE_LEN: usize = 1 + 2 * HASH_LEN;
    let mut blocks = [[0; BLOCK_LEN]; 2];
    blocks[0][0] = prefix;
    blocks[0][1..=HASH_LEN].copy_from_slice(left);
    blocks[0][1 + HASH_LEN..].copy_from_slice(&right[..HASH_LEN - 1]);
    blocks[1][0] = right[HASH_LEN - 1];
    blocks[1][1] = 0x80;
    blocks[1][BLOCK_LEN - 8..].copy_from_slice(&(8 * MESSAGE_LEN as u64).to_be_bytes());
    let mut state = SHA256_INITIAL;
    compress256(&mut state, &blocks);
    let mut digest = [0; HASH_LEN];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// FIPS 180-4, section 5.3.3.
const SHA256_INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Defines a 32-byte newtype that is written as lowercase hex.
#[macro_export]
#[doc(hidden)]
macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Thirty-two zero bytes.
            pub const ZERO: Self = Self([0; 32]);

            /// Wraps bytes that are known to be such a value.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Whether all bytes are zero.
            pub fn is_zero(&self) -> bool {
                self.0 == [0; 32]
            }

            /// Reads 64 lowercase hex digits, and nothing else.
            pub fn from_hex(text: &str) -> Option<Self> {
                $crate::encoding::hex_decode_32(text).map(Self)
            }

            /// Sixty-four lowercase hex digits.
            pub fn to_hex(&self) -> String {
                $crate::encoding::hex_encode(&self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({}…)", stringify!($name), &self.to_hex()[..12])
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

id32! {
    /// A hash of the Merkle tree: of a leaf, of a node, or a root (RFC 6962, section 2.1).
    Hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_hashes_as_its_concatenation() {
        let (mut left, mut right) = (sha256(&[b"left"]), sha256(&[b"right"]));
        for prefix in 0..=u8::MAX {
            assert_eq!(sha256_pair(prefix, &left, &right), sha256(&[&[prefix], &left, &right]));
            (left, right) = (sha256(&[&right]), sha256_pair(prefix, &left, &right));
        }
    }
}
