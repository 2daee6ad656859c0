//! Key files of either algorithm: what nodes, witnesses and mirrors sign notes with.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::alg::{KeyAlg, SEED_LEN};
use super::{KeyFile, KeyFileError, KeyPair, OpenedKey};
use crate::ml_dsa::Sign;
use crate::soul::Kid;
use crate::tlog::{Cosigner, KeyName, TlogError};

/// A key pair of either algorithm as a key file holds it; the seed is wiped from memory when it is dropped.
pub struct AnyKeyFile(KeyPair);

impl AnyKeyFile {
    /// A new key, from the system's randomness.
    pub fn generate(alg: KeyAlg) -> Result<Self, KeyFileError> {
        KeyPair::generate(alg).map(Self)
    }

    /// The key of a seed.
    pub fn from_seed(alg: KeyAlg, seed: &[u8; SEED_LEN]) -> Self {
        Self(KeyPair::from_seed(alg, seed))
    }

    /// Reads a key file of either algorithm, as [`KeyFile::read`] does.
    pub fn read(path: &Path, passphrase: Option<&SecretString>) -> Result<OpenedKey<Self>, KeyFileError> {
        KeyPair::read(path, passphrase, None).map(|opened| opened.map(Self))
    }

    /// Reads a key file of this algorithm, as [`KeyFile::read`] does.
    pub fn read_of(
        alg: KeyAlg,
        path: &Path,
        passphrase: Option<&SecretString>,
    ) -> Result<OpenedKey<Self>, KeyFileError> {
        KeyPair::read(path, passphrase, Some(alg)).map(|opened| opened.map(Self))
    }

    /// Writes a new key file, as [`KeyFile::write`] does.
    pub fn write(&self, path: &Path, passphrase: Option<&SecretString>) -> Result<(), KeyFileError> {
        self.0.write(path, passphrase)
    }

    /// What it signs with.
    pub const fn alg(&self) -> KeyAlg {
        self.0.alg
    }

    /// The key's id.
    pub const fn kid(&self) -> Kid {
        self.0.kid
    }

    /// The public key.
    pub const fn pk(&self) -> &[u8] {
        &self.0.pk
    }

    /// The seed, for signers that want it.
    pub fn seed(&self) -> &[u8; SEED_LEN] {
        &self.0.seed
    }

    /// What cosigns with it under a name: type 0x04 or 0x06.
    pub fn cosigner(&self, name: KeyName) -> Result<Cosigner, TlogError> {
        match self.0.alg {
            KeyAlg::Ed25519 => Ok(Cosigner::from_seed(name, self.seed())),
            KeyAlg::MlDsa44 => Cosigner::ml_dsa(name, ml_dsa_signer(self.seed())),
        }
    }
}

impl From<KeyFile> for AnyKeyFile {
    fn from(key: KeyFile) -> Self {
        Self(key.pair)
    }
}

impl fmt::Debug for AnyKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyKeyFile({}, {:?})", self.0.alg.name(), self.0.kid)
    }
}

/// The fastest ML-DSA-44 signer that there is here for the key of a seed.
#[cfg(feature = "node")]
pub fn ml_dsa_signer(seed: &[u8; SEED_LEN]) -> Arc<dyn Sign> {
    Arc::new(crate::ml_dsa_signer::MlDsaSigner::from_seed(seed))
}

/// The fastest ML-DSA-44 signer that there is here for the key of a seed.
#[cfg(not(feature = "node"))]
pub fn ml_dsa_signer(seed: &[u8; SEED_LEN]) -> Arc<dyn Sign> {
    Arc::new(crate::ml_dsa::SigningKey::from_seed(seed))
}
