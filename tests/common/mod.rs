//! What the integration tests share.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::PathBuf;

/// A file or folder of the shared reference material, or `None` where that is not at hand.
///
/// It lies beside the repository, or where `SOULCHAIN_SHARED` says.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let root = if beside.is_dir() { beside } else { PathBuf::from(std::env::var_os("SOULCHAIN_SHARED")?) };
    let found = root.join(path);
    found.exists().then_some(found)
}
