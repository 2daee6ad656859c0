//! The node's own keys, in `keys/` of its data directory.
//!
//! ```text
//! log.key              signs what is published, and nothing else
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
use crate::keyfile::{KeyFile, KeyFileError};
use crate::log::Sign;
use crate::merkle::TreeSize;
use crate::tlog::{Checkpoint, Ed25519Signer, Origin, sign_checkpoint};

const FOLDER: &str = "keys";
const NAMES: [&str; 5] = ["log", "instant", "registrar-admin", "registrar-act", "registrar-next"];

/// The keys of a node.
pub(crate) struct NodeKeys {
    pub(crate) log: KeyFile,
    pub(crate) instant: KeyFile,
    pub(crate) admin: KeyFile,
    pub(crate) act: KeyFile,
    /// Absent once it was moved away.
    pub(crate) next: Option<KeyFile>,
}

impl NodeKeys {
    pub(crate) fn generate() -> Result<Self, KeyFileError> {
        Ok(Self {
            log: KeyFile::generate()?,
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
        Ok(())
    }

    /// Reads them from a data directory.
    pub(crate) fn read(directory: &Path, passphrase: Option<&SecretString>) -> Result<Self, KeyFileError> {
        let read = |name: &str| {
            let opened = KeyFile::read(&directory.join(FOLDER).join(format!("{name}.key")), passphrase)?;
            if let Some(mode) = opened.open_mode {
                tracing::warn!(name, mode = format!("{mode:o}"), "others may read this key file: chmod 600 it");
            }
            if opened.is_unencrypted {
                tracing::warn!(name, "this key file is not encrypted: who reads it has the key (SOULCHAIN_PASSPHRASE)");
            }
            Ok(opened.key)
        };
        let next = match read(NAMES[4]) {
            Ok(key) => Some(key),
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { log: read(NAMES[0])?, instant: read(NAMES[1])?, admin: read(NAMES[2])?, act: read(NAMES[3])?, next })
    }
}

/// A key under the log's name.
pub(crate) fn signer(origin: &Origin, key: &KeyFile) -> Ed25519Signer {
    Ed25519Signer::from_seed(origin.key_name().clone(), key.seed())
}

/// Signs checkpoints of this log.
pub(crate) fn checkpoint_signer(origin: &Origin, key: &KeyFile) -> Sign {
    let (origin, signer) = (origin.clone(), signer(origin, key));
    Arc::new(move |size: TreeSize, root: &Hash| {
        let signed = Checkpoint::new(origin.clone(), size, *root).and_then(|text| sign_checkpoint(&text, &signer));
        // A size of a real tree with its root, under the signer's own name, is always a checkpoint.
        signed.map_or_else(|_| Vec::new(), |signed| signed.note().as_str().as_bytes().to_vec())
    })
}
