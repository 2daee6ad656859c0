//! The checkpoints that a mirror must not forget: each a file of its own in `mirror/`, a signed note as it is served.
//!
//! | file | what |
//! |---|---|
//! | `upstream` | the newest that the log showed at `/checkpoint` and the policy accepts |
//! | `pending` | the newest that a client added: entries are proven to be in it before they are in the copy |
//! | `checkpoint` | the newest that the mirror has cosigned, with that cosignature |
//!
//! A file is replaced whole: temporary file, fsync, rename, fsync of the folder. A crash leaves the old or the new one. The
//! folder itself is made by whoever has the directory.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::storage::{Blobs as _, Disk, FileBlobs};
use crate::tlog::SignedCheckpoint;

/// The folder with the files.
pub(super) const FOLDER: &str = "mirror";

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
            Self::Upstream => "mirror/upstream",
            Self::Pending => "mirror/pending",
            Self::Mirrored => "mirror/checkpoint",
        }
    }
}

/// The files, below a data directory.
#[derive(Clone)]
pub(super) struct Notes(Arc<FileBlobs>);

/// A file, and what went wrong with it.
pub(super) type NotesError = (PathBuf, io::Error);

impl Notes {
    /// Those on the disk of a data directory.
    pub(super) fn on(disk: Arc<dyn Disk>) -> Self {
        Self(Arc::new(FileBlobs::new(disk)))
    }

    /// Reads a checkpoint; who signed it is not judged here.
    pub(super) fn read(&self, kept: Kept) -> Result<Option<SignedCheckpoint>, NotesError> {
        let at = |error| (PathBuf::from(kept.file()), error);
        let Some(bytes) = self.0.read(kept.file()).map_err(|error| at(io::Error::other(error)))? else {
            return Ok(None);
        };
        let read = SignedCheckpoint::parse(&bytes);
        read.map(Some).map_err(|error| at(io::Error::other(format!("it holds no checkpoint: {error}"))))
    }

    /// Replaces a checkpoint. When this returns it is durable.
    pub(super) async fn write(&self, kept: Kept, checkpoint: &SignedCheckpoint) -> Result<(), NotesError> {
        let (blobs, note) = (Arc::clone(&self.0), checkpoint.to_string());
        let written = tokio::task::spawn_blocking(move || blobs.commit(kept.file(), note.as_bytes())).await;
        let written = written.map_err(io::Error::other).and_then(|written| written.map_err(io::Error::other));
        written.map_err(|error| (PathBuf::from(kept.file()), error))
    }
}
