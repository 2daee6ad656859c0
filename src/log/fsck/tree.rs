//! The tree: which tiles and bundles are proven, going down from the root in the manifest.
//!
//! A tile is proven when its hashes lead to a hash that is proven above it, the newest tiles together when they lead to
//! the root. Where a file fails, its hashes are made again from what lies below, the files there or the entries at the
//! bottom; what is made so and leads to the proven hash is what belongs in the file. Below a tile that nothing proves
//! the check goes on, by what its file says or by comparing alone, so that all damage is named; but nothing is written.

use bytes::Bytes;

use super::nodes::Nodes;
use super::report::{FsckReport, Place};
use crate::hash::Hash;
use crate::log::manifest::{MANIFEST, Manifest};
use crate::log::reader::parse_bundle;
use crate::log::sequencer::tail_root;
use crate::log::tail::{Tail, TileNodes};
use crate::merkle::{LeafIndex, TILE_WIDTH, leaf_hash, root_of_perfect};
use crate::storage::{Blobs, StorageError};
use crate::tlog::{TileKind, decode_hashes, encode_hashes};

/// Called with each bundle in order, with its entries where they are proven.
pub(super) type OnBundle<'a> = dyn FnMut(&mut FsckReport, u64, Option<&[Bytes]>) -> Result<(), StorageError> + 'a;

/// The right edge: for each level the hashes of its partial tile.
pub(super) struct Edge {
    pub(super) tiles: Vec<Vec<Hash>>,
    /// Whether they lead to the root.
    pub(super) proven: bool,
    /// Entries of the partial bundle, where they are proven.
    pub(super) entries: Option<Vec<Bytes>>,
}

/// What is known of the root of a full tile.
#[derive(Clone, Copy)]
enum Expect {
    Proven(Hash),
    /// A tile above says so, and is itself not proven.
    Said(Hash),
    Nothing,
}

/// How the hashes of a tile are made from what lies below it. Each is wrong for some damage; the root above decides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the tiles below.
    Files,
    /// From the entries at the bottom.
    Entries,
    /// Whichever of them the tile's own file agrees with, hash by hash.
    Votes,
}

impl Way {
    const ALL: [Self; 3] = [Self::Files, Self::Entries, Self::Votes];
}

pub(super) struct TreeCheck<'a> {
    pub(super) blobs: &'a dyn Blobs,
    pub(super) repair: bool,
    pub(super) report: &'a mut FsckReport,
    pub(super) nodes: &'a mut Nodes,
    pub(super) on_bundle: &'a mut OnBundle<'a>,
}

