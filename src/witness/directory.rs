//! The data directory of a witness: made whole, and held by one process.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::error::OpenError;
use super::held_disk::{HeldDisk, Hold};
use super::keys::WitnessKeys;
use super::store::create;
use crate::keyfile::{AnyKeyFile, KeyAlg, KeyFileError};
use crate::storage::{Disk, OsDisk};
use crate::tlog::KeyName;

const KEYS: &str = "keys";

/// A data directory that this process holds.
pub struct Directory {
    path: PathBuf,
    /// It holds the lock.
    disk: Arc<dyn Disk>,
}

impl Directory {
    /// Whether there is something here that a witness could have left.
    pub fn exists(path: &Path) -> bool {
        fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Makes a directory with new keys, one of each of these types, and an empty state: under a temporary name, and then renamed, so that a crash
    /// leaves no half of it. Keys without a state are never taken for those of a new witness.
    pub fn create(
        path: &Path,
        name: &KeyName,
        algs: &[KeyAlg],
        passphrase: Option<&SecretString>,
    ) -> Result<(), OpenError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let at = |error| OpenError::Io(temporary.clone(), error);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(at)?;
        }
        let keys = temporary.join(KEYS);
        DirBuilder::new().recursive(true).create(&temporary).map_err(at)?;
        DirBuilder::new().mode(0o700).create(&keys).map_err(at)?;
        let mut cosigners = Vec::new();
        for alg in algs {
            let key = AnyKeyFile::generate(*alg)?;
            key.write(&keys.join(key_name(*alg)), passphrase)?;
            cosigners.push(key.cosigner(name.clone()).map_err(OpenError::Name)?);
        }
        let new_keys = WitnessKeys::new(cosigners).ok_or_else(|| OpenError::NoKeys(keys.clone()))?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(&temporary).map_err(at)?);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| at(io::Error::other(error)))?;
        create(&disk, &new_keys, key)?;
        disk.sync_fs().map_err(at)?;
        fs::rename(&temporary, path).map_err(|error| OpenError::Io(path.to_owned(), error))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| OpenError::Io(parent.to_owned(), error))
    }

    /// Takes hold of a directory.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let disk = Arc::new(HeldDisk::open(Hold::take(path)?)?);
        Ok(Self { path: path.to_owned(), disk })
    }

    /// Where its files are.
    pub const fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Reads the keys, under the witness's name.
    pub fn keys(&self, name: &KeyName, passphrase: Option<&SecretString>) -> Result<WitnessKeys, OpenError> {
        let mut cosigners = Vec::new();
        for alg in [KeyAlg::Ed25519, KeyAlg::MlDsa44] {
            let path = self.path.join(KEYS).join(key_name(alg));
            let Some(opened) = optional(AnyKeyFile::read_of(alg, &path, passphrase))? else { continue };
            if let Some(mode) = opened.open_mode {
                tracing::warn!(mode = format!("{mode:o}"), "others may read {}: chmod 600 it", path.display());
            }
            if opened.is_unencrypted {
                tracing::warn!("{} is not encrypted: who reads it has the key (SOULCHAIN_PASSPHRASE)", path.display());
            }
            cosigners.push(opened.key.cosigner(name.clone()).map_err(OpenError::Name)?);
        }
        WitnessKeys::new(cosigners).ok_or_else(|| OpenError::NoKeys(self.path.join(KEYS)))
    }
}

fn key_name(alg: KeyAlg) -> &'static str {
    match alg {
        KeyAlg::Ed25519 => "witness-ed25519.key",
        KeyAlg::MlDsa44 => "witness-ml-dsa-44.key",
    }
}

fn optional<T>(read: Result<T, KeyFileError>) -> Result<Option<T>, KeyFileError> {
    match read {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
