//! Copies of the hash tiles that a log served while it was replayed: so that a log which has forked cannot hinder the proof
//! of it by no longer serving what it showed before.
//!
//! Of each tile the widest that was seen is kept. Nothing here is believed: every path made of copies is proven against a
//! signed root.

use std::sync::{Mutex, PoisonError};

use super::store::Store;
use crate::audit::{Source, SourceError, TileBytes};
use crate::hash::HASH_LEN;
use crate::merkle::TreeSize;
use crate::tlog::{TILE_WIDTH, TileId, TileKind};

/// A log that is read, and copied. A copy counts once the replay that made it has come to the signed root ([`promote`]): what
/// a log serves beside its tree must not take the place of what it served before.
pub(super) struct Copying<'a> {
    source: &'a dyn Source,
    store: &'a dyn Store,
    staged: Mutex<Vec<String>>,
}

/// Copies first, and then the log.
pub(super) struct Copies<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) store: &'a dyn Store,
}

/// A log that has a tree of this size, as it was when it was smaller: partial tiles are taken from those that it has now.
pub(super) struct Grown<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) size: TreeSize,
}

impl<'a> Copying<'a> {
    pub(super) fn new(source: &'a dyn Source, store: &'a dyn Store) -> Self {
        Self { source, store, staged: Mutex::default() }
    }

    /// Names of the copies that were made.
    pub(super) fn staged(self) -> Vec<String> {
        self.staged.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a copy count.
pub(super) fn promote(store: &dyn Store, name: &str) {
    // A copy that cannot be kept is one that is not there.
    let _ = store.rename(&staged(name), name);
}

fn staged(name: &str) -> String {
    format!("unproven/{name}")
}

impl Source for Copying<'_> {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.source.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        let served = self.source.tile(tile)?;
        if let (TileKind::Hashes(_), TileBytes::Bytes(bytes)) = (tile.kind(), &served)
            && bytes.len() == usize::from(tile.width()) * HASH_LEN
        {
            let name = name(tile);
            if self.store.copy(&staged(&name), bytes).is_ok() {
                self.staged.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            }
        }
        Ok(served)
    }

    fn fetches_at_once(&self) -> usize {
        self.source.fetches_at_once()
    }
}

impl Source for Copies<'_> {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.source.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        let len = usize::from(tile.width()) * HASH_LEN;
        if let TileKind::Hashes(_) = tile.kind() {
            let name = name(tile);
            let mut copies =
                [staged(&name), name].into_iter().rev().filter_map(|name| self.store.read(&name).ok().flatten());
            if let Some(mut bytes) = copies.find(|bytes| bytes.len() >= len) {
                bytes.truncate(len);
                return Ok(TileBytes::Bytes(bytes));
            }
        }
        self.source.tile(tile)
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

impl Source for Grown<'_> {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.source.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        let first = tile.index() * u64::from(TILE_WIDTH);
        let now = TileId::holding(tile.kind(), first, self.size).unwrap_or(tile);
        let mut served = self.source.tile(now)?;
        if served == TileBytes::Missing && now.is_partial() {
            let full = TileId::new(now.kind(), now.index(), TILE_WIDTH).expect("256 is a width");
            served = self.source.tile(full)?;
        }
        // Of a bundle, what comes after the entries that are asked for is not looked at.
        if let (TileKind::Hashes(_), TileBytes::Bytes(bytes)) = (tile.kind(), &mut served) {
            bytes.truncate(usize::from(tile.width()) * HASH_LEN);
        }
        Ok(served)
    }

    fn fetches_at_once(&self) -> usize {
        self.source.fetches_at_once()
    }
}

/// One name for all widths.
fn name(tile: TileId) -> String {
    TileId::new(tile.kind(), tile.index(), TILE_WIDTH).expect("256 is a width").to_string()
}