impl TreeCheck<'_> {
    /// Checks everything below the root, from the first entry to the last.
    pub(super) fn run(&mut self, manifest: &Manifest) -> Result<Edge, StorageError> {
        let mut edge = self.edge(manifest)?;
        for level in (0..edge.tiles.len() as u8).rev() {
            let (index, width) = place(TileKind::Hashes(level).count(manifest.size));
            let hashes = edge.tiles[usize::from(level)].clone();
            if edge.proven {
                self.nodes.take(level, index, &TileNodes::from_hashes(&hashes));
            }
            if level == 0 && width > 0 {
                edge.entries = self.bundle(index, width, &hashes, edge.proven)?;
            } else if level > 0 {
                self.tiles_below(level, index, width, &hashes, edge.proven)?;
            }
        }
        Ok(edge)
    }

    fn tiles_below(
        &mut self,
        level: u8,
        index: u64,
        width: usize,
        hashes: &[Hash],
        proven: bool,
    ) -> Result<(), StorageError> {
        for at in 0..width {
            let expect = match hashes.get(at) {
                Some(hash) if proven => Expect::Proven(*hash),
                Some(hash) => Expect::Said(*hash),
                None => Expect::Nothing,
            };
            self.full_tile(level - 1, index * TILE_WIDTH as u64 + at as u64, expect)?;
        }
        Ok(())
    }

    /// Finds the partial tiles that lead to the root.
    fn edge(&mut self, manifest: &Manifest) -> Result<Edge, StorageError> {
        let levels = (0..8).map(|level| (level, TileKind::Hashes(level).count(manifest.size)));
        let places: Vec<_> = levels.take_while(|(_, hashes)| *hashes > 0).collect();
        let files: Vec<_> = places
            .iter()
            .map(|(level, hashes)| {
                let (index, width) = place(*hashes);
                if width == 0 { Some(Vec::new()) } else { self.tile_file(*level, index, width) }
            })
            .collect();
        let leads =
            |tiles: &[Vec<Hash>]| tail_root(&Tail::from_edge(manifest.size, tiles, Vec::new())) == manifest.root;
        if let Some(tiles) = files.iter().cloned().collect::<Option<Vec<_>>>().filter(|tiles| leads(tiles)) {
            return Ok(Edge { tiles, proven: true, entries: None });
        }
        let mut candidates = Vec::new();
        for ((level, hashes), file) in places.iter().zip(&files) {
            let (index, width) = place(*hashes);
            let derived = Way::ALL.iter().filter_map(|way| self.derived(*level, index, width, *way));
            let mut all: Vec<Vec<Hash>> = file.iter().cloned().chain(derived).collect();
            all.dedup();
            candidates.push(all);
        }
        let chosen = combinations(&candidates).find(|tiles| leads(tiles));
        let proven = chosen.is_some();
        for (at, (level, hashes)) in places.iter().enumerate() {
            let (index, width) = place(*hashes);
            let name = TileKind::Hashes(*level).path(index, width);
            match &chosen {
                Some(tiles) if files[at].as_ref() != Some(&tiles[at]) => self.rewrite(&name, &tiles[at])?,
                None if width > 0 && files[at].is_none() => {
                    self.report.damage(&name, Place::Whole, "it is missing, cannot be read, or has another length");
                }
                _ => {}
            }
        }
        if !proven {
            let what =
                "the newest tiles and entries do not lead to the root that it holds; nothing is repaired below it";
            self.report.damage(MANIFEST, Place::Whole, what);
        }
        let widest = |all: &Vec<Vec<Hash>>| all.first().cloned().unwrap_or_default();
        let tiles = chosen.unwrap_or_else(|| candidates.iter().map(widest).collect());
        Ok(Edge { tiles, proven, entries: None })
    }

    /// Checks a full tile and everything below it.
    fn full_tile(&mut self, level: u8, index: u64, expect: Expect) -> Result<(), StorageError> {
        let name = TileKind::Hashes(level).path(index, TILE_WIDTH);
        let file = self.tile_file(level, index, TILE_WIDTH);
        let (hashes, proven) = match expect {
            Expect::Proven(root) => {
                if let Some(tile) = self.proof(level, index, root, file.as_deref()) {
                    self.nodes.take(level, index, &tile);
                    if file.as_deref() != Some(tile.hashes()) {
                        self.rewrite(&name, tile.hashes())?;
                    }
                    (Some(tile.hashes().to_vec()), true)
                } else {
                    let what = "it does not lead to the root of the log, and nor does what lies below it";
                    self.report.damage(&name, Place::Whole, what);
                    (file, false)
                }
            }
            Expect::Said(root) => {
                if file.as_deref().map(root_of) != Some(root) {
                    let what = "it contradicts the tile above it, and which of them is right cannot be proven";
                    self.report.damage(&name, Place::Whole, what);
                }
                (file, false)
            }
            Expect::Nothing => {
                if file.is_none() {
                    self.report.damage(&name, Place::Whole, "it is missing, cannot be read, or has another length");
                }
                (file, false)
            }
        };
        let hashes = hashes.unwrap_or_default();
        if level == 0 {
            self.bundle(index, TILE_WIDTH, &hashes, proven).map(drop)
        } else {
            self.tiles_below(level, index, TILE_WIDTH, &hashes, proven)
        }
    }

    /// The tile of this root: its file, or what lies below it.
    fn proof(&self, level: u8, index: u64, root: Hash, file: Option<&[Hash]>) -> Option<TileNodes> {
        let is_it = |hashes: Vec<Hash>| Some(TileNodes::from_hashes(&hashes)).filter(|tile| tile.root() == Some(root));
        file.map(<[Hash]>::to_vec)
            .and_then(is_it)
            .or_else(|| Way::ALL.iter().find_map(|way| self.derived(level, index, TILE_WIDTH, *way).and_then(is_it)))
    }

    /// The first hashes of a tile, from what lies below it.
    fn derived(&self, level: u8, index: u64, width: usize, way: Way) -> Option<Vec<Hash>> {
        let Some(below) = level.checked_sub(1) else {
            let entries = self.bundle_file(index, width)?;
            return Some(entries.iter().map(|entry| leaf_hash(entry)).collect());
        };
        let own = if way == Way::Votes { self.tile_file(level, index, width) } else { None };
        let child = |at: usize| {
            let index = index * TILE_WIDTH as u64 + at as u64;
            let file = || self.tile_file(below, index, TILE_WIDTH).map(|hashes| root_of(&hashes));
            let deep = || self.derived(below, index, TILE_WIDTH, way).map(|hashes| root_of(&hashes));
            match &own {
                Some(own) if file() == Some(own[at]) => Some(own[at]),
                _ if way == Way::Files => file().or_else(deep),
                _ => deep().or_else(file),
            }
        };
        (0..width).map(child).collect()
    }

    /// Checks the entries of a bundle against the hashes of its tile, and hands them on. Gives them where proven.
    fn bundle(
        &mut self,
        index: u64,
        width: usize,
        hashes: &[Hash],
        proven: bool,
    ) -> Result<Option<Vec<Bytes>>, StorageError> {
        let name = TileKind::Entries.path(index, width);
        let mut entries = self.bundle_file(index, width);
        match &entries {
            None => self.report.damage(
                &name,
                Place::Whole,
                format!("it is missing, cannot be read, or is no bundle of {width} entries"),
            ),
            Some(found) => {
                let wrong = found.iter().zip(hashes).position(|(entry, hash)| leaf_hash(entry) != *hash);
                if let Some(at) = wrong {
                    let place = Place::Entry(LeafIndex::new(index * TILE_WIDTH as u64 + at as u64));
                    let what = if proven {
                        "the entry does not hash to its place in the tree"
                    } else {
                        "the entry contradicts the tile above it, and which of them is right cannot be proven"
                    };
                    self.report.damage(&name, place, what);
                }
                if wrong.is_some() || !proven {
                    entries = None;
                }
            }
        }
        (self.on_bundle)(self.report, index, entries.as_deref())?;
        Ok(entries)
    }

    fn tile_file(&self, level: u8, index: u64, width: usize) -> Option<Vec<Hash>> {
        let name = TileKind::Hashes(level).path(index, width);
        // What cannot be read is missing: the finding is the same, and so is the remedy.
        let bytes = self.blobs.read(&name).ok()??;
        decode_hashes(&bytes, width as u16).ok()
    }

    fn bundle_file(&self, index: u64, width: usize) -> Option<Vec<Bytes>> {
        let bytes = self.blobs.read(&TileKind::Entries.path(index, width)).ok()??;
        parse_bundle(&Bytes::from(bytes), width)
    }

    /// Reports a tile whose hashes are proven, and writes them if asked to.
    fn rewrite(&mut self, name: &str, hashes: &[Hash]) -> Result<(), StorageError> {
        if self.repair {
            self.blobs.commit(name, &encode_hashes(hashes))?;
        }
        let what = "its hashes do not lead to the root of the log; what lies below it does";
        self.report.repairable(name, Place::Whole, what, self.repair);
        Ok(())
    }
}

/// Number and width of the partial tile of a level with this many hashes.
fn place(hashes: u64) -> (u64, usize) {
    (hashes / TILE_WIDTH as u64, hashes as usize % TILE_WIDTH)
}

fn root_of(hashes: &[Hash]) -> Hash {
    root_of_perfect(hashes)
}

/// Every choice of one candidate of each; there are at most four of each and seven levels.
fn combinations(candidates: &[Vec<Vec<Hash>>]) -> impl Iterator<Item = Vec<Vec<Hash>>> + '_ {
    let total: usize = candidates.iter().map(Vec::len).product();
    (0..total).map(move |mut number| {
        let choose = |all: &Vec<Vec<Hash>>| {
            let chosen = all[number % all.len()].clone();
            number /= all.len();
            chosen
        };
        candidates.iter().map(choose).collect()
    })
}
