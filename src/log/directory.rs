//! The data directory of a log: made whole or not at all, and held by one process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::open::{Storage, create};
use crate::storage::{ChecksumKey, Disk, FileBlobs, FileJournal, FjallViews, OsDisk, SEGMENT_LEN, StorageError, Views};

pub(crate) const ORIGIN: &str = "origin.json";
const LOCK: &str = "lock";
pub(crate) const JOURNAL_KEY: &str = "journal/key";

/// Which log a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginFile {
    /// Version of the directory's layout: 1.
    pub v: u32,
    /// The origin line of its checkpoints.
    pub origin: String,
    /// The keys that sign them: the log key first, then the instant key, and the log's ML-DSA-44 key if it has one.
    pub vkeys: Vec<String>,
}

/// Why a directory could not be made or opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The system refused.
    Io(PathBuf, io::Error),
    /// Another process has it open.
    InUse(PathBuf),
    /// `origin.json` cannot be read.
    Origin(PathBuf, String),
    /// Storage refused.
    Storage(StorageError),
}

impl std::fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::InUse(path) => write!(f, "{} is in use by another process; stop that one first", path.display()),
            Self::Origin(path, what) => {
                write!(f, "{} is damaged ({what}); restore it from a backup", path.join(ORIGIN).display())
            }
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DirectoryError {}

impl From<StorageError> for DirectoryError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A data directory that this process holds.
pub struct Directory {
    path: PathBuf,
    origin: OriginFile,
    disk: Arc<dyn Disk>,
    /// The lock goes when this is closed.
    _lock: File,
}

impl Directory {
    /// Whether there is a log here.
    pub fn exists(path: &Path) -> bool {
        path.join(ORIGIN).exists()
    }

    /// Makes a directory with an empty log: under a temporary name, which `fill` may add files to, and then renamed, so
    /// that a crash leaves no half of it.
    pub fn create(
        path: &Path,
        origin: &OriginFile,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), DirectoryError> {
        Self::create_with(path, origin, fill, |storage| Ok(create(storage)?))
    }

    /// The same with a log that `write` puts into the storage, its manifest last.
    pub(crate) fn create_with<E: From<DirectoryError>>(
        path: &Path,
        origin: &OriginFile,
        fill: impl FnOnce(&Path) -> io::Result<()>,
        write: impl FnOnce(&Storage) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let temporary = PathBuf::from(name);
        let storage = begin(&temporary, origin, fill)?;
        write(&storage)?;
        storage.blobs.barrier().map_err(DirectoryError::from)?;
        fs::rename(&temporary, path).map_err(|error| DirectoryError::Io(path.to_owned(), error))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        Ok(synced.map_err(|e| DirectoryError::Io(parent.to_owned(), e))?)
    }

    /// Takes hold of a directory.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let at = |error| DirectoryError::Io(path.to_owned(), error);
        let origin = Self::read_origin(path)?;
        let lock = File::options().create(true).write(true).truncate(false).open(path.join(LOCK)).map_err(at)?;
        Self::hold(path, origin, lock)
    }

    /// Takes hold of a directory that nothing is to be written to. Where nobody ever took hold of it there is no lock, and
    /// none is made.
    pub fn open_to_look(path: &Path) -> Result<Self, DirectoryError> {
        let at = |error| DirectoryError::Io(path.to_owned(), error);
        let origin = Self::read_origin(path)?;
        let lock = match File::open(path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(path),
            lock => lock,
        };
        Self::hold(path, origin, lock.map_err(at)?)
    }

    fn hold(path: &Path, origin: OriginFile, lock: File) -> Result<Self, DirectoryError> {
        let at = |error| DirectoryError::Io(path.to_owned(), error);
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let disk = Arc::new(OsDisk::open(path).map_err(at)?);
                Ok(Self { path: path.to_owned(), origin, disk, _lock: lock })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DirectoryError::InUse(path.to_owned())),
            Err(error) => Err(at(error.into())),
        }
    }

    /// The same directory with its storage on another disk than the system's: a double for tests.
    #[must_use]
    pub fn with_disk(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    /// Reads which log a directory holds, without taking hold of it.
    pub(crate) fn read_origin(path: &Path) -> Result<OriginFile, DirectoryError> {
        let json = fs::read(path.join(ORIGIN)).map_err(|error| DirectoryError::Io(path.to_owned(), error))?;
        let origin: OriginFile =
            serde_json::from_slice(&json).map_err(|e| DirectoryError::Origin(path.to_owned(), e.to_string()))?;
        match origin.v {
            1 => Ok(origin),
            v => Err(DirectoryError::Origin(path.to_owned(), format!("version {v} is not known"))),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its files are.
    pub const fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Which log it holds.
    pub fn origin(&self) -> &OriginFile {
        &self.origin
    }

    /// Its storage, with views on the default store.
    pub fn storage(&self) -> Result<Storage, DirectoryError> {
        self.storage_in("views", |path| Ok(Arc::new(FjallViews::open(path)?)))
    }

    /// Its storage, with views on sled.
    #[cfg(feature = "sled")]
    pub fn storage_on_sled(&self) -> Result<Storage, DirectoryError> {
        self.storage_in("views-sled", |path| Ok(Arc::new(crate::storage::SledViews::open(path)?)))
    }

    fn storage_in(
        &self,
        folder: &str,
        open: impl Fn(&Path) -> Result<Arc<dyn Views>, StorageError>,
    ) -> Result<Storage, DirectoryError> {
        let path = self.path.join(folder);
        let views = match open(&path) {
            Ok(views) => views,
            Err(error) => {
                // They are derived: what cannot be opened is made anew.
                tracing::warn!(%error, "the views cannot be opened and are rebuilt");
                fs::remove_dir_all(&path).map_err(|e| DirectoryError::Io(path.clone(), e))?;
                open(&path)?
            }
        };
        self.storage_with(views)
    }

    /// Its storage, with views elsewhere.
    pub fn storage_with(&self, views: Arc<dyn Views>) -> Result<Storage, DirectoryError> {
        let at = |error| DirectoryError::Io(self.path.join(JOURNAL_KEY), error);
        let key = fs::read(self.path.join(JOURNAL_KEY)).map_err(at)?;
        let key = key.try_into().map_err(|_| at(io::Error::other("it does not hold 32 bytes")))?;
        Ok(storage_on(Arc::clone(&self.disk), key, views))
    }
}

/// Makes everything of a new directory but its log.
fn begin(
    temporary: &Path,
    origin: &OriginFile,
    fill: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<Storage, DirectoryError> {
    let at = |error| DirectoryError::Io(temporary.to_owned(), error);
    if temporary.exists() {
        fs::remove_dir_all(temporary).map_err(at)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(temporary.join("journal")).map_err(at)?;
    fill(temporary).map_err(at)?;
    let json = serde_json::to_vec_pretty(origin).map_err(|e| at(e.into()))?;
    fs::write(temporary.join(ORIGIN), json).map_err(at)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| at(io::Error::other(e)))?;
    write_private(&temporary.join(JOURNAL_KEY), &key).map_err(at)?;
    let disk = Arc::new(OsDisk::open(temporary).map_err(at)?);
    Ok(storage_on(disk, key, Arc::new(crate::storage::MemoryViews::default())))
}

fn storage_on(disk: Arc<dyn Disk>, key: [u8; 32], views: Arc<dyn Views>) -> Storage {
    Storage {
        blobs: Arc::new(FileBlobs::new(Arc::clone(&disk))),
        journal: Box::new(FileJournal::new(disk, ChecksumKey::new(key), SEGMENT_LEN)),
        views,
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, bytes)
}
