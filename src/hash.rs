//! SHA-256 and the 32-byte values made with it.
//!
//! [`id32!`](crate::id32) makes a distinct type for each of them, so that a tree hash is never taken for a link's id. All are
//! written as lowercase hex, except where a C2SP format wants base64 (that is `tlog`'s business).

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
