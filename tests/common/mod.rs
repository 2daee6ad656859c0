//! What several test files need.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::path::{Path, PathBuf};

/// A file of the shared vectors, which lie beside the package or where `SOULCHAIN_SHARED` says; `None` if it is not there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = if beside.is_dir() { beside } else { PathBuf::from(std::env::var_os("SOULCHAIN_SHARED")?) };
    Some(root.join(path)).filter(|file| file.exists())
}
