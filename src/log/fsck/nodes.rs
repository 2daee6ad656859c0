//! The roots of published sizes, gathered while the tree is walked.

use std::collections::BTreeMap;

use crate::hash::Hash;
use crate::log::manifest::PublishedNote;
use crate::log::tail::{Tail, TileNodes, tile_place};
use crate::merkle::{NodeId, TreeSize, root_plan};

/// Nodes of proven tiles that somebody asked for.
#[derive(Default)]
pub(super) struct Nodes {
    /// By the tile that they lie in.
    wanted: BTreeMap<(u8, u64), Vec<NodeId>>,
    found: BTreeMap<NodeId, Hash>,
}

impl Nodes {
    /// The nodes that the roots of these checkpoints are made of.
    pub(super) fn of<'a>(published: impl IntoIterator<Item = &'a PublishedNote>) -> Self {
        let mut nodes = Self::default();
        for note in published {
            for node in root_plan(note.size).nodes() {
                let (level, index, ..) = tile_place(*node);
                nodes.wanted.entry((level, index)).or_default().push(*node);
            }
        }
        nodes
    }

    /// Takes what is wanted of a tile that is proven.
    pub(super) fn take(&mut self, level: u8, index: u64, tile: &TileNodes) {
        for node in self.wanted.get(&(level, index)).into_iter().flatten() {
            let (_, _, row, at) = tile_place(*node);
            if let Some(hash) = tile.node(row, at) {
                self.found.insert(*node, hash);
            }
        }
    }

    /// The root of the tree of this size; `None` where not all that it is made of is proven.
    pub(super) fn root(&self, size: TreeSize, tail: &Tail) -> Option<Hash> {
        let node = |id: NodeId| tail.node(id).or_else(|| self.found.get(&id).copied()).ok_or(());
        root_plan(size).root(node).ok()
    }
}
