//! The checkpoints that a mirror must not forget: each a file of its own in `mirror/`, a signed note as it is served.
//!
//! | file | what |
//! |---|---|
//! | `upstream` | the newest that the log showed at `/checkpoint` and the policy accepts |
//! | `pending` | the newest that a client added: entries are proven to be in it before they are in the copy |
//! | `checkpoint` | the newest that the mirror has cosigned, with that cosignature |
//!
//! A file is replaced whole: temporary file, fsync, rename, fsync of the folder. A crash leaves the old or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::tlog::SignedCheckpoint;

/// Which checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Upstream,
    Pending,
    Mirrored,
}

impl Kept {
    const fn file(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Pending => "pending",
            Self::Mirrored => "checkpoint",
        }
    }
}

/// The folder with the files.
#[derive(Clone, Debug)]
pub(super) struct Notes(PathBuf);

/// A file, and what went wrong with it.
pub(super) type NotesError = (PathBuf, io::Error);

impl Notes {
    /// The folder in a data directory; made if it is not there.
    pub(super) fn open(data: &Path) -> Result<Self, NotesError> {
        let folder = data.join("mirror");
        let made = if folder.is_dir() { Ok(()) } else { fs::create_dir(&folder).and_then(|()| sync_folder(data)) };
        made.map_err(|error| (folder.clone(), error))?;
        Ok(Self(folder))
    }

    /// Reads a checkpoint; who signed it is not judged here.
    pub(super) fn read(&self, kept: Kept) -> Result<Option<SignedCheckpoint>, NotesError> {
        let path = self.0.join(kept.file());
        match fs::read(&path) {
            Ok(bytes) => match SignedCheckpoint::parse(&bytes) {
                Ok(checkpoint) => Ok(Some(checkpoint)),
                Err(error) => Err((path, io::Error::other(format!("it holds no checkpoint: {error}")))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err((path, error)),
        }
    }

    /// Replaces a checkpoint. When this returns it is durable.
    pub(super) async fn write(&self, kept: Kept, checkpoint: &SignedCheckpoint) -> Result<(), NotesError> {
        let (folder, note) = (self.0.clone(), checkpoint.to_string());
        let path = folder.join(kept.file());
        let named = path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&folder, &path, note.as_bytes())).await;
        written.map_err(io::Error::other).flatten().map_err(|error| (named, error))
    }
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
