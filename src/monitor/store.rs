//! Where a monitor keeps what must survive it: named values, each replaced whole or not at all.
//!
//! ```text
//! lock                       one process holds a directory
//! <H(origin)>/memory         what was seen, found and told (`memory`)
//! <H(origin)>/replay         the state of the audit; may be deleted, the log is replayed anew
//! <H(origin)>/evidence/      evidence files
//! <H(origin)>/tile/          copies of hash tiles, so that evidence does not need the log; may be deleted
//! <H(origin)>/unproven/      such copies until a replay has come to the signed root; may be deleted
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::{Keep, StateError};

/// How a name ends until what is written under it is whole.
const NEW: &str = ".new";

/// Named values.
pub trait Store: Send + Sync {
    /// A value; `None` where there is none.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a value by these parts: whole or not at all, and durable once this returns.
    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()>;

    /// The same for what can be had again: it may be lost.
    fn copy(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Puts a copy into the place of another.
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.read(from)?.map_or(Ok(()), |bytes| self.copy(to, &bytes))
    }

    /// Names under a folder, without it, sorted; none where it is not there.
    fn names(&self, folder: &str) -> io::Result<Vec<String>>;

    /// How people find it.
    fn place(&self, name: &str) -> String;
}

/// A directory that one process holds.
#[derive(Clone, Debug)]
pub struct DirStore {
    dir: PathBuf,
    /// It goes when the last clone is dropped.
    lock: Arc<File>,
}

/// Values in memory, for simulations. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

/// Why a directory cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds it.
    InUse(PathBuf),
    /// The system refuses.
    Io(PathBuf, io::Error),
}

/// The value under a name, as the audit keeps its state.
pub(super) struct Kept<'a>(pub(super) &'a dyn Store, pub(super) &'static str);

impl DirStore {
    /// Takes hold of a directory, which is made if it is not there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let at = |error| StoreError::Io(dir.to_owned(), error);
        fs::create_dir_all(dir).map_err(at)?;
        let lock = File::options().create(true).write(true).truncate(false).open(dir.join("lock")).map_err(at)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { dir: dir.to_owned(), lock: Arc::new(lock) }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(dir.to_owned())),
            Err(error) => Err(at(error.into())),
        }
    }

    /// The values under a name of their own, in the same hold.
    pub fn under(&self, name: &str) -> io::Result<Self> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        sync_dir(&self.dir)?;
        Ok(Self { dir, lock: Arc::clone(&self.lock) })
    }

    fn put(&self, name: &str, parts: &[&[u8]], durable: bool) -> io::Result<()> {
        let path = self.dir.join(name);
        let folder = path.parent().unwrap_or(&self.dir);
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            sync_dir(&self.dir)?;
        }
        let mut temporary = path.clone().into_os_string();
        temporary.push(NEW);
        let mut file = File::create(&temporary)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, &path)?;
        if durable { sync_dir(folder) } else { Ok(()) }
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Store for DirStore {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        self.put(name, parts, true)
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, &[bytes], false)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.dir.join(to);
        fs::create_dir_all(to.parent().unwrap_or(&self.dir))?;
        fs::rename(self.dir.join(from), to)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.dir.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name().into_string().ok())).collect();
        // What a kill has left is none.
        let mut names: Vec<_> = names?.into_iter().flatten().filter(|name| !name.ends_with(NEW)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn place(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

impl Store for MemoryStore {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), parts.concat());
        Ok(())
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, &[bytes])
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = values.remove(from) {
            values.insert(to.into(), bytes);
        }
        Ok(())
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = values.keys().filter_map(|name| name.strip_prefix(folder)?.strip_prefix('/'));
        Ok(names.map(String::from).collect())
    }

    fn place(&self, name: &str) -> String {
        name.into()
    }
}

impl Keep for Kept<'_> {
    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.0.read(self.1).map_err(|error| StateError::Io(self.0.place(self.1).into(), error))
    }

    fn replace(&self, parts: &[&[u8]]) -> Result<(), StateError> {
        self.0.write(self.1, parts).map_err(|error| StateError::Io(self.0.place(self.1).into(), error))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "{} is in use by another monitor", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, memory) = (DirStore::open(dir.path()).unwrap(), MemoryStore::default());
        for store in [&dir as &dyn Store, &memory] {
            assert!(store.names("evidence").unwrap().is_empty());
            for name in ["memory", "evidence/b", "evidence/a", "evidences"] {
                store.write(name, &[b"1"]).unwrap();
            }
            assert_eq!(store.names("evidence").unwrap(), ["a", "b"]);
            store.rename("evidence/a", "away/a").unwrap();
            assert_eq!(store.names("evidence").unwrap(), ["b"]);
        }
        fs::write(dir.dir.join("evidence/c.new"), b"half").unwrap();
        assert_eq!(dir.names("evidence").unwrap(), ["b"], "what a kill has left is none");
    }
}
