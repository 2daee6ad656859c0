//! The files that list the logs, read again when they change.
//!
//! A path is a file, or a directory of files whose names do not begin with a dot. A change is seen by length, times and
//! file number, so put a new list in place by renaming: a file that is written where it lies may be read half-written. What
//! could not be read is read again by the next call, changed or not.

use core::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::logs::{LogList, LogListError, MAX_LIST_LEN};

/// Files that list logs.
#[derive(Debug)]
pub struct LogFiles {
    paths: Vec<PathBuf>,
    seen: Seen,
}

#[derive(PartialEq, Eq, Debug)]
enum Seen {
    Nothing,
    /// It failed, and this is what was told of it.
    Trouble(String),
    Files(Vec<Stamp>),
}

/// Why the files give no list.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogFilesError {
    /// A file cannot be read.
    Io(PathBuf, io::Error),
    /// A file is no list of logs.
    List(PathBuf, LogListError),
    /// The files are too long.
    TooLong,
}

/// By what a change of a file is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stamp {
    path: PathBuf,
    len: u64,
    changed: (i64, i64),
    file: (u64, u64),
}

impl LogFiles {
    /// These files and directories.
    pub const fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: Seen::Nothing }
    }

    /// Reads the list, if it may have changed since the last call, or that failed; the same error is told once.
    pub fn read_if_changed(&mut self) -> Result<Option<LogList>, LogFilesError> {
        self.look(|path| fs::read(path))
    }

    /// Reads the list, changed or not.
    pub fn read_again(&mut self) -> Result<Option<LogList>, LogFilesError> {
        self.seen = Seen::Nothing;
        self.read_if_changed()
    }

    fn look(&mut self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Option<LogList>, LogFilesError> {
        match self.read_new(read) {
            Ok((stamps, list)) => {
                self.seen = Seen::Files(stamps);
                Ok(list)
            }
            Err(error) => {
                let told = Seen::Trouble(error.to_string());
                let is_news = self.seen != told;
                self.seen = told;
                if is_news { Err(error) } else { Ok(None) }
            }
        }
    }

    /// The list, where it is another than that of before.
    fn read_new(
        &self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(Vec<Stamp>, Option<LogList>), LogFilesError> {
        // Stamped before it is read: what changes meanwhile is seen by the next call.
        let stamps = self.stamps()?;
        let is_same = matches!(&self.seen, Seen::Files(before) if *before == stamps);
        let list = if is_same { None } else { Some(self.read(read)?) };
        Ok((stamps, list))
    }

    fn read(&self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<LogList, LogFilesError> {
        let (mut list, mut len) = (LogList::default(), 0);
        for path in self.files()? {
            let text = read(&path).map_err(|error| LogFilesError::Io(path.clone(), error))?;
            len += text.len();
            if len > MAX_LIST_LEN {
                return Err(LogFilesError::TooLong);
            }
            list.add(&text).map_err(|error| LogFilesError::List(path.clone(), error))?;
        }
        Ok(list)
    }

    fn files(&self) -> Result<Vec<PathBuf>, LogFilesError> {
        let mut files = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                let mut inside = visible(path).map_err(|error| LogFilesError::Io(path.clone(), error))?;
                inside.sort_unstable();
                files.append(&mut inside);
            } else {
                files.push(path.clone());
            }
        }
        Ok(files)
    }

    fn stamps(&self) -> Result<Vec<Stamp>, LogFilesError> {
        let stamp = |path: PathBuf| match fs::metadata(&path) {
            Ok(meta) => Ok(Stamp {
                len: meta.len(),
                changed: (meta.ctime(), meta.ctime_nsec()),
                file: (meta.dev(), meta.ino()),
                path,
            }),
            Err(error) => Err(LogFilesError::Io(path, error)),
        };
        self.files()?.into_iter().map(stamp).collect()
    }
}

fn visible(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

impl fmt::Display for LogFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::List(path, error) => write!(f, "{}: {error}", path.display()),
            Self::TooLong => f.write_str("the lists of logs are too long"),
        }
    }
}

impl std::error::Error for LogFilesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_read_again_though_nothing_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs.txt");
        fs::write(&path, "# none\n").unwrap();
        let mut files = LogFiles::new(vec![path]);
        let fails = |_: &Path| Err(io::Error::other("the medium is away"));
        assert!(matches!(files.look(fails), Err(LogFilesError::Io(..))));
        // It is told once, and tried again each time.
        assert!(files.look(fails).unwrap().is_none());
        assert!(files.read_if_changed().unwrap().is_some());
        assert!(files.read_if_changed().unwrap().is_none());
    }

    #[test]
    fn it_is_read_at_once_when_it_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs.txt");
        fs::write(&path, "# none\n").unwrap();
        let mut files = LogFiles::new(vec![path.clone()]);
        assert!(files.read_if_changed().unwrap().is_some());
        assert!(files.read_again().unwrap().is_some());
        assert!(files.read_if_changed().unwrap().is_none());
        // An error is told each time that somebody asks.
        fs::write(&path, "nonsense, and longer").unwrap();
        for _ in 0..2 {
            assert!(files.read_again().is_err());
            assert!(files.read_if_changed().unwrap().is_none());
        }
    }
}
