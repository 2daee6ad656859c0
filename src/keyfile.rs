//! Key files: the seeds of agents, nodes and witnesses at rest (formats.md §9).
//!
//! ```text
//! <name>.key   mode 0600
//! {"v":1,"alg":"ed25519","kid":hex,"pk":b64u,
//!  "kdf":"argon2id","t":3,"m":65536,"p":4,"salt":b64u(32),"cipher":"xchacha20-poly1305","nonce":b64u(24),"ct":b64u}
//! {"v":1,"alg":"ed25519","kid":hex,"pk":b64u,"seed":b64u(32)}                       without a passphrase
//! ```
//!
//! `alg` is `ed25519` or `ml-dsa-44`. A [`KeyFile`] is of the first, as all keys of agents are; [`AnyKeyFile`] is of
//! either, for keys that sign notes.
//!
//! What is read is strict but for white space and the order of members: a member that is unknown, missing, `null` or
//! there twice is refused, and so is a public key that is not its seed's. A file appears under its name whole or not at
//! all, and never over another: losing a key is worse than having one too many. Who holds which key, and asking for the
//! passphrase, is the callers' business.

mod alg;
mod any;
mod error;
mod members;

pub use alg::KeyAlg;
pub use any::{AnyKeyFile, ml_dsa_signer};
pub use error::{KeyFileError, KeyFileFault};

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

use self::alg::Seed;
use self::members::Members;
use crate::ed25519::{PUBLIC_KEY_LEN, SEED_LEN, SigningKey};
use crate::encoding::hex_encode;
use crate::soul::Kid;

/// Longest key file that is read, in bytes; those that are written are shorter than 2,300.
pub const MAX_KEY_FILE_LEN: usize = 4096;
/// How the name of a key file ends.
pub const KEY_FILE_EXTENSION: &str = "key";

/// An Ed25519 key pair as a key file holds it; the seed is wiped from memory when it is dropped.
pub struct KeyFile {
    pair: KeyPair,
    pk: [u8; PUBLIC_KEY_LEN],
}

/// A key that was read, and what its owner should be told about the file.
#[derive(Debug)]
pub struct OpenedKey<K = KeyFile> {
    /// The key.
    pub key: K,
    /// Whether the seed lies in the file as it is: whoever can read the file has the key.
    pub is_unencrypted: bool,
    /// The mode of the file, where others than its owner may read, write or execute it.
    pub open_mode: Option<u32>,
}

/// A key pair of either algorithm.
struct KeyPair {
    alg: KeyAlg,
    seed: Seed,
    pk: Box<[u8]>,
    kid: Kid,
}

/// Permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

impl KeyFile {
    /// A new key, from the system's randomness.
    pub fn generate() -> Result<Self, KeyFileError> {
        KeyPair::generate(KeyAlg::Ed25519).map(Self::from_pair)
    }

    /// The key of a seed.
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self::from_pair(KeyPair::from_seed(KeyAlg::Ed25519, seed))
    }

    /// Reads a key file. A passphrase is ignored where the file is not encrypted; the answer says so.
    ///
    /// Where it is, this takes tenths of a second and 64 MiB of memory, as writing does: no task of an executor should.
    pub fn read(path: &Path, passphrase: Option<&SecretString>) -> Result<OpenedKey, KeyFileError> {
        KeyPair::read(path, passphrase, Some(KeyAlg::Ed25519)).map(|opened| opened.map(Self::from_pair))
    }

    /// Writes a new key file of mode 0600; without a passphrase the seed lies in it as it is.
    ///
    /// An error leaves under that name what was there, or the whole file. Once this is `Ok` it survives a power loss.
    pub fn write(&self, path: &Path, passphrase: Option<&SecretString>) -> Result<(), KeyFileError> {
        self.pair.write(path, passphrase)
    }

    /// The key's id.
    pub const fn kid(&self) -> Kid {
        self.pair.kid
    }

    /// The public key.
    pub const fn pk(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.pk
    }

    /// What signs with it.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.pair.seed)
    }

    /// The seed, for signers that want it under a name of their own.
    pub fn seed(&self) -> &[u8; SEED_LEN] {
        &self.pair.seed
    }

    fn from_pair(pair: KeyPair) -> Self {
        let pk = (*pair.pk).try_into().expect("an Ed25519 public key has 32 bytes");
        Self { pair, pk }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({:?})", self.kid())
    }
}

impl<K> OpenedKey<K> {
    fn map<T>(self, make: impl FnOnce(K) -> T) -> OpenedKey<T> {
        OpenedKey { key: make(self.key), is_unencrypted: self.is_unencrypted, open_mode: self.open_mode }
    }
}

impl KeyPair {
    fn generate(alg: KeyAlg) -> Result<Self, KeyFileError> {
        let mut seed = Seed::default();
        getrandom::fill(&mut *seed).map_err(KeyFileError::NoRandomness)?;
        Ok(Self::from_seed(alg, &seed))
    }

    fn from_seed(alg: KeyAlg, seed: &[u8; SEED_LEN]) -> Self {
        let pk = alg.pk_of(seed);
        Self { alg, seed: Zeroizing::new(*seed), kid: alg.kid(&pk), pk }
    }

    fn read(
        path: &Path,
        passphrase: Option<&SecretString>,
        wanted: Option<KeyAlg>,
    ) -> Result<OpenedKey<Self>, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.into(), source };
        let refused = |fault| KeyFileError::Refused { path: path.into(), fault };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode();
        // Room for one byte too many from the start: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_LEN + 1));
        file.take(MAX_KEY_FILE_LEN as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() > MAX_KEY_FILE_LEN {
            return Err(refused(KeyFileFault::TooLong));
        }
        let members = Members::parse(&bytes).map_err(refused)?;
        let is_unencrypted = members.is_unencrypted();
        let key = members.key(passphrase, wanted).map_err(|error| error.at(path))?;
        Ok(OpenedKey { key, is_unencrypted, open_mode: (mode & OTHERS != 0).then_some(mode & 0o7777) })
    }

    fn write(&self, path: &Path, passphrase: Option<&SecretString>) -> Result<(), KeyFileError> {
        let members = match passphrase {
            Some(passphrase) => Members::sealed(self, passphrase)?,
            None => Members::unencrypted(self),
        };
        create_whole(path, &members.to_json())
    }
}

/// Creates a file whole: under a temporary name first, then linked, which unlike a rename never replaces a file.
fn create_whole(path: &Path, contents: &[u8]) -> Result<(), KeyFileError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
        _ => KeyFileError::Io { path: path.into(), source },
    };
    if path.symlink_metadata().is_ok() {
        return Err(KeyFileError::Exists { path: path.into() });
    }
    let name = path.file_name().ok_or_else(|| io(io::ErrorKind::InvalidInput.into()))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(KeyFileError::NoRandomness)?;
    let temporary = dir.join(format!(".{}.{}", name.display(), hex_encode(&salt)));
    let linked = write_new(&temporary, contents).and_then(|()| fs::hard_link(&temporary, path));
    // Nothing may stay under the temporary name, of a failed write either: it may hold the seed.
    let removed = fs::remove_file(&temporary);
    linked.and(removed).and_then(|()| File::open(dir)?.sync_all()).map_err(io)
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}
