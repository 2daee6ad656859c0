//! The entries of a bundle, from bytes that nobody believes to entries that are ready for replay.
//!
//! What is wrong with the files is noted and the rest is used: an empty entry stays an entry (replay refuses it), and of a
//! bundle that breaks off what comes before is judged.

use super::finding::{Finding, TileFault};
use super::source::{Source, SourceError, TileBytes};
use crate::ed25519::PublicKey;
use crate::encoding::Reader;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::Prepared;
use crate::soul::{Kid, LogId};
use crate::tlog::{TILE_WIDTH, TileId, TileKind, decode_hashes};

/// A file as it is served: under its own path, or cut from the full one (tlog-tiles, "Partial Tiles").
pub(super) struct Served {
    pub(super) tile: TileId,
    bytes: TileBytes,
    is_cut: bool,
}

/// A bundle and the tile of its leaves, as they are served.
pub(super) struct RawBatch {
    bundle: Served,
    leaves: Served,
}

/// The entries of a bundle.
pub(super) struct Batch {
    pub(super) bundle: TileId,
    /// Those that are there, from the first on.
    pub(super) entries: Vec<Prepared>,
    /// The hashes of its leaves as the tile says, where that can be read.
    pub(super) leaves: Option<Vec<Hash>>,
    pub(super) findings: Vec<Finding>,
    /// Bytes that it took to download.
    pub(super) len: usize,
}

impl Served {
    pub(super) fn fetch(source: &dyn Source, tile: TileId) -> Result<Self, SourceError> {
        let bytes = source.tile(tile)?;
        if bytes == TileBytes::Missing
            && tile.is_partial()
            && let Some(full) = TileId::new(tile.kind(), tile.index(), TILE_WIDTH)
        {
            let bytes = source.tile(full)?;
            return Ok(Self { tile, is_cut: bytes != TileBytes::Missing, bytes });
        }
        Ok(Self { tile, bytes, is_cut: false })
    }

    /// The hashes of a tile, or why there are none.
    pub(super) fn hashes(&self) -> Result<Vec<Hash>, TileFault> {
        let bytes = self.bytes()?;
        let width = if self.is_cut { TILE_WIDTH } else { self.tile.width() };
        let hashes = decode_hashes(bytes, width).map_err(|_| TileFault::Length { found: Some(bytes.len()) });
        hashes.map(|mut hashes| {
            hashes.truncate(usize::from(self.tile.width()));
            hashes
        })
    }

    fn bytes(&self) -> Result<&[u8], TileFault> {
        match &self.bytes {
            TileBytes::Bytes(bytes) => Ok(bytes),
            TileBytes::TooLong => Err(TileFault::Length { found: None }),
            TileBytes::Missing => Err(TileFault::Missing),
        }
    }

    fn len(&self) -> usize {
        self.bytes().map_or(0, <[u8]>::len)
    }

    /// The entries of a bundle, and what is wrong with it.
    pub(super) fn entries(&self) -> (Vec<&[u8]>, Option<TileFault>) {
        let mut rest = match self.bytes() {
            Ok(bytes) => Reader::new(bytes),
            Err(fault) => return (Vec::new(), Some(fault)),
        };
        let width = usize::from(self.tile.width());
        let mut entries = Vec::with_capacity(width);
        while entries.len() < width {
            let next = self.index(entries.len());
            if rest.is_empty() {
                return (entries.clone(), Some(TileFault::Count { found: entries.len(), first: next }));
            }
            match rest.u16().and_then(|len| rest.take(usize::from(len))) {
                Some(entry) => entries.push(entry),
                None => return (entries, Some(TileFault::CutOff(next))),
            }
        }
        let more = !rest.is_empty() && !self.is_cut;
        let fault = more.then(|| TileFault::Count { found: width + 1, first: self.index(width) });
        (entries, fault)
    }

    const fn index(&self, at: usize) -> LeafIndex {
        LeafIndex::new(self.tile.first() + at as u64)
    }
}

impl RawBatch {
    /// Fetches the bundle of this number in a tree.
    pub(super) fn fetch(source: &dyn Source, number: u64, size: TreeSize) -> Result<Self, SourceError> {
        let tile = |kind| {
            let first = number * u64::from(TILE_WIDTH);
            TileId::holding(kind, first, size).expect("bundles are asked for up to the size of the tree")
        };
        let bundle = Served::fetch(source, tile(TileKind::Entries))?;
        Ok(Self { bundle, leaves: Served::fetch(source, tile(TileKind::Hashes(0)))? })
    }

    pub(super) fn len(&self) -> usize {
        self.bundle.len() + self.leaves.len()
    }

    /// Reads and hashes the entries.
    pub(super) fn prepare(&self, log_id: LogId) -> Batch {
        let bundle = self.bundle.tile;
        let (entries, fault) = self.bundle.entries();
        let mut findings: Vec<_> = fault.map(|fault| Finding::Tile { tile: bundle, fault }).into_iter().collect();
        let entries: Vec<_> = entries.into_iter().map(|entry| Prepared::read(entry, log_id)).collect();
        let leaves = self.leaves.hashes();
        match &leaves {
            Err(fault) => findings.push(Finding::Tile { tile: self.leaves.tile, fault: *fault }),
            Ok(leaves) => findings.extend(entries.iter().zip(leaves).enumerate().filter_map(|(at, (entry, leaf))| {
                let fault = TileFault::Leaf(self.bundle.index(at));
                (entry.leaf_hash() != *leaf).then_some(Finding::Tile { tile: bundle, fault })
            })),
        }
        Batch { bundle, entries, leaves: leaves.ok(), findings, len: self.len() }
    }
}

impl Batch {
    /// Tries the signatures of its links.
    pub(super) fn try_signatures(&mut self, keys: impl Fn(&Kid) -> Option<PublicKey>) {
        for entry in &mut self.entries {
            entry.try_signature(&keys);
        }
    }

    /// Whether neither entries nor hashes are there.
    pub(super) fn is_nothing(&self) -> bool {
        self.entries.is_empty() && self.leaves.is_none()
    }

    /// The hash of each leaf: of the entry, or where that is not there, as the tile says.
    pub(super) fn leaf_hash(&self, at: usize) -> Option<Hash> {
        let of_entry = self.entries.get(at).map(Prepared::leaf_hash);
        of_entry.or_else(|| self.leaves.as_ref().and_then(|leaves| leaves.get(at).copied()))
    }
}
