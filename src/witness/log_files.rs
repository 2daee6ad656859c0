//! The files that list the logs, read again when they change.
//!
//! A path is a file, or a directory of files whose names do not begin with a dot. A change is seen by length, times and
//! file number, so put a new list in place by renaming: a file that is written where it lies may be read half-written. A
//! list that is wrong is read again when a file has changed. What the system refused is tried again by each call, that
//! file first, so that nothing else is read as long as it fails.

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
    /// The files as they were when they were looked at last, and what came of it; none where that was never, or they
    /// could not be looked at.
    seen: Option<(Vec<Stamp>, Found)>,
    /// The trouble that was told last, until there is none.
    told: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    /// A list, or one that is wrong: another look at the same files finds the same.
    Judged,
    /// This file could not be read.
    Unread(PathBuf),
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
        Self { paths, seen: None, told: None }
    }

    /// Reads the list, if it may have changed since the last call. An error is told once, and again where the files have
    /// changed.
    pub fn read_if_changed(&mut self) -> Result<Option<LogList>, LogFilesError> {
        self.look(|path| fs::read(path))
    }

    /// Reads the list, changed or not.
    pub fn read_again(&mut self) -> Result<Option<LogList>, LogFilesError> {
        (self.seen, self.told) = (None, None);
        self.read_if_changed()
    }

    fn look(&mut self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Option<LogList>, LogFilesError> {
        // Stamped before it is read: what changes meanwhile is seen by the next call.
        let stamps = match self.stamps() {
            Ok(stamps) => stamps,
            Err(error) => {
                self.seen = None;
                return self.tell(error);
            }
        };
        match &self.seen {
            Some((before, Found::Judged)) if *before == stamps => return Ok(None),
            Some((before, Found::Unread(path))) if *before == stamps => {
                if let Err(error) = read(path) {
                    let error = LogFilesError::Io(path.clone(), error);
                    return self.tell(error);
                }
            }
            Some(_) => self.told = None,
            None => {}
        }
        let result = Self::read(&stamps, read);
        let found = match &result {
            Err(LogFilesError::Io(path, _)) => Found::Unread(path.clone()),
            _ => Found::Judged,
        };
        self.seen = Some((stamps, found));
        match result {
            Ok(list) => {
                self.told = None;
                Ok(Some(list))
            }
            Err(error) => self.tell(error),
        }
    }

    fn tell(&mut self, error: LogFilesError) -> Result<Option<LogList>, LogFilesError> {
        let text = Some(error.to_string());
        if self.told == text {
            return Ok(None);
        }
        self.told = text;
        Err(error)
    }

    fn read(stamps: &[Stamp], read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<LogList, LogFilesError> {
        let (mut list, mut len) = (LogList::default(), 0);
        if stamps.iter().fold(0, |len: u64, stamp| len.saturating_add(stamp.len)) > MAX_LIST_LEN as u64 {
            return Err(LogFilesError::TooLong);
        }
        for Stamp { path, .. } in stamps {
            let text = read(path).map_err(|error| LogFilesError::Io(path.clone(), error))?;
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
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => files.push(path),
            // It was taken away meanwhile, or is none.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A list without its logs would be another list.
            Err(error) => return Err(error),
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
    use std::cell::{Cell, RefCell};

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
    fn a_wrong_list_is_read_and_told_once_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs.txt");
        let put = |text: &str| {
            let temporary = directory.path().join("new");
            fs::write(&temporary, text).unwrap();
            fs::rename(temporary, &path).unwrap();
        };
        put("# none\n");
        let mut files = LogFiles::new(vec![path.clone()]);
        assert!(files.read_if_changed().unwrap().is_some());
        let reads = Cell::new(0);
        let count = |path: &Path| {
            reads.set(reads.get() + 1);
            fs::read(path)
        };
        // The second one is as wrong as the first.
        for text in ["nonsense", "nonsense"] {
            put(text);
            reads.set(0);
            assert!(matches!(files.look(count), Err(LogFilesError::List(..))));
            for _ in 0..5 {
                assert!(files.look(count).unwrap().is_none());
            }
            assert_eq!(reads.get(), 1);
        }
        put("# none\n");
        assert!(files.look(count).unwrap().is_some());
    }

    #[test]
    fn while_a_file_cannot_be_read_no_other_is() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| directory.path().join(name));
        for path in &paths {
            fs::write(path, "# none\n").unwrap();
        }
        let mut files = LogFiles::new(vec![directory.path().to_owned()]);
        let read = RefCell::new(Vec::new());
        let fails = |path: &Path| {
            read.borrow_mut().push(path.to_owned());
            if path == paths[1] { Err(io::Error::other("the medium is away")) } else { fs::read(path) }
        };
        assert!(files.look(fails).is_err());
        assert_eq!(*read.borrow(), paths[..2]);
        read.borrow_mut().clear();
        for _ in 0..3 {
            assert!(files.look(fails).unwrap().is_none());
        }
        assert_eq!(*read.borrow(), vec![paths[1].clone(); 3]);
        assert!(files.read_if_changed().unwrap().is_some());
        assert!(files.read_if_changed().unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_left_out() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "# none\n").unwrap();
        let mut files = LogFiles::new(vec![directory.path().to_owned()]);
        assert!(files.read_if_changed().unwrap().is_some());
        // A link to itself.
        let b = directory.path().join("b");
        std::os::unix::fs::symlink(&b, &b).unwrap();
        assert!(matches!(files.read_if_changed(), Err(LogFilesError::Io(..))));
        assert!(files.read_if_changed().unwrap().is_none());
        fs::remove_file(&b).unwrap();
        assert!(files.read_if_changed().unwrap().is_some());
    }

    #[test]
    fn files_that_are_too_long_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs.txt");
        // It has no blocks on disk.
        fs::File::create(&path).unwrap().set_len(MAX_LIST_LEN as u64 + 1).unwrap();
        let mut files = LogFiles::new(vec![path]);
        let read = |_: &Path| panic!("it is read");
        assert!(matches!(files.look(read), Err(LogFilesError::TooLong)));
        assert!(files.look(read).unwrap().is_none());
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
