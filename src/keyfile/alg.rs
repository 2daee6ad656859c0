//! The algorithms that key files are of.

use zeroize::Zeroizing;

use crate::ml_dsa::Sign as _;
use crate::soul::{Kid, kid, ml_dsa_kid};
use crate::{ed25519, ml_dsa};

/// What a key signs with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum KeyAlg {
    /// Ed25519: links, notes, cosignatures.
    Ed25519,
    /// ML-DSA-44: cosignatures, and the checkpoints of logs.
    MlDsa44,
}

/// Bytes of a seed, of either algorithm.
pub(super) const SEED_LEN: usize = ed25519::SEED_LEN;
const _: () = assert!(ml_dsa::SEED_LEN == SEED_LEN);

pub(super) type Seed = Zeroizing<[u8; SEED_LEN]>;

impl KeyAlg {
    /// Its name in a key file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Ed25519, Self::MlDsa44].into_iter().find(|alg| alg.name() == name)
    }

    /// Bytes of a public key.
    pub(super) const fn pk_len(self) -> usize {
        match self {
            Self::Ed25519 => ed25519::PUBLIC_KEY_LEN,
            Self::MlDsa44 => ml_dsa::PUBLIC_KEY_LEN,
        }
    }

    /// The public key of a seed.
    pub(super) fn pk_of(self, seed: &[u8; SEED_LEN]) -> Box<[u8]> {
        match self {
            Self::Ed25519 => (*ed25519::SigningKey::from_seed(seed).public().as_bytes()).into(),
            Self::MlDsa44 => ml_dsa::SigningKey::from_seed(seed).public_key().into(),
        }
    }

    /// The id of a public key, whose length is [`KeyAlg::pk_len`].
    pub(super) fn kid(self, pk: &[u8]) -> Kid {
        const LEN: &str = "a public key of its algorithm's length";
        match self {
            Self::Ed25519 => kid(pk.try_into().expect(LEN)),
            Self::MlDsa44 => ml_dsa_kid(pk.try_into().expect(LEN)),
        }
    }
}
