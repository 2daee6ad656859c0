//! The node's own keys, in `keys/` of its data directory.
//!
//! ```text
//! log.key              signs what is published, and nothing else
//! log-ml-dsa.key       signs the same beside it, where the log was made with one
//! instant.key          signs proofs given at once
//! registrar-admin.key  the log's own identity: key events, policy
//! registrar-act.key    the log's own identity: statements
//! registrar-next.key   its recovery key; best moved away from the machine
//! ```

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use crate::hash::Hash;
use crate::keyfile::{AnyKeyFile, KeyAlg, KeyFile, KeyFileError, OpenedKey};
use crate::log::Sign;
use crate::merkle::TreeSize;
use crate::tlog::{Checkpoint, Cosigner, Ed25519Signer, Origin, Timestamp, TlogError, sign_checkpoint};

const FOLDER: &str = "keys";
const ML_DSA: &str = "log-ml-dsa";
const NAMES: [&str; 5] = ["log", "instant", "registrar-admin", "registrar-act", "registrar-next"];

/// The keys of a node.
pub(crate) struct NodeKeys {
    pub(crate) log: KeyFile,
    /// The log's ML-DSA-44 key.
    pub(crate) log_ml_dsa: Option<AnyKeyFile>,
    pub(crate) instant: KeyFile,
    pub(crate) admin: KeyFile,
    pub(crate) act: KeyFile,
    /// Absent once it was moved away.
    pub(crate) next: Option<KeyFile>,
}

impl NodeKeys {
    pub(crate) fn generate(ml_dsa: bool) -> Result<Self, KeyFileError> {
        Ok(Self {
            log: KeyFile::generate()?,
            log_ml_dsa: if ml_dsa { Some(AnyKeyFile::generate(KeyAlg::MlDsa44)?) } else { None },
            instant: KeyFile::generate()?,
            admin: KeyFile::generate()?,
            act: KeyFile::generate()?,
            next: Some(KeyFile::generate()?),
        })
    }

    /// Writes them below a data directory.
    pub(crate) fn write(&self, directory: &Path, passphrase: Option<&SecretString>) -> io::Result<()> {
        let folder = directory.join(FOLDER);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let keys = [Some(&self.log), Some(&self.instant), Some(&self.admin), Some(&self.act), self.next.as_ref()];
        for (name, key) in NAMES.iter().zip(keys) {
            if let Some(key) = key {
                key.write(&folder.join(format!("{name}.key")), passphrase).map_err(io::Error::other)?;
            }
        }
        if let Some(key) = &self.log_ml_dsa {
            key.write(&folder.join(format!("{ML_DSA}.key")), passphrase).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Reads them from a data directory.
    pub(crate) fn read(
        directory: &Path,
        passphrase: Option<&SecretString>,
        ml_dsa: bool,
    ) -> Result<Self, KeyFileError> {
        let path = |name: &str| directory.join(FOLDER).join(format!("{name}.key"));
        let read = |name: &str| Ok(told(name, KeyFile::read(&path(name), passphrase)?));
        let log_ml_dsa = if ml_dsa {
            Some(told(ML_DSA, AnyKeyFile::read_of(KeyAlg::MlDsa44, &path(ML_DSA), passphrase)?))
        } else {
            None
        };
        let next = match read(NAMES[4]) {
            Ok(key) => Some(key),
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let [log, instant, admin, act] = [read(NAMES[0])?, read(NAMES[1])?, read(NAMES[2])?, read(NAMES[3])?];
        Ok(Self { log, log_ml_dsa, instant, admin, act, next })
    }

    /// What signs beside the log key.
    pub(crate) fn cosigner(&self, origin: &Origin) -> Result<Option<Cosigner>, TlogError> {
        self.log_ml_dsa.as_ref().map(|key| key.cosigner(origin.key_name().clone())).transpose()
    }
}

/// A key that was read; its file's faults are told.
fn told<K>(name: &str, opened: OpenedKey<K>) -> K {
    if let Some(mode) = opened.open_mode {
        tracing::warn!(name, mode = format!("{mode:o}"), "others may read this key file: chmod 600 it");
    }
    if opened.is_unencrypted {
        tracing::warn!(name, "this key file is not encrypted: who reads it has the key (SOULCHAIN_PASSPHRASE)");
    }
    opened.key
}

/// A key under the log's name.
pub(crate) fn signer(origin: &Origin, key: &KeyFile) -> Ed25519Signer {
    Ed25519Signer::from_seed(origin.key_name().clone(), key.seed())
}

/// Signs checkpoints of this log, with a second key beside the first if there is one.
pub(crate) fn checkpoint_signer(origin: &Origin, key: &KeyFile, second: Option<Cosigner>) -> Sign {
    let (origin, signer) = (origin.clone(), signer(origin, key));
    Arc::new(move |size: TreeSize, root: &Hash| {
        let signed = Checkpoint::new(origin.clone(), size, *root).and_then(|checkpoint| {
            let mut signed = sign_checkpoint(&checkpoint, &signer)?;
            if let Some(second) = &second {
                let now = Timestamp::new(crate::clock::now().get() / 1_000).unwrap_or(Timestamp::NONE);
                signed.add_signature(second.cosign(&checkpoint, now))?;
            }
            Ok(signed)
        });
        // A size of a real tree with its root, under the signer's own name, is always a checkpoint.
        signed.map_or_else(|_| Vec::new(), |signed| signed.note().as_str().as_bytes().to_vec())
    })
}
