//! What it takes to show to others where something is in a log, from its tiles; each path is proven before it is handed out.

use super::batch::Served;
use super::source::{Source, SourceError, TileBytes};
use crate::hash::Hash;
use crate::merkle::{
    LeafIndex, NodeId, TreeSize, consistency_plan, inclusion_plan, leaf_hash, root_plan, tile_of, verify_consistency,
    verify_inclusion,
};
use crate::tlog::{TILE_WIDTH, TileId, TileKind};

/// A log as of a checkpoint of it, whichever it has published since.
pub struct AtCheckpoint<'a> {
    /// Its files.
    pub source: &'a dyn Source,
    /// The checkpoint's note.
    pub note: Vec<u8>,
}

impl Source for AtCheckpoint<'_> {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.note.clone())
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        self.source.tile(tile)
    }

    fn fetches_at_once(&self) -> usize {
        self.source.fetches_at_once()
    }
}

/// The root that a tree has at an earlier size, and the consistency path from there; `None` where the tiles that are served
/// do not show it.
pub fn consistency(
    source: &dyn Source,
    old: TreeSize,
    (size, root): (TreeSize, Hash),
) -> Result<Option<(Hash, Vec<Hash>)>, SourceError> {
    if old == size {
        return Ok(Some((root, Vec::new())));
    }
    let Some(plan) = consistency_plan(old, size) else { return Ok(None) };
    let mut tiles = Tiles { source, size, last: None };
    let roots = root_plan(old);
    let (Some(peaks), Some(nodes)) = (tiles.hashes(roots.nodes())?, tiles.hashes(plan.nodes())?) else {
        return Ok(None);
    };
    let (mut peaks, mut nodes) = (peaks.into_iter(), nodes.into_iter());
    let old_root = roots.root(|_| peaks.next().ok_or(()));
    let path = plan.path(|_| nodes.next().ok_or(()));
    let (Ok(old_root), Ok(path)) = (old_root, path) else { return Ok(None) };
    let is_shown = verify_consistency(old, size, &old_root, &root, &path).is_ok();
    Ok(is_shown.then_some((old_root, path)))
}

/// The inclusion path of an entry; `None` where the tiles that are served do not show it.
pub fn inclusion(
    source: &dyn Source,
    index: LeafIndex,
    entry: &[u8],
    (size, root): (TreeSize, Hash),
) -> Result<Option<Vec<Hash>>, SourceError> {
    let Some(plan) = inclusion_plan(index, size) else { return Ok(None) };
    let mut tiles = Tiles { source, size, last: None };
    let Some(nodes) = tiles.hashes(plan.nodes())? else { return Ok(None) };
    let mut nodes = nodes.into_iter();
    let Ok(path) = plan.path(|_| nodes.next().ok_or(())) else { return Ok(None) };
    let is_shown = verify_inclusion(&leaf_hash(entry), index, size, &path, &root).is_ok();
    Ok(is_shown.then_some(path))
}

/// Entries of a tree from one place on, in order, for as long as `take` wants more; fewer where they are not served.
pub fn entries(
    source: &dyn Source,
    first: LeafIndex,
    size: TreeSize,
    mut take: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), SourceError> {
    let width = u64::from(TILE_WIDTH);
    let mut index = first.get();
    while let Some(tile) = TileId::holding(TileKind::Entries, index, size) {
        let bundle = Served::fetch(source, tile)?;
        let (entries, _) = bundle.entries();
        let skip = (index % width) as usize;
        if !entries.iter().skip(skip).all(|entry| take(entry.to_vec())) || entries.len() < usize::from(tile.width()) {
            return Ok(());
        }
        index = tile.first() + width;
    }
    Ok(())
}

/// The hash tiles of a tree, with the one that was read last.
struct Tiles<'a> {
    source: &'a dyn Source,
    size: TreeSize,
    last: Option<(TileId, Vec<Hash>)>,
}

impl Tiles<'_> {
    fn hashes(&mut self, nodes: &[NodeId]) -> Result<Option<Vec<Hash>>, SourceError> {
        let mut hashes = Vec::with_capacity(nodes.len());
        for node in nodes {
            match self.hash(*node)? {
                Some(hash) => hashes.push(hash),
                None => return Ok(None),
            }
        }
        Ok(Some(hashes))
    }

    fn hash(&mut self, node: NodeId) -> Result<Option<Hash>, SourceError> {
        let span = tile_of(node);
        let first = span.tile_index * u64::from(TILE_WIDTH);
        let tile = TileId::holding(TileKind::Hashes(span.tile_level), first, self.size);
        let tile = tile.expect("plans name nodes of the tree");
        if self.last.as_ref().is_none_or(|(last, _)| *last != tile) {
            let Ok(hashes) = Served::fetch(self.source, tile)?.hashes() else { return Ok(None) };
            self.last = Some((tile, hashes));
        }
        Ok(self.last.as_ref().and_then(|(_, hashes)| span.hash(hashes)))
    }
}
