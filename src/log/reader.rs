//! Reading a log of one size: tiles, bundles, entries, proofs.
//!
//! What is in memory is right by construction. What comes from disk is believed only after its hashes lead to the
//! right edge: a tile's root must stand in the tile above, a bundle's entries must hash to the tile below it. What
//! passed is cached, so the check costs once.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::bodies::{self, Content};
use super::erasure::BodyToErase;
use super::error::ReadError;
use super::flush::{Flushed, bundle_bytes};
use super::machine::Past;
use super::manifest::CHAIN_INDEX;
use super::tail::{ROW_LEN, Row, SideBody, Tail, TileNodes, tile_place};
use crate::hash::Hash;
use crate::merkle::{
    LeafIndex, NodeId, TILE_HEIGHT, TILE_WIDTH, TreeSize, consistency_plan, inclusion_plan, leaf_hash,
    root_from_inclusion, root_plan, verify_consistency,
};
use crate::storage::Blobs;
use crate::tlog::{self, TileId, TileKind, decode_hashes, encode_hashes};

/// Memory for verified bundles that are not in the tail.
const BUNDLE_CACHE_BYTES: u64 = 32 << 20;
/// Verified tiles kept in memory: 16 KiB each.
const TILE_CACHE_TILES: usize = 2_048;

/// The entries of a full bundle.
type Entries = Arc<Vec<Bytes>>;

/// Reads what is flushed.
pub(crate) struct Store {
    blobs: Arc<dyn Blobs>,
    /// Where the log stood when it was opened: the bodies of its partial bundle are on disk only.
    opened_at: Flushed,
    /// Entries whose bodies are erased, which no flush has finished yet: on disk they may still lie. It is asked
    /// whichever view is read.
    erasures: RwLock<BTreeSet<LeafIndex>>,
    tiles: Cache<(u8, u64), Arc<TileNodes>>,
    bundles: Cache<u64, Entries, ByBytes>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<u64, Entries> for ByBytes {
    fn weight(&self, _: &u64, entries: &Entries) -> u64 {
        entries.iter().map(|entry| entry.len() as u64 + 64).sum()
    }
}

impl Store {
    pub(crate) fn new(blobs: Arc<dyn Blobs>, opened_at: Flushed) -> Self {
        Self {
            blobs,
            opened_at,
            erasures: RwLock::default(),
            tiles: Cache::new(TILE_CACHE_TILES),
            bundles: Cache::with_weighter(TILE_CACHE_TILES, BUNDLE_CACHE_BYTES, ByBytes),
        }
    }

    /// Gives out the body beside this entry no more, to no reader of any view.
    pub(crate) fn begin_erasure(&self, index: LeafIndex) {
        self.erasures.write().unwrap_or_else(PoisonError::into_inner).insert(index);
    }

    /// Forgets an erasure that is finished: whoever reads the disk finds the mark.
    pub(crate) fn end_erasure(&self, index: LeafIndex) {
        self.erasures.write().unwrap_or_else(PoisonError::into_inner).remove(&index);
    }

    /// Whether an erasure is committed and not finished.
    pub(crate) fn is_being_erased(&self, index: LeafIndex) -> bool {
        self.erasures.read().unwrap_or_else(PoisonError::into_inner).contains(&index)
    }

    /// Whether a body can be erased from its file, if it is there yet. The error tells where the file is damaged.
    pub(crate) fn check_erasable(&self, body: &BodyToErase, flushed: Flushed) -> Result<(), ReadError> {
        if body.index < flushed.size.next_index() {
            bodies::check_erasable(&*self.blobs, body, flushed)?;
        }
        Ok(())
    }
}

/// What is kept beside an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBody {
    /// Nothing, and nothing ever was.
    Absent,
    /// A body.
    Kept(SideBody),
    /// Nothing any more: the body was erased with its salt.
    Erased,
}

impl KeptBody {
    /// The body, where there is one.
    pub fn into_body(self) -> Option<SideBody> {
        match self {
            Self::Kept(body) => Some(body),
            Self::Absent | Self::Erased => None,
        }
    }
}

