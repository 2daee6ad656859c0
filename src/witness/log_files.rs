//! The files that list the logs, read again when they change.
//!
//! A path is a file, or a directory of files whose names do not begin with a dot. A change is seen by length, times and
//! file number, so put a new list in place by renaming: a file that is written where it lies may be read half-written.

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
    Trouble,
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

    /// Reads the list, if it may have changed since the last call; an error is told once a change.
    pub fn read_if_changed(&mut self) -> Result<Option<LogList>, LogFilesError> {
        let before = core::mem::replace(&mut self.seen, Seen::Trouble);
        let stamps = match self.stamps() {
            Ok(stamps) => Seen::Files(stamps),
            Err(_) if before == Seen::Trouble => return Ok(None),
            Err(error) => return Err(error),
        };
        // Stamped before it is read: what changes meanwhile is seen by the next call.
        let is_new = stamps != before;
        self.seen = stamps;
        if is_new { self.read().map(Some) } else { Ok(None) }
    }

    /// Reads the list.
    pub fn read(&self) -> Result<LogList, LogFilesError> {
        let (mut list, mut len) = (LogList::default(), 0);
        for path in self.files()? {
            let text = fs::read(&path).map_err(|error| LogFilesError::Io(path.clone(), error))?;
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
