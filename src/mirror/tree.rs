//! The tree of a checkpoint, read from the tiles that the log serves.
//!
//! Nothing is believed: the right edge has to lead to the checkpoint's root, every other tile to its place in the tile
//! above, and a bundle to its place in the tree. So a bundle is proven before it is kept, in memory that does not grow
//! with the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::error::Trouble;
use crate::audit::{Source, TileBytes};
use crate::hash::Hash;
use crate::log::Entry;
use crate::merkle::verify_consistency;
use crate::merkle::{NodeId, TILE_HEIGHT, TreeSize, consistency_plan, root_of_perfect, root_plan, tile_of};
use crate::tlog::{Checkpoint, TILE_WIDTH, TileId, TileKind, decode_hashes, parse_bundle, right_edge};

/// Proven tiles that are kept: those above the bundles that are being fetched, many times over.
const TILES_KEPT: usize = 64;

/// The proven tree of a checkpoint.
pub(super) struct Tree<'a> {
    source: &'a dyn Source,
    size: TreeSize,
    root: Hash,
    /// The partial tile of each level that has one.
    edge: HashMap<u8, Arc<Vec<Hash>>>,
    tiles: Mutex<Tiles>,
}

/// Proven whole tiles, by level and index.
type Tiles = HashMap<(u8, u64), Arc<Vec<Hash>>>;

/// A bundle as it came: hashed, not yet proven.
pub(super) struct Fetched {
    number: u64,
    entries: Vec<Entry>,
}

impl<'a> Tree<'a> {
    /// Reads the right edge of a checkpoint's tree and holds it against the root.
    pub(super) fn open(source: &'a dyn Source, checkpoint: &Checkpoint) -> Result<Self, Trouble> {
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let mut edge = HashMap::new();
        for tile in right_edge(size) {
            let TileKind::Hashes(level) = tile.kind() else { continue };
            edge.insert(level, Arc::new(fetch_hashes(source, tile)?));
        }
        let node = |node| {
            let span = tile_of(node);
            edge.get(&span.tile_level).and_then(|tile| span.hash(tile)).ok_or(())
        };
        if root_plan(size).root(node) != Ok(root) {
            return Err(Trouble::Refused(format!(
                "the tiles at the edge of the log do not lead to its root at {size}"
            )));
        }
        Ok(Self { source, size, root, edge, tiles: Mutex::default() })
    }

    /// Whether this tree continues an earlier one.
    pub(super) fn continues(&self, size: TreeSize, root: &Hash) -> Result<bool, Trouble> {
        if size == self.size {
            return Ok(*root == self.root);
        }
        let Some(plan) = consistency_plan(size, self.size) else { return Ok(false) };
        let path = plan.path(|node| self.node(node))?;
        Ok(verify_consistency(size, self.size, root, &self.root, &path).is_ok())
    }

    /// Fetches a bundle and hashes its entries.
    pub(super) fn fetch(&self, number: u64) -> Result<Fetched, Trouble> {
        let first = number << TILE_HEIGHT;
        let tile = TileId::holding(TileKind::Entries, first, self.size).ok_or_else(|| misses(first, self.size))?;
        let bytes = Bytes::from(fetch(self.source, tile)?);
        let no_bundle = || Trouble::Refused(format!("{tile} is no bundle of {} entries", tile.width()));
        let entries = parse_bundle(&bytes).map_err(|_| no_bundle())?;
        let entries = entries.into_iter().map(|entry| Entry::new(bytes.slice_ref(entry)));
        let mut entries = entries.collect::<Option<Vec<_>>>().ok_or_else(no_bundle)?;
        // A partial one may have been cut from the full one.
        if entries.len() < usize::from(tile.width())
            || !(entries.len() == usize::from(tile.width()) || tile.is_partial())
        {
            return Err(no_bundle());
        }
        entries.truncate(usize::from(tile.width()));
        Ok(Fetched { number, entries })
    }