/// A log of one size, for reading.
#[derive(Clone, Copy)]
pub struct LogReader<'a> {
    store: &'a Store,
    tail: &'a Tail,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(store: &'a Store, tail: &'a Tail) -> Self {
        Self { store, tail }
    }

    /// Number of entries.
    pub fn size(&self) -> TreeSize {
        self.tail.size()
    }

    /// The bytes of a tile of hashes, `width` 1 to 256.
    pub fn tile(&self, level: u8, index: u64, width: usize) -> Result<Bytes, ReadError> {
        self.check_tile(TileKind::Hashes(level), index, width)?;
        let tile = self.nodes(level, index)?;
        Ok(encode_hashes(&tile.hashes()[..width]).into())
    }

    /// The bytes of an entry bundle, `width` 1 to 256.
    pub fn bundle(&self, index: u64, width: usize) -> Result<Bytes, ReadError> {
        self.check_tile(TileKind::Entries, index, width)?;
        if let Some(entries) = self.tail.bundle(index) {
            return Ok(bundle_bytes(entries[..width].iter().map(|stored| &stored.entry)).into());
        }
        Ok(bundle_bytes(self.entries(index)?[..width].iter()).into())
    }

    /// An entry.
    pub fn entry(&self, index: LeafIndex) -> Result<Bytes, ReadError> {
        self.check_index(index)?;
        match self.tail.entry(index) {
            Some(stored) => Ok(stored.entry.clone()),
            None => Ok(self.entries(index.get() / TILE_WIDTH as u64)?[index.get() as usize % TILE_WIDTH].clone()),
        }
    }

    /// What is kept beside an entry now. It is no part of the view: where it was erased later, it is gone from here too.
    pub fn body(&self, index: LeafIndex) -> Result<KeptBody, ReadError> {
        self.check_index(index)?;
        if self.store.is_being_erased(index) {
            return Ok(KeptBody::Erased);
        }
        match self.tail.entry(index).map(|stored| &stored.body) {
            Some(Some(held)) => Ok(held.body().map_or(KeptBody::Erased, |body| KeptBody::Kept(SideBody::clone(&body)))),
            // What came since the opening has its body in memory; what was in the partial bundle then, on disk only.
            Some(None) if index >= self.store.opened_at.size.next_index() => Ok(KeptBody::Absent),
            _ => self.body_on_disk(index),
        }
    }

    fn body_on_disk(&self, index: LeafIndex) -> Result<KeptBody, ReadError> {
        let opened_at = self.store.opened_at;
        // A flush may be writing behind those of the bundle that was partial then.
        let was_there = index < opened_at.size.next_index();
        let end = |bundle| if was_there { opened_at.bodies_end(bundle) } else { u64::MAX };
        Ok(match bodies::find(&*self.store.blobs, index, end)? {
            None => KeptBody::Absent,
            Some(Content::Kept(body)) => KeptBody::Kept(body),
            Some(Content::Erased { .. }) => KeptBody::Erased,
        })
    }

    /// The machine's row beside an entry. It is derived: whoever uses it checks where it leads.
    pub fn row(&self, index: LeafIndex) -> Result<Row, ReadError> {
        self.check_index(index)?;
        if let Some(stored) = self.tail.entry(index) {
            return Ok(stored.row);
        }
        let bytes = self.store.blobs.read_at(CHAIN_INDEX, index.get() * ROW_LEN, ROW_LEN as usize)?;
        let row = bytes.as_deref().and_then(|bytes| bytes.try_into().ok());
        row.ok_or(ReadError::Damaged { name: CHAIN_INDEX.into(), what: "it is too short" })
    }

    /// The root of the tree of an earlier size.
    pub fn root(&self, size: TreeSize) -> Result<Hash, ReadError> {
        if size > self.size() {
            return Err(ReadError::PastEnd);
        }
        root_plan(size).root(|node| self.node(node))
    }

    /// The inclusion path of an entry in the tree of a size, checked before it is given.
    pub fn inclusion(&self, index: LeafIndex, size: TreeSize) -> Result<Vec<Hash>, ReadError> {
        if size > self.size() {
            return Err(ReadError::PastEnd);
        }
        let plan = inclusion_plan(index, size).ok_or(ReadError::NoSuchProof)?;
        plan.path(|node| self.node(node))
    }

    /// The consistency path between two sizes.
    pub fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, ReadError> {
        if new > self.size() {
            return Err(ReadError::PastEnd);
        }
        let plan = consistency_plan(old, new).ok_or(ReadError::NoSuchProof)?;
        plan.path(|node| self.node(node))
    }

    /// Checks an inclusion path of this log against a root, as a client would.
    pub fn is_included(&self, entry: &[u8], index: LeafIndex, size: TreeSize, path: &[Hash], root: &Hash) -> bool {
        root_from_inclusion(&leaf_hash(entry), index, size, path).as_ref() == Ok(root)
    }

    /// Checks a consistency path of this log, as a client would.
    pub fn is_consistent(&self, old: (TreeSize, &Hash), new: (TreeSize, &Hash), path: &[Hash]) -> bool {
        verify_consistency(old.0, new.0, old.1, new.1, path).is_ok()
    }

    fn check_index(&self, index: LeafIndex) -> Result<(), ReadError> {
        if index.get() < self.size().get() { Ok(()) } else { Err(ReadError::PastEnd) }
    }

    fn check_tile(&self, kind: TileKind, index: u64, width: usize) -> Result<(), ReadError> {
        let tile = u16::try_from(width).ok().and_then(|width| TileId::new(kind, index, width));
        if tile.is_some_and(|tile| tile.is_in(self.size())) { Ok(()) } else { Err(ReadError::PastEnd) }
    }

    fn node(&self, id: NodeId) -> Result<Hash, ReadError> {
        if let Some(hash) = self.tail.node(id) {
            return Ok(hash);
        }
        let (level, index, row, at) = tile_place(id);
        self.nodes(level, index)?.node(row, at).ok_or(ReadError::PastEnd)
    }

    /// A tile with its inner nodes.
    fn nodes(&self, level: u8, index: u64) -> Result<Arc<TileNodes>, ReadError> {
        if let Some(tile) = self.tail.tile(level, index) {
            return Ok(Arc::clone(tile));
        }
        if let Some(tile) = self.store.tiles.get(&(level, index)) {
            return Ok(tile);
        }
        // Only full tiles leave memory.
        let name = TileKind::Hashes(level).path(index, TILE_WIDTH);
        let bytes = self.store.blobs.read(&name)?;
        let Some(hashes) = bytes.and_then(|bytes| decode_hashes(&bytes, tlog::TILE_WIDTH).ok()) else {
            return Err(ReadError::Damaged { name, what: "it is missing or has another length" });
        };
        let tile = Arc::new(TileNodes::from_hashes(&hashes));
        let above = self.node(NodeId { level: (level + 1) * TILE_HEIGHT, index })?;
        if tile.root() != Some(above) {
            return Err(ReadError::Damaged { name, what: "its hashes do not lead to the root of the log" });
        }
        self.store.tiles.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }

    /// The entries of a full bundle.
    fn entries(&self, index: u64) -> Result<Entries, ReadError> {
        if let Some(entries) = self.store.bundles.get(&index) {
            return Ok(entries);
        }
        let name = TileKind::Entries.path(index, TILE_WIDTH);
        let damaged = |what| ReadError::Damaged { name: name.clone(), what };
        let bytes = self.store.blobs.read(&name)?.ok_or_else(|| damaged("it is missing"))?;
        let entries =
            parse_bundle(&bytes.into(), TILE_WIDTH).ok_or_else(|| damaged("it is no bundle of 256 entries"))?;
        let tile = self.nodes(0, index)?;
        if entries.iter().zip(tile.hashes()).any(|(entry, hash)| leaf_hash(entry) != *hash) {
            return Err(damaged("an entry does not hash to its place in the tree"));
        }
        let entries = Arc::new(entries);
        self.store.bundles.insert(index, Arc::clone(&entries));
        Ok(entries)
    }
}

impl Past for LogReader<'_> {
    fn entry(&self, index: LeafIndex) -> Result<Bytes, ReadError> {
        LogReader::entry(self, index)
    }

    fn row(&self, index: LeafIndex) -> Result<Row, ReadError> {
        LogReader::row(self, index)
    }
}

/// Reads a bundle of a known width.
pub(crate) fn parse_bundle(bytes: &Bytes, width: usize) -> Option<Vec<Bytes>> {
    let entries = tlog::parse_bundle(bytes).ok().filter(|entries| entries.len() == width)?;
    Some(entries.into_iter().map(|entry| bytes.slice_ref(entry)).collect())
}
