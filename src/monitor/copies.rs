//! Copies of the hash tiles that a log served while it was replayed: so that a log which has forked cannot hinder the proof
//! of it by no longer serving what it showed before.
//!
//! Of each tile the widest that was seen is kept. Nothing here is believed: every path made of copies is proven against a
//! signed root.

use super::store::Store;
use crate::audit::{Source, SourceError, TileBytes};
use crate::hash::HASH_LEN;
use crate::tlog::{TILE_WIDTH, TileId, TileKind};

/// A log that is read, and copied.
pub(super) struct Copying<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) store: &'a dyn Store,
}

/// Copies first, and then the log.
pub(super) struct Copies<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) store: &'a dyn Store,
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
            // A copy that cannot be kept is one that is not there.
            let _ = self.store.copy(&name(tile), bytes);
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
        if let (TileKind::Hashes(_), Ok(Some(mut bytes))) = (tile.kind(), self.store.read(&name(tile)))
            && bytes.len() >= len
        {
            bytes.truncate(len);
            return Ok(TileBytes::Bytes(bytes));
        }
        self.source.tile(tile)
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

/// One name for all widths.
fn name(tile: TileId) -> String {
    TileId::new(tile.kind(), tile.index(), TILE_WIDTH).expect("256 is a width").to_string()
}
