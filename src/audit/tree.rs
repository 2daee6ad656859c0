//! The hash tiles of a log, each held against what lies below it as that is served.
//!
//! So a wrong hash shows where it is, and not again at every level above. That all of it leads to the root of the
//! checkpoint is seen from the entries themselves, by whoever holds their frontier.

use super::batch::Served;
use super::finding::{Finding, TileFault};
use super::source::{Source, SourceError};
use crate::hash::Hash;
use crate::merkle::{TreeSize, consistency_plan, root_of_perfect, tile_of, verify_consistency};
use crate::tlog::{TILE_WIDTH, TileId, TileKind};

const WIDTH: usize = TILE_WIDTH as usize;

/// The right edge of the tiles that were checked: at each level, the hashes since the last full tile.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Edge {
    levels: Vec<Level>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Level {
    /// Full tiles before.
    tiles: u64,
    hashes: Vec<Hash>,
}

impl Edge {
    /// The edge of a tree of this size, from the hashes of each level; `None` if they are not as many as that asks for.
    pub(super) fn from_parts(size: TreeSize, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let mut edge = Self::default();
        for (number, hashes) in (0_u8..).zip(levels) {
            let count = TileKind::Hashes(number).count(size);
            let width = u64::from(TILE_WIDTH);
            if hashes.len() as u64 != count % width {
                return None;
            }
            edge.levels.push(Level { tiles: count / width, hashes });
        }
        let above = TileKind::Hashes(u8::try_from(edge.levels.len()).ok()?);
        (above.count(size) == 0).then_some(edge)
    }

    /// The hashes of each level.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[Hash]> {
        self.levels.iter().map(|level| &level.hashes[..])
    }

    /// The hashes of the leaves since the last full bundle.
    pub(super) fn leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], |level| &level.hashes)
    }

    /// The edge with other leaves since the last full bundle.
    pub(super) fn with_leaves(&self, leaves: Vec<Hash>) -> Self {
        let mut edge = self.clone();
        edge.set_leaves(leaves);
        edge
    }

    /// Takes the leaves of the newest bundle, which replace those of its beginning; checks each tile that is full by it.
    pub(super) fn take_leaves(
        &mut self,
        leaves: Vec<Hash>,
        source: &dyn Source,
        findings: &mut Vec<Finding>,
    ) -> Result<(), SourceError> {
        self.set_leaves(leaves);
        let mut number = 0;
        while self.levels[number].hashes.len() == WIDTH {
            let served = match number {
                // These are as they are served.
                0 => None,
                _ => self.check(number, source, findings)?,
            };
            let level = &mut self.levels[number];
            let root = root_of_perfect(served.as_ref().unwrap_or(&level.hashes));
            level.tiles += 1;
            level.hashes.clear();
            number += 1;
            self.level(number).hashes.push(root);
        }
        Ok(())
    }

    /// Checks the partial tiles above the leaves.
    pub(super) fn finish(&self, source: &dyn Source, findings: &mut Vec<Finding>) -> Result<(), SourceError> {
        for number in 1..self.levels.len() {
            if !self.levels[number].hashes.is_empty() {
                self.check(number, source, findings)?;
            }
        }
        Ok(())
    }

    /// Holds the tile of a level against what lies below it. Gives its hashes where they can be read.
    fn check(
        &self,
        number: usize,
        source: &dyn Source,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Vec<Hash>>, SourceError> {
        let Level { tiles, hashes } = &self.levels[number];
        let tile = TileId::new(TileKind::Hashes(number as u8), *tiles, hashes.len() as u16);
        let tile = tile.expect("a level has at most 63 levels below it and 1 to 256 hashes are held");
        match Served::fetch(source, tile)?.hashes() {
            Err(fault) => {
                findings.push(Finding::Tile { tile, fault });
                Ok(None)
            }
            Ok(served) => {
                let wrong = (tile.first()..).zip(served.iter().zip(hashes)).filter(|(_, (said, is))| said != is);
                findings.extend(wrong.map(|(number, _)| Finding::Tile { tile, fault: TileFault::Hash { number } }));
                Ok(Some(served))
            }
        }
    }

    fn set_leaves(&mut self, leaves: Vec<Hash>) {
        self.level(0).hashes = leaves;
    }

    fn level(&mut self, number: usize) -> &mut Level {
        if self.levels.len() <= number {
            self.levels.resize_with(number + 1, Level::default);
        }
        &mut self.levels[number]
    }
}

/// Whether a tree continues an earlier one, by the tiles that are served: if they do not show it, it does not.
pub(super) fn continues(
    source: &dyn Source,
    old: (TreeSize, Hash),
    new: (TreeSize, Hash),
) -> Result<bool, SourceError> {
    let Some(plan) = consistency_plan(old.0, new.0) else { return Ok(false) };
    let mut hashes = Vec::with_capacity(plan.nodes().len());
    for node in plan.nodes() {
        let span = tile_of(*node);
        let first = span.tile_index * u64::from(TILE_WIDTH);
        let tile = TileId::holding(TileKind::Hashes(span.tile_level), first, new.0);
        let tile = tile.expect("a plan names nodes of the tree");
        match Served::fetch(source, tile)?.hashes().ok().and_then(|tile| span.hash(&tile)) {
            Some(hash) => hashes.push(hash),
            None => return Ok(false),
        }
    }
    let mut hashes = hashes.into_iter();
    let path = plan.path(|_| hashes.next().ok_or(()));
    Ok(path.is_ok_and(|path| verify_consistency(old.0, new.0, &old.1, &new.1, &path).is_ok()))
}
