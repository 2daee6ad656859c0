//! A folder for what is needed as long as a check runs, away from the data that is checked.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::encoding::hex_encode;

/// A folder of this process alone, in the system's place for temporary files. It goes with the value.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> io::Result<Self> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("soulchain-{}", hex_encode(&name)));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Copies a folder with all that is in it to a place in this one.
    pub(crate) fn copy(&self, from: &Path, name: &str) -> io::Result<PathBuf> {
        let to = self.path.join(name);
        copy_folder(from, &to)?;
        Ok(to)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in a place for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            // The bytes alone: a file that may not be written to becomes one that may.
            io::copy(&mut fs::File::open(entry.path())?, &mut fs::File::create(&to)?)?;
        }
    }
    Ok(())
}