    /// The entries of a bundle, if they are those of the tree.
    pub(super) fn prove(&self, fetched: Fetched) -> Result<Vec<Entry>, Trouble> {
        let Fetched { number, entries } = fetched;
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let is_proven = if leaves.len() == usize::from(TILE_WIDTH) {
            let node = NodeId { level: TILE_HEIGHT, index: number };
            self.node(node)? == root_of_perfect(&leaves)
        } else {
            self.edge.get(&0).is_some_and(|edge| **edge == leaves)
        };
        if is_proven {
            Ok(entries)
        } else {
            let first = number << TILE_HEIGHT;
            let what =
                format!("entries {first} to {} are not those that the log has signed", first + leaves.len() as u64);
            Err(Trouble::Refused(what))
        }
    }

    fn node(&self, node: NodeId) -> Result<Hash, Trouble> {
        let span = tile_of(node);
        let tile = self.hashes(span.tile_level, span.tile_index)?;
        span.hash(&tile).ok_or_else(|| misses(node.index, self.size))
    }

    /// The hashes of a tile, proven.
    fn hashes(&self, level: u8, index: u64) -> Result<Arc<Vec<Hash>>, Trouble> {
        let kind = TileKind::Hashes(level);
        let tile = TileId::holding(kind, index << TILE_HEIGHT, self.size);
        let tile = tile.ok_or_else(|| misses(index << TILE_HEIGHT, self.size))?;
        if tile.is_partial() {
            let edge = self.edge.get(&level).ok_or_else(|| misses(tile.first(), self.size))?;
            return Ok(Arc::clone(edge));
        }
        let known = || self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tile) = known().get(&(level, index)) {
            return Ok(Arc::clone(tile));
        }
        let above = self.hashes(level + 1, index >> TILE_HEIGHT)?;
        let place = (index & ((1 << TILE_HEIGHT) - 1)) as usize;
        let hashes = Arc::new(fetch_hashes(self.source, tile)?);
        if above.get(place) != Some(&root_of_perfect(&hashes)) {
            return Err(Trouble::Refused(format!("{tile} does not lead to the root that the log has signed")));
        }
        let mut tiles = known();
        if tiles.len() >= TILES_KEPT {
            tiles.clear();
        }
        tiles.insert((level, index), Arc::clone(&hashes));
        Ok(hashes)
    }
}

/// What cannot be asked of a tree of this size.
fn misses(number: u64, size: TreeSize) -> Trouble {
    Trouble::Refused(format!("a tree of size {size} has no place for {number}"))
}

fn fetch_hashes(source: &dyn Source, tile: TileId) -> Result<Vec<Hash>, Trouble> {
    let bytes = fetch(source, tile)?;
    let width = usize::from(tile.width());
    let whole = decode_hashes(&bytes, tile.width());
    let cut = || decode_hashes(&bytes, TILE_WIDTH).ok().filter(|_| tile.is_partial());
    let mut hashes = whole.ok().or_else(cut).ok_or_else(|| Trouble::Refused(format!("{tile} has another length")))?;
    hashes.truncate(width);
    Ok(hashes)
}

/// The bytes of a tile, or of the full one where a partial one is gone (tlog-tiles, "Partial Tiles").
fn fetch(source: &dyn Source, tile: TileId) -> Result<Vec<u8>, Trouble> {
    let mut served = source.tile(tile)?;
    if served == TileBytes::Missing
        && tile.is_partial()
        && let Some(full) = TileId::new(tile.kind(), tile.index(), TILE_WIDTH)
    {
        served = source.tile(full)?;
    }
    match served {
        TileBytes::Bytes(bytes) => Ok(bytes),
        TileBytes::Missing => Err(Trouble::Refused(format!("the log does not serve {tile}"))),
        TileBytes::TooLong => Err(Trouble::Refused(format!("{tile} is longer than any such file"))),
    }
}
