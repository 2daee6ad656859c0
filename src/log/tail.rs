//! The part of a log that is in memory: the right edge of the tree, and all tiles, entries and bodies that no flush has
//! written yet.
//!
//! Everything is behind shared pointers and copied when it is written to while a view holds it, so that a view of one
//! size is a clone: a few pointers for each level, however much lies behind them. The one thing that changes under a
//! view is a body that is erased: it is shared, and leaves all views at once.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::hash::Hash;
use crate::merkle::{LeafIndex, NodeId, TILE_HEIGHT, TILE_WIDTH, TreeSize, node_hash};

/// Bytes of a row.
pub const ROW_LEN: u64 = 24;
/// What the machine keeps beside an entry in `chain.idx`; zeros where it keeps nothing.
pub type Row = [u8; ROW_LEN as usize];

/// A tile with the inner nodes between its hashes, so that paths are looked up and not computed.
#[derive(Clone, Debug)]
pub(crate) struct TileNodes {
    /// Row k, at `row_start(k)`, holds the nodes that are k levels above the tile's hashes.
    nodes: Vec<Hash>,
    width: usize,
}

impl Default for TileNodes {
    fn default() -> Self {
        Self { nodes: vec![Hash::ZERO; 2 * TILE_WIDTH - 2], width: 0 }
    }
}

impl TileNodes {
    /// A tile from its hashes.
    pub(crate) fn from_hashes(hashes: &[Hash]) -> Self {
        let mut tile = Self::default();
        for hash in hashes.iter().take(TILE_WIDTH) {
            tile.push(*hash);
        }
        tile
    }

    /// Adds a hash and completes the inner nodes that it is the last leaf of. Gives the tile's root when it is full.
    pub(crate) fn push(&mut self, hash: Hash) -> Option<Hash> {
        let mut at = self.width;
        let mut node = hash;
        self.width += 1;
        for row in 0..TILE_HEIGHT {
            self.nodes[row_start(row) + at] = node;
            if at.is_multiple_of(2) {
                return None;
            }
            node = node_hash(&self.nodes[row_start(row) + at - 1], &node);
            at /= 2;
        }
        Some(node)
    }

    /// The node `row` levels above the hashes, at place `at` in its row; `None` where it is not complete.
    pub(crate) fn node(&self, row: u8, at: usize) -> Option<Hash> {
        ((at + 1) << row <= self.width).then(|| self.nodes[row_start(row) + at])
    }

    /// The tile's hashes.
    pub(crate) fn hashes(&self) -> &[Hash] {
        &self.nodes[..self.width]
    }

    /// The root of a full tile.
    pub(crate) fn root(&self) -> Option<Hash> {
        let last = row_start(TILE_HEIGHT - 1);
        (self.width == TILE_WIDTH).then(|| node_hash(&self.nodes[last], &self.nodes[last + 1]))
    }
}

const fn row_start(row: u8) -> usize {
    2 * TILE_WIDTH - ((2 * TILE_WIDTH) >> row)
}

/// A body that is kept beside the log, with the salt of its commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideBody {
    /// The salt.
    pub salt: [u8; 32],
    /// The body.
    pub bytes: Bytes,
}

/// A body in memory. All tails and views share it, so that who erases it takes it from all of them, older ones too.
#[derive(Debug)]
pub(crate) struct HeldBody {
    len: u32,
    body: Mutex<Option<Arc<SideBody>>>,
}

impl HeldBody {
    pub(crate) fn new(body: Arc<SideBody>) -> Arc<Self> {
        Arc::new(Self { len: body.bytes.len() as u32, body: Mutex::new(Some(body)) })
    }

    /// Its length, which keeps its slot in the file when it is erased.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The body; `None` from the moment when it was erased.
    pub(crate) fn body(&self) -> Option<Arc<SideBody>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn erase(&self) {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// An entry and what is kept beside it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) entry: Bytes,
    /// `None` where there is no body, or it lies on disk only.
    pub(crate) body: Option<Arc<HeldBody>>,
    pub(crate) row: Row,
}

impl Stored {
    /// Bytes that it counts for in the limits of the unflushed tail.
    pub(crate) fn weight(&self) -> usize {
        /// What an entry costs in memory beside its bytes.
        const OVERHEAD: usize = 128;
        OVERHEAD + self.entry.len() + self.body.as_ref().map_or(0, |body| body.len() as usize)
    }
}

/// A row of equal pieces of which the last may be growing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane<T> {
    /// Number of the first piece that is here.
    first: u64,
    full: Arc<Vec<Arc<T>>>,
    edge: Arc<T>,
}

