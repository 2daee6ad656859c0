//! ML-DSA-44 by AWS-LC: what the core's [`SigningKey`] does, several times as fast.
//!
//! Its signatures are hedged with the system's randomness, so those of one message differ; they are judged by the
//! core's rule as any others. A key is made from the same seed, and one that the library derives differently is not
//! used.

use aws_lc_rs::signature::{KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};

use crate::ml_dsa::{PUBLIC_KEY_LEN, SEED_LEN, SIGNATURE_LEN, Sign, SigningKey};

/// A key pair that signs by AWS-LC.
pub struct MlDsaSigner {
    /// Signs where the library would not: it can run out of memory.
    own: SigningKey,
    pk: [u8; PUBLIC_KEY_LEN],
    pair: Option<PqdsaKeyPair>,
}

impl MlDsaSigner {
    /// The key pair of a seed.
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        let own = SigningKey::from_seed(seed);
        let pk = own.public_key();
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).ok();
        Self { own, pk, pair: pair.filter(|pair| pair.public_key().as_ref() == pk) }
    }

    /// Whether it is the library that signs.
    pub const fn is_fast(&self) -> bool {
        self.pair.is_some()
    }
}

impl Sign for MlDsaSigner {
    fn public_key(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.pk
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut sig = [0; SIGNATURE_LEN];
        match self.pair.as_ref().map(|pair| pair.sign(message, &mut sig)) {
            Some(Ok(SIGNATURE_LEN)) => sig,
            _ => self.own.sign(message),
        }
    }
}

impl core::fmt::Debug for MlDsaSigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MlDsaSigner(of {:?})", self.own.public())
    }
}