impl<T: Default + Clone> Lane<T> {
    fn starting_at(first: u64, edge: T) -> Self {
        Self { first, full: Arc::default(), edge: Arc::new(edge) }
    }

    /// Number of the growing piece.
    fn edge_index(&self) -> u64 {
        self.first + self.full.len() as u64
    }

    pub(crate) fn piece(&self, index: u64) -> Option<&Arc<T>> {
        if index == self.edge_index() {
            return Some(&self.edge);
        }
        self.full.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The growing piece is full: the next one begins.
    fn turn(&mut self) {
        let full = std::mem::take(&mut self.edge);
        Arc::make_mut(&mut self.full).push(full);
    }

    fn drop_below(&mut self, index: u64) {
        let count = index.saturating_sub(self.first).min(self.full.len() as u64);
        if count > 0 {
            self.full = Arc::new(self.full[count as usize..].to_vec());
            self.first += count;
        }
    }
}

/// The in-memory part of a log of one size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    size: u64,
    levels: Vec<Lane<TileNodes>>,
    bundles: Lane<Vec<Stored>>,
}

impl Tail {
    /// The right edge of a log: for each level the hashes of its partial tile, and the entries of the partial bundle.
    pub(crate) fn from_edge(size: TreeSize, tiles: &[Vec<Hash>], entries: Vec<Stored>) -> Self {
        let size = size.get();
        let index = |level: usize| size >> (8 * (level + 1)).min(63);
        let lane =
            |(level, hashes): (usize, &Vec<Hash>)| Lane::starting_at(index(level), TileNodes::from_hashes(hashes));
        Self {
            size,
            levels: tiles.iter().enumerate().map(lane).collect(),
            bundles: Lane::starting_at(size / TILE_WIDTH as u64, entries),
        }
    }

    pub(crate) fn size(&self) -> TreeSize {
        TreeSize::new(self.size)
    }

    /// Appends an entry with this hash of its leaf.
    pub(crate) fn push(&mut self, stored: Stored, leaf: Hash) {
        let mut carry = Some(leaf);
        let entries = Arc::make_mut(&mut self.bundles.edge);
        entries.push(stored);
        if entries.len() == TILE_WIDTH {
            self.bundles.turn();
        }
        self.size += 1;
        for level in 0.. {
            let Some(hash) = carry else { return };
            if level == self.levels.len() {
                self.levels.push(Lane::default());
            }
            let lane = &mut self.levels[level];
            carry = Arc::make_mut(&mut lane.edge).push(hash);
            if carry.is_some() {
                lane.turn();
            }
        }
    }

    /// A node of the tree, where it is in memory.
    pub(crate) fn node(&self, id: NodeId) -> Option<Hash> {
        let (level, index, row, at) = tile_place(id);
        self.levels.get(usize::from(level))?.piece(index)?.node(row, at)
    }

    /// A tile, where it is in memory.
    pub(crate) fn tile(&self, level: u8, index: u64) -> Option<&Arc<TileNodes>> {
        self.levels.get(usize::from(level))?.piece(index)
    }

    /// A bundle, where it is in memory.
    pub(crate) fn bundle(&self, index: u64) -> Option<&Arc<Vec<Stored>>> {
        self.bundles.piece(index)
    }

    /// An entry, where it is in memory.
    pub(crate) fn entry(&self, index: LeafIndex) -> Option<&Stored> {
        self.bundle(index.get() / TILE_WIDTH as u64)?.get(index.get() as usize % TILE_WIDTH)
    }

    /// Lets go of the body beside an entry, in this tail and in every one that shares it.
    pub(crate) fn erase(&self, index: LeafIndex) {
        if let Some(body) = self.entry(index).and_then(|stored| stored.body.as_ref()) {
            body.erase();
        }
    }

    /// How many levels of tiles the tree has.
    pub(crate) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Lets go of full tiles and bundles that lie wholly below a flushed size.
    pub(crate) fn drop_below(&mut self, flushed: TreeSize) {
        for (level, lane) in self.levels.iter_mut().enumerate() {
            lane.drop_below(flushed.get() >> (8 * (level + 1)).min(63));
        }
        self.bundles.drop_below(flushed.get() / TILE_WIDTH as u64);
    }
}

/// Level and number of the tile that a node lies in, the row in it, and the place in that row.
pub(crate) fn tile_place(id: NodeId) -> (u8, u64, u8, usize) {
    let row = id.level % TILE_HEIGHT;
    let places = TILE_HEIGHT - row;
    (id.level / TILE_HEIGHT, id.index >> places, row, (id.index & ((1 << places) - 1)) as usize)
}
